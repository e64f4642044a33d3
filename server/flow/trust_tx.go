package flow

// TrustTx is the part of a transaction that keeps policies, operators, sessions, API keys, connectors and the secrets they hold (sealed).
type TrustTx interface {
}
