package device

import "time"

// Credential is one row of the inventory: something on a device, or held by the
// server for a person, that gives access. It is known by non-secret names only.
type Credential struct {
	ID string
	// DeviceID is where it lies; empty for one only the server holds.
	DeviceID string
	PersonID string
	// Connector is who can revoke it, where that is known beforehand.
	Connector string
	Product   string
	// User is the local user whose it is.
	User        string
	Path        string
	Identifiers []Identifier
	Regain      string
	// Label is what an operator called a token handed in.
	Label     string
	ExpiresAt time.Time
	SeenAt    time.Time
	// Held is set when the server holds the token itself.
	Held bool
	// Harmless is set for what gives no access by itself (a shell history): it is
	// removed, but there is nothing to revoke.
	Harmless bool
	// TokenType of a held token: refresh_token, access_token.
	TokenType string
}

// Identifier is one non-secret name of a credential.
type Identifier struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

// Token is an enrolment token without its secret.
type Token struct {
	ID        string
	Group     string
	Uses      int
	Used      int
	CreatedBy string
	CreatedAt time.Time
	ExpiresAt time.Time
	RevokedAt time.Time
}

// States of a token.
const (
	TokenLive    = "live"
	TokenUsedUp  = "used-up"
	TokenExpired = "expired"
	TokenRevoked = "revoked"
)

// StateAt is where the token stands at now.
func (t *Token) StateAt(now time.Time) string {
	switch {
	case !t.RevokedAt.IsZero():
		return TokenRevoked
	case !now.Before(t.ExpiresAt):
		return TokenExpired
	case t.Used >= t.Uses:
		return TokenUsedUp
	default:
		return TokenLive
	}
}
