package revoke

import "time"

// ListEntry is one thing that a revocation list, which the server publishes
// itself, names: until the last step that asks for it is undone.
type ListEntry struct {
	StepID string
	// Kind is serial, or sha256 for the fingerprint of a key.
	Kind string
	// Authority is whose serial it is: the fingerprint of a key.
	Authority string
	Value     string
	// ExpiresAt is when it need not be named any more; zero is never.
	ExpiresAt time.Time
}

// List is a revocation list as it is published.
type List struct {
	Version uint64
	Bytes   []byte
	// Signature is by the key whose fingerprint is Signer.
	Signature []byte
	Signer    string
	MadeAt    time.Time
}

// ListHost is a host that said which version it has.
type ListHost struct {
	Name    string
	Version uint64
	At      time.Time
}

// ListChange is what is to change of a connector's list.
type ListChange struct {
	Add []ListEntry
	// Remove is the step whose entries go.
	Remove string
	// Render makes the list of a version of all entries that are left.
	Render func(version uint64, all []ListEntry) (List, error)
}
