// Package scope keeps how far a cut of this device goes: what its group chose,
// and the catalogue entries that administrators added. What it takes is signed
// by an order key for this device, newer than what it has, and checked by the
// agent's own rules; it lies in the state directory in two copies and survives
// a restart. It must not act on any of it, or talk to a server.
package scope

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"cutoff/agent/config"
	"cutoff/agent/purge/catalogue"
	"cutoff/proto/addition"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// Refused is the error of what was not taken, with what a signed Refusal needs.
type Refused struct {
	// Reason is the Refusal's: forged, foreign, stale, malformed.
	Reason string
	// Number is the catalogue's; 0 unless a signature vouched for it.
	Number uint64
	cause  string
}

// Error says why.
func (r *Refused) Error() string { return fmt.Sprintf("refused as %s: %s", r.Reason, r.cause) }

// Bounds of a group's choices.
const (
	maxList = 64
	maxWord = 256
	// jump is how far a number may run ahead of what is kept: what signs one can
	// never use the numbers up.
	jump = 1 << 32
)

// Config says who this device is and whom it believes.
type Config struct {
	State       config.Dir
	DeviceID    string
	TrustDomain string
	// Keys are the order keys of the newest roster.
	Keys func() signed.Keys
	Log  *slog.Logger
}

// Keeper holds what is in force. It is safe for concurrent use.
type Keeper struct {
	config Config

	mu     sync.Mutex
	number uint64
	held   string
	scope  catalogue.Scope
}

// Open reads what was kept. What cannot be read or believed any more is not
// used: the device falls back to the narrowest scope and its server, which is
// told, sends what is due.
func Open(c Config) *Keeper {
	k := &Keeper{config: c}
	for _, raw := range c.State.Catalogues() {
		m, scope, err := k.open(raw, signed.TypeCatalogue)
		if err != nil {
			c.Log.Warn("a kept catalogue is not used", "err", err)
			continue
		}
		if m.GetNumber() > k.number {
			k.number, k.held, k.scope = m.GetNumber(), m.GetContent(), scope
		}
	}
	return k
}

// Scope is what is in force.
func (k *Keeper) Scope() catalogue.Scope {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.scope
}

// Held is what a hello says of it: number 0 is none.
func (k *Keeper) Held() (number uint64, content string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.number, k.held
}

// Take verifies a catalogue, keeps it durably and puts it in force. The one
// that is in force already is taken again without a change. Its error is a
// *Refused, or says that it could not be kept.
func (k *Keeper) Take(raw []byte) (changed bool, err error) {
	m, scope, err := k.open(raw, signed.TypeCatalogue)
	if err != nil {
		return false, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case m.GetNumber() == k.number && m.GetContent() == k.held:
		return false, nil
	case m.GetNumber() <= k.number:
		return false, &Refused{Reason: "stale", Number: m.GetNumber(), cause: fmt.Sprintf("number %d, and %d is kept", m.GetNumber(), k.number)}
	case m.GetNumber()-k.number >= jump:
		return false, &Refused{Reason: "malformed", Number: m.GetNumber(), cause: "its number is too far ahead"}
	}
	if err := k.config.State.KeepCatalogue(raw); err != nil {
		return false, err
	}
	k.number, k.held, k.scope = m.GetNumber(), m.GetContent(), scope
	return true, nil
}

// Proposal is the scope a proposal would bring, for a plan and nothing else.
func (k *Keeper) Proposal(raw []byte) (catalogue.Scope, error) {
	_, scope, err := k.open(raw, signed.TypeProposal)
	return scope, err
}

// open verifies raw, then parses it, then checks all that it says.
func (k *Keeper) open(raw []byte, payloadType string) (*cutoffv1.Catalogue, catalogue.Scope, error) {
	m := &cutoffv1.Catalogue{}
	_, err := signed.Open(raw, payloadType, k.config.Keys(), m)
	switch {
	case errors.Is(err, signed.ErrUntrusted):
		return nil, catalogue.Scope{}, &Refused{Reason: "forged", cause: "no signature by an order key of the roster"}
	case err != nil:
		return nil, catalogue.Scope{}, &Refused{Reason: "malformed", cause: err.Error()}
	case m.GetDeviceId() != k.config.DeviceID, m.GetTrustDomain() != k.config.TrustDomain:
		return nil, catalogue.Scope{}, &Refused{Reason: "foreign", Number: m.GetNumber(), cause: "it is another device's"}
	case payloadType == signed.TypeCatalogue && (m.GetNumber() == 0 || m.GetContent() == "" || len(m.GetContent()) > maxWord):
		return nil, catalogue.Scope{}, &Refused{Reason: "malformed", cause: "it has no number or no content"}
	}
	scope, err := read(m, runtime.GOOS)
	if err != nil {
		return nil, catalogue.Scope{}, &Refused{Reason: "malformed", Number: m.GetNumber(), cause: err.Error()}
	}
	return m, scope, nil
}

// read turns the message into a scope by the agent's own rules.
func read(m *cutoffv1.Catalogue, goos string) (catalogue.Scope, error) {
	c := m.GetChoices()
	for name, list := range map[string][]string{"accounts": c.GetAccounts(), "policies": c.GetPolicies(), "work trees": c.GetWorkTrees()} {
		if err := bounded(list); err != nil {
			return catalogue.Scope{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	for _, p := range c.GetPolicies() {
		if !slices.Contains(catalogue.Policies(), p) {
			return catalogue.Scope{}, fmt.Errorf("this agent does not know the policy %q", p)
		}
	}
	for _, a := range c.GetAccounts() {
		if why := addition.WrongAccount(a); why != "" {
			return catalogue.Scope{}, errors.New(why)
		}
	}
	for _, tree := range c.GetWorkTrees() {
		if why := addition.WrongTree(tree); why != "" {
			return catalogue.Scope{}, errors.New(why)
		}
	}
	if n := len(m.GetFingerprintKey()); n != 0 && n != 32 {
		return catalogue.Scope{}, errors.New("its fingerprint key is no key")
	}
	files := make([]addition.File, 0, len(m.GetFiles()))
	for _, f := range m.GetFiles() {
		files = append(files, addition.File{Name: f.GetName(), YAML: f.GetYaml()})
	}
	added, err := catalogue.Added(files, goos)
	if err != nil {
		return catalogue.Scope{}, err
	}
	return catalogue.Scope{
		Version: strconv.FormatUint(m.GetVersion(), 10), Everything: c.GetEverything(), Accounts: c.GetAccounts(),
		Policies: c.GetPolicies(), Enrich: c.GetEnrich(), WorkTrees: c.GetWorkTrees(), Added: added,
		FingerprintKey: m.GetFingerprintKey(),
	}, nil
}

func bounded(list []string) error {
	if len(list) > maxList {
		return fmt.Errorf("%d entries, at most %d", len(list), maxList)
	}
	for _, s := range list {
		if strings.TrimSpace(s) == "" || len(s) > maxWord {
			return errors.New("an entry is empty or too long")
		}
	}
	return nil
}
