package flow

import (
	"context"
	"time"

	"cutoff/server/decision"
	"cutoff/server/operator"
)

// TrustTx is the part of a transaction that keeps policies, decisions,
// operators, sessions, API keys, connectors and the secrets they hold (sealed).
// What is not there is a NotFound, unless a function says otherwise.
type TrustTx interface {
	// NewestPolicy is the policy in force; the zero one if none was applied.
	NewestPolicy(ctx context.Context) (PolicyFile, error)
	// PolicyStamp is its stamp alone, to see whether it is the one at hand.
	PolicyStamp(ctx context.Context) (PolicyStamp, error)
	InsertPolicy(ctx context.Context, p PolicyFile) error
	// Decision is the last one about a device; the zero one before the first.
	Decision(ctx context.Context, deviceID string) (decision.Decision, error)
	PutDecision(ctx context.Context, deviceID string, d decision.Decision) error

	InsertAccount(ctx context.Context, a operator.Account, password string) error
	// Account is an account and its password's hash.
	Account(ctx context.Context, name string) (operator.Account, string, error)
	Accounts(ctx context.Context) ([]operator.Account, error)
	SetLogin(ctx context.Context, name string, now time.Time) error
	// DeleteAccount also ends its sessions.
	DeleteAccount(ctx context.Context, name string) error

	InsertSession(ctx context.Context, s operator.Session) error
	// Session is a session and whose it is.
	Session(ctx context.Context, hash operator.Hash) (operator.Session, operator.Account, error)
	TouchSession(ctx context.Context, hash operator.Hash, now time.Time) error
	DeleteSession(ctx context.Context, hash operator.Hash) error
	// DeleteSessionsBefore ends those begun or last seen before the times.
	DeleteSessionsBefore(ctx context.Context, created, seen time.Time) error

	InsertAPIKey(ctx context.Context, k operator.APIKey) error
	APIKey(ctx context.Context, hash operator.Hash) (operator.APIKey, error)
	// APIKeys are all, by name.
	APIKeys(ctx context.Context) ([]operator.APIKey, error)
	DeleteAPIKey(ctx context.Context, hash operator.Hash) error
	DeleteAPIKeysBefore(ctx context.Context, expired time.Time) error

	// SetupCode is the zero one if there is none.
	SetupCode(ctx context.Context) (operator.SetupCode, error)
	PutSetupCode(ctx context.Context, c operator.SetupCode) error
	DeleteSetupCode(ctx context.Context) error

	InsertConnector(ctx context.Context, c Connector) error
	Connector(ctx context.Context, name string) (Connector, error)
	Connectors(ctx context.Context) ([]Connector, error)
	DeleteConnector(ctx context.Context, name string) error
	// SetConnectorHealth notes how the connector last did.
	SetConnectorHealth(ctx context.Context, name string, health, detail string, now time.Time) error
	SetConnectorUsed(ctx context.Context, name string, now time.Time) error

	// Settings is what the configuration said at the last start.
	Settings(ctx context.Context) (map[string]string, error)
	PutSetting(ctx context.Context, name, value string) error
}
