// Package operator holds who may run the server: accounts and their roles,
// passwords, sessions, API keys, the one-time setup code, and how often a
// login may be tried. It must not know how any of them is stored or sent.
package operator

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"cutoff/server/fault"
)

// Roles, weakest last.
const (
	Admin    = "admin"
	Operator = "operator"
	Viewer   = "viewer"
)

// CheckRole refuses what is no role.
func CheckRole(role string) error {
	switch role {
	case Admin, Operator, Viewer:
		return nil
	}
	return fault.New(fault.Invalid, "role %q is none of admin, operator, viewer", role)
}

// Local is the person that everybody at the admin socket counts as.
const Local = "local"

// Account is one operator.
type Account struct {
	Name      string
	Role      string
	CreatedAt time.Time
	// LastLogin is zero before the first.
	LastLogin time.Time
}

// Name begins with a letter and is lower case, so that it can be mistaken
// neither for another nor for a machine part (which have a colon).
var accountName = regexp.MustCompile(`^[a-z][a-z0-9._@-]{0,63}$`)

// reserved are names that evidence uses for parts of the server.
var reserved = regexp.MustCompile(`^(local|server|policy|lease|signal|system|agent|queue)$`)

// CheckName refuses names that no account or API key can have.
func CheckName(name string) error {
	if !accountName.MatchString(name) {
		return fault.New(fault.Invalid, "a name is a lower-case letter, then letters, digits, '.', '_', '@' or '-', at most 64")
	}
	if reserved.MatchString(name) {
		return fault.New(fault.Invalid, "the name %q is reserved", name)
	}
	return nil
}

// Limits of a password, in characters and bytes.
const (
	MinPassword = 12
	// MaxPassword is in bytes: strangers must not have the server hash more.
	MaxPassword = 1024
)

// CheckPassword refuses passwords that are too short to be one, or too long to
// be hashed for strangers.
func CheckPassword(name, password string) error {
	switch {
	case !utf8.ValidString(password):
		return fault.New(fault.Invalid, "the password is not text")
	case utf8.RuneCountInString(password) < MinPassword:
		return fault.New(fault.Invalid, "a password has at least %d characters", MinPassword)
	case len(password) > MaxPassword:
		return fault.New(fault.Invalid, "a password has at most %d bytes", MaxPassword)
	case password == strings.Repeat(password[:1], len(password)) || strings.EqualFold(password, strings.Repeat(name, 2)):
		return fault.New(fault.Invalid, "that password is too easy to guess")
	}
	return nil
}

// How long a session lasts: without being used, and altogether.
const (
	SessionIdle  = time.Hour
	SessionTotal = 12 * time.Hour
	// touchEvery is how much later a use must be to be written down.
	touchEvery = time.Minute
)

// Session is one signed-in browser. Only the hash of its token is kept.
type Session struct {
	Hash      Hash
	Operator  string
	CreatedAt time.Time
	SeenAt    time.Time
}

// Live reports whether the session holds at now.
func (s *Session) Live(now time.Time) bool {
	return now.Sub(s.CreatedAt) < SessionTotal && now.Sub(s.SeenAt) < SessionIdle && !now.Before(s.CreatedAt.Add(-touchEvery))
}

// Stale reports whether the use at now should be written down.
func (s *Session) Stale(now time.Time) bool { return now.Sub(s.SeenAt) >= touchEvery }

// Limits of an API key's life.
const (
	MaxKeyLife     = 366 * 24 * time.Hour
	DefaultKeyLife = 90 * 24 * time.Hour
)

// APIKey is what an integration shows instead of a session.
type APIKey struct {
	Hash      Hash
	Name      string
	Role      string
	CreatedBy string
	CreatedAt time.Time
	ExpiresAt time.Time
}

// ID names the key. It is drawn from the hash of 256 random bits, so it tells
// nobody the key.
func (k *APIKey) ID() string { return fmt.Sprintf("key_%x", k.Hash[:8]) }

// SetupLife is how long a setup code holds.
const SetupLife = time.Hour

// SetupCode lets the first admin in. Only its hash is kept.
type SetupCode struct {
	Hash      Hash
	ExpiresAt time.Time
}

// Live reports whether the code holds at now.
func (c *SetupCode) Live(now time.Time) bool {
	return c.Hash != Hash{} && now.Before(c.ExpiresAt) && c.ExpiresAt.Sub(now) <= SetupLife
}

// Hash is SHA-256 of a random secret. Being random, it needs no slow hash.
type Hash [sha256.Size]byte

// HashOf is how a session token, API key or setup code is looked up.
func HashOf(secret string) Hash { return sha256.Sum256([]byte(secret)) }

// keyPrefix marks an API key, so that scanners find leaked ones.
const keyPrefix = "cutoff_key_"

// NewSecret draws 256 random bits as text: a session's token.
func NewSecret() string {
	var raw [32]byte
	_, _ = rand.Read(raw[:]) // crypto/rand.Read never fails
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

// NewKey draws an API key.
func NewKey() string { return keyPrefix + NewSecret() }

// NewSetupCode draws a code a person can type: 120 bits, six groups of four.
func NewSetupCode() string {
	var raw [15]byte
	_, _ = rand.Read(raw[:]) // crypto/rand.Read never fails
	text := base32.StdEncoding.EncodeToString(raw[:])
	var groups []string
	for i := 0; i < len(text); i += 4 {
		groups = append(groups, text[i:i+4])
	}
	return strings.Join(groups, "-")
}

// PlainSetupCode is a typed code as it was drawn: upper case, hyphens where
// they belong, whatever was typed.
func PlainSetupCode(typed string) string {
	text := strings.NewReplacer("-", "", " ", "", "\n", "", "\r", "", "\t", "").Replace(strings.ToUpper(typed))
	if len(text) != 24 {
		return ""
	}
	var groups []string
	for i := 0; i < len(text); i += 4 {
		groups = append(groups, text[i:i+4])
	}
	return strings.Join(groups, "-")
}

// String keeps a hash out of logs.
func (h Hash) String() string { return fmt.Sprintf("sha256:%x…", h[:4]) }
