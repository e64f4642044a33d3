package operator

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Cost is what one password hash costs.
type Cost struct {
	// MemoryKiB, Passes and Lanes are argon2id's m, t and p.
	MemoryKiB uint32
	Passes    uint32
	Lanes     uint8
}

// DefaultCost is RFC 9106's second choice: 64 MiB, three passes.
func DefaultCost() Cost { return Cost{MemoryKiB: 64 << 10, Passes: 3, Lanes: 4} }

// maxCost bounds what a stored hash may make the server spend.
const (
	maxMemoryKiB = 1 << 20
	maxPasses    = 16
)

const (
	saltSize = 16
	hashSize = 32
)

// Hasher hashes and checks passwords, few at a time: a hash takes much memory,
// so that a flood of logins must wait instead of filling it.
type Hasher struct {
	cost  Cost
	slots chan struct{}
	dummy string
}

// hashersAtOnce bounds hashes under way.
const hashersAtOnce = 2

// NewHasher makes a hasher that hashes at cost; the zero Cost means the default.
func NewHasher(cost Cost) *Hasher {
	if cost == (Cost{}) {
		cost = DefaultCost()
	}
	h := &Hasher{cost: cost, slots: make(chan struct{}, hashersAtOnce)}
	// A hash nobody has the password of, to be checked for names nobody has, so
	// that both take the same time.
	var salt [saltSize]byte
	var sum [hashSize]byte
	_, _ = rand.Read(salt[:]) // crypto/rand.Read never fails
	_, _ = rand.Read(sum[:])
	h.dummy = format(cost, salt[:], sum[:])
	return h
}

// Hash hashes a password with a fresh salt, in PHC's text form.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	if err := h.enter(ctx); err != nil {
		return "", err
	}
	defer h.leave()
	var salt [saltSize]byte
	_, _ = rand.Read(salt[:]) // crypto/rand.Read never fails
	sum := argon2.IDKey([]byte(password), salt[:], h.cost.Passes, h.cost.MemoryKiB, h.cost.Lanes, hashSize)
	return format(h.cost, salt[:], sum), nil
}

// Check reports whether password is the one hashed. An empty hash, that of an
// account which does not exist, never matches and takes as long.
func (h *Hasher) Check(ctx context.Context, hash, password string) (bool, error) {
	known := hash != ""
	if !known {
		hash = h.dummy
	}
	cost, salt, want, err := parse(hash)
	if err != nil {
		return false, err
	}
	if err := h.enter(ctx); err != nil {
		return false, err
	}
	defer h.leave()
	got := argon2.IDKey([]byte(password), salt, cost.Passes, cost.MemoryKiB, cost.Lanes, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1 && known, nil
}

func (h *Hasher) enter(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (h *Hasher) leave() { <-h.slots }

func format(c Cost, salt, sum []byte) string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.MemoryKiB, c.Passes, c.Lanes,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(sum))
}

var errHash = errors.New("stored password hash is damaged")

func parse(hash string) (c Cost, salt, sum []byte, err error) {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return c, nil, nil, errHash
	}
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.MemoryKiB, &c.Passes, &c.Lanes); err != nil {
		return c, nil, nil, errHash
	}
	if c.MemoryKiB == 0 || c.MemoryKiB > maxMemoryKiB || c.Passes == 0 || c.Passes > maxPasses || c.Lanes == 0 {
		return c, nil, nil, errHash
	}
	salt, err = base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil || len(salt) < 8 {
		return c, nil, nil, errHash
	}
	sum, err = base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(sum) < 16 || len(sum) > 64 {
		return c, nil, nil, errHash
	}
	return c, salt, sum, nil
}
