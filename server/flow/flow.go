// Package flow is where things happen: each function is one transaction of the
// design's data flow, from a report to a decision to a cut to its proof. It
// asks the domain what is allowed, the store to keep it and the adapters
// (through interfaces it declares) to carry it out. It must not know SQL,
// transports or providers.
package flow

import (
	"context"
	"crypto"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"cutoff/server/operator"
)

// Store runs transactions. Update returns once the change is durable.
type Store interface {
	Update(ctx context.Context, fn func(Tx) error) error
	View(ctx context.Context, fn func(Tx) error) error
}

// Tx is one transaction: every row flow reads or writes. Each part is declared
// beside the code that uses it; a function asks for the part it needs.
type Tx interface {
	DeviceTx
	CutTx
	EvidenceTx
	TrustTx
	CatalogueTx
	ExtensionTx
	SilenceTx
	CertificateTx
	ListTx
}

// Signers sign what the server says; each key has one use.
type Signers struct {
	Order    crypto.Signer
	Lease    crypto.Signer
	Evidence crypto.Signer
}

// Hub reaches connected agents. What it does is a hint: the truth is in rows,
// and an agent that misses it finds the same at its next contact.
type Hub interface {
	// Wake makes the device's stream, if there is one, look for what is due.
	Wake(deviceID string)
	// Connected reports whether the device has a stream on this node.
	Connected(deviceID string) bool
}

// Pusher is a hub that can hand over an order which was signed before the
// device's stream looked for one. A hub that is none leaves signing to contact.
type Pusher interface {
	// Challenge is the newest challenge of the device's stream on this node that
	// no order answers yet; nil without one, or if it is too old to be of use. It
	// must not wait: it is asked inside a transaction.
	Challenge(deviceID string) []byte
	// Push hands the device the order that answers challenge, once that is
	// durable. If the stream has moved on it is woken instead.
	Push(deviceID string, challenge, order []byte)
}

// Peer is an authenticated device: what its certificate proved.
type Peer struct {
	DeviceID string
	Serial   string
	// Expired is set when the certificate's time is over; such a peer may only
	// renew and reconcile.
	Expired bool
	// Key is the raw Ed25519 device key, as the certificate and the device's
	// row say; all zero where nobody compared the two.
	Key [32]byte
}

// Actor is who asks for something: an operator, an API key or a machine part.
type Actor struct {
	// Name is what evidence says: alice, api:ci, local:0, policy, lease.
	Name string
	// Person is the name under which brake and approvals count: all local ones
	// are one person.
	Person string
	Role   string
	// Machine is set for policy, signals and silence.
	Machine bool
}

// Clock answers the time; a function so that tests decide it.
type Clock func() time.Time

// Flow is the server's brain. New makes one.
type Flow struct {
	store   Store
	signers Signers
	hub     Hub
	pusher  Pusher
	now     Clock
	log     *slog.Logger

	authority Authority
	vault     EscrowVault
	// escrowBackups is how long a backup of the vault may be kept.
	escrowBackups time.Duration
	dataKey       DataKey
	trustDomain   string

	connectors Planner
	queue      Waker
	devices    DevicePlanner
	brake      BrakeLimits
	watchers   *watchers
	arrivals   arrivals
	enrolments attempts

	registry ConnectorRegistry
	hasher   *operator.Hasher
	attempts operator.Attempts
	policies policies
	contents contents
	sealed   atomic.Pointer[sealedHead]
	mark     Mark
	marking  sync.Mutex
	setUp    func()

	codes     *rate.Limiter
	addresses Addresses

	// startedAt is when it was made; rightAt when the clock was last found right.
	startedAt time.Time
	rightAt   time.Time
	right     sync.Mutex
}

// Addresses are what devices learn with their leases: where else the agents'
// listener answers, and which web servers hold extension files.
type Addresses struct {
	Servers []string
	Mirrors []string
}

// Config is what New needs besides the store.
type Config struct {
	Signers Signers
	Hub     Hub
	Now     Clock
	Log     *slog.Logger
	// Authority issues device certificates; Vault wraps escrow keys.
	Authority Authority
	Vault     EscrowVault
	// EscrowBackups is how long backups of the vault are kept: so long a key
	// that was shredded may come back. Zero: none are made.
	EscrowBackups time.Duration
	// DataKey encrypts secrets at rest.
	DataKey DataKey
	// TrustDomain is what checkpoints are signed for.
	TrustDomain string
	// Connectors, Queue and Devices may be nil: then no cloud step is planned,
	// due steps wait to be looked for, and previews show the last inventory.
	Connectors Planner
	Queue      Waker
	Devices    DevicePlanner
	// Brake's zero fields mean their defaults.
	Brake BrakeLimits
	// Registry checks connectors' files and runs them; nil refuses to add any.
	Registry ConnectorRegistry
	// Mark notes the log's end outside the database; nil notes nothing.
	Mark Mark
	// SetUp, if set, is told once an account was made: the setup code is void.
	SetUp func()
	// Addresses are told to devices with their leases.
	Addresses Addresses
	// PasswordCost is what hashing a password costs; zero means the default.
	PasswordCost operator.Cost
}

// New makes a Flow. Every field of config is required.
func New(store Store, config Config) *Flow {
	pusher, _ := config.Hub.(Pusher)
	return &Flow{
		startedAt: config.Now(), pusher: pusher,
		store: store, signers: config.Signers, hub: config.Hub, now: config.Now, log: config.Log,
		authority: config.Authority, vault: config.Vault, escrowBackups: config.EscrowBackups, dataKey: config.DataKey, trustDomain: config.TrustDomain,
		connectors: config.Connectors, queue: config.Queue, devices: config.Devices,
		brake: config.Brake.filled(), watchers: newWatchers(),
		mark: config.Mark, setUp: config.SetUp, registry: config.Registry, hasher: operator.NewHasher(config.PasswordCost),
		codes: newCodesLimit(), addresses: config.Addresses,
	}
}
