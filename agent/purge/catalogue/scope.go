package catalogue

import (
	"slices"

	"cutoff/proto/addition"
)

// Scope is how far a cut of this device goes: what its group chose beyond the
// catalogue. The zero value is the narrowest: catalogue items only, nothing
// that a policy must allow, no call to anybody.
type Scope struct {
	// Version names the scope in receipts; empty: none was received.
	Version string `json:"version,omitempty"`
	// Everything: the device is the company's, so that every item of a keyring
	// goes, not only those that the catalogue or Accounts match.
	Everything bool `json:"everything,omitempty"`
	// Accounts are the company's: domains ("example.com"), which also match any
	// account name that ends in them.
	Accounts []string `json:"accounts,omitempty"`
	// Policies are those of Credential.Policy that the group allows.
	Policies []string `json:"policies,omitempty"`
	// Enrich: tools' own providers may be asked for non-secret identifiers.
	Enrich bool `json:"enrich,omitempty"`
	// WorkTrees are folders ("~/src", "/srv/code") to search for secrets in text.
	WorkTrees []string `json:"work_trees,omitempty"`
	// FingerprintKey tells generated tokens in text apart; empty: they are not.
	FingerprintKey []byte `json:"fingerprint_key,omitempty"`
	// Added are the entries that administrators added, on this system. They come
	// after the whole catalogue and take nothing from it.
	Added []Credential `json:"-"`
}

// Allows reports whether c may be treated: what destroys data for good, or
// un-manages a device, waits for its group's word.
func (s Scope) Allows(c *Credential) bool {
	return c.Policy == "" || slices.Contains(s.Policies, c.Policy)
}

// Policies are the words of policy.
func Policies() []string { return slices.Clone(policies) }

// policies: private keys that may be the only copy, keys of encrypted data, keys
// of backups, password vaults, identities of system agents, network access of
// the machine, and mail or files kept offline. A group's choices use the same
// words.
var policies = addition.Policies()
