package flow

// DeviceTx is the part of a transaction that keeps devices, groups, people, tokens, credentials of the inventory, posture, leases.
type DeviceTx interface {
}
