// Package uplink keeps the agent's one connection to its server: it dials,
// proves who is at either end, comes back after a loss with jitter, renews the
// certificate and takes new rosters. What the messages mean is for its handler.
// It must not verify an order or a lease, or touch the device.
package uplink

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"google.golang.org/grpc"

	"cutoff/agent/config"
	"cutoff/agent/enroll"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// Greeting is what the handler adds to a hello.
type Greeting struct {
	HighestOrder uint64
	HighestLease uint64
	BootID       string
	Challenge    []byte
	// CatalogueNumber and Catalogue name the kept catalogue; 0 is none.
	CatalogueNumber uint64
	Catalogue       string
}

// Handler is told what happens. Its functions are called one at a time and must
// not wait for the network.
type Handler struct {
	// Greet is asked before each hello.
	Greet func() (Greeting, error)
	// Opened: the server has welcomed the stream.
	Opened func(*Stream, *cutoffv1.Welcome)
	// Received: a message came. Orders and acknowledgements may also come
	// without a stream, from a device whose certificate has expired.
	Received func(*cutoffv1.ConnectResponse)
	// Closed: the stream of the last Opened has ended.
	Closed func()
	// Receipts are those not acknowledged yet.
	Receipts func() ([][]byte, error)
	// RosterRefused: a roster was refused, with the reason of a Refusal.
	RosterRefused func(reason string, version uint64)
}

// Config is what New needs; all of it.
type Config struct {
	State config.Dir
	// Server is the list of addresses that enrolment fixed, HOST:PORT,HOST:PORT.
	Server  string
	Device  string
	Domain  string
	RootKey []byte
	Key     crypto.Signer
	Version string
	Now     func() time.Time
	Log     *slog.Logger
	Handler Handler
}

// Uplink is the connection. Run drives it; Unseal and Roster may be called
// meanwhile.
type Uplink struct {
	config Config

	mu          sync.Mutex
	roster      *enroll.Roster
	certificate *tls.Certificate
	// renewed is when this process renewed it, by the monotonic clock.
	renewed time.Time
	conn    *grpc.ClientConn
	// learnt are addresses that leases named; turn counts those tried.
	learnt  []string
	turn    int
	channel channel
}

// New reads the roster and the certificate.
func New(c Config) (*Uplink, error) {
	envelope, err := c.State.Roster()
	if err != nil {
		return nil, err
	}
	roster, err := enroll.OpenRoster(envelope, c.RootKey, c.Domain)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", config.ErrDamaged, err)
	}
	chain, err := c.State.Certificate()
	if err != nil {
		return nil, err
	}
	certificate, err := parseCertificate(chain, c.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w: %w", config.ErrDamaged, err)
	}
	return &Uplink{config: c, roster: roster, certificate: certificate}, nil
}

func parseCertificate(chain []byte, key crypto.Signer) (*tls.Certificate, error) {
	made := &tls.Certificate{PrivateKey: key}
	for {
		var block *pem.Block
		if block, chain = pem.Decode(chain); block == nil {
			break
		}
		made.Certificate = append(made.Certificate, block.Bytes)
	}
	if len(made.Certificate) == 0 {
		return nil, errors.New("no certificate")
	}
	leaf, err := x509.ParseCertificate(made.Certificate[0])
	if err != nil {
		return nil, err
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(leaf.PublicKey) {
		return nil, errors.New("it is not for the device key")
	}
	made.Leaf = leaf
	return made, nil
}

// Roster is the newest roster.
func (u *Uplink) Roster() *enroll.Roster {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.roster
}

func (u *Uplink) current() *tls.Certificate {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.certificate
}

func (u *Uplink) setConn(conn *grpc.ClientConn, ch channel) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.conn, u.channel = conn, ch
}

// Waits between attempts: full jitter below a doubling cap.
const (
	firstWait = 500 * time.Millisecond
	maxWait   = 30 * time.Second
	// steady is how long a stream must have lived for the waits to start anew.
	steady = 30 * time.Second
)

// Run keeps the connection until ctx ends.
func (u *Uplink) Run(ctx context.Context) error {
	attempt, turn := 0, 0
	for ctx.Err() == nil {
		begun := u.config.Now()
		again, err := u.session(ctx)
		if ctx.Err() != nil {
			break
		}
		if lived := u.config.Now().Sub(begun); lived > steady {
			attempt, turn = 0, 0
		}
		wait := max(again, jitter(attempt))
		if errors.Is(err, errRenewed) {
			wait = 0
		} else {
			u.lost(ctx, attempt, err)
			turn++
			attempt = turn / u.next() // the wait grows when all have been tried
		}
		pause(ctx, wait)
	}
	return ctx.Err()
}

// lost logs a loss; a device that is offline for days does not fill its log.
func (u *Uplink) lost(ctx context.Context, attempt int, err error) {
	level := slog.LevelInfo
	if attempt > 1 {
		level = slog.LevelDebug
	}
	u.config.Log.Log(ctx, level, "not connected", "err", err)
}

// jitter is a random wait below the cap of this attempt.
func jitter(attempt int) time.Duration {
	limit := maxWait
	if attempt < 6 {
		limit = min(maxWait, firstWait<<attempt)
	}
	return rand.N(limit) + 1 // spreads load, guards nothing
}

func pause(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
