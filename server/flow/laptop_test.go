package flow_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

var admin = flow.Actor{Name: "alice", Person: "alice", Role: "admin"}

// binding is the channel binding of the one connection tests pretend to have.
var binding = []byte("thirty-two bytes of a connection")

// laptop is an agent's half: its key and what the server gave it.
type laptop struct {
	key    ed25519.PrivateKey
	anchor []byte
	flow.EnrollResult
}

func newLaptop(t testing.TB, hostname string) *laptop {
	t.Helper()
	sum := sha256.Sum256([]byte("machine-id of " + hostname))
	return &laptop{key: newKey(t), anchor: sum[:]}
}

func (l *laptop) public() []byte { return l.key.Public().(ed25519.PublicKey) }

func (l *laptop) csr(t testing.TB) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, l.key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func (l *laptop) request(t testing.TB, secret []byte, hostname string) flow.EnrollInput {
	t.Helper()
	return flow.EnrollInput{
		Secret: secret, CSR: l.csr(t), Hostname: hostname, OS: "linux", Arch: "amd64", AgentVersion: "1.0.0",
		Anchor: l.anchor, Source: "192.0.2.7",
	}
}

// token makes an enrolment token and returns its secret.
func (h *harness) token(group string, uses int, ttl time.Duration) []byte {
	h.t.Helper()
	text, _, err := h.CreateToken(h.t.Context(), admin, group, uses, ttl)
	if err != nil {
		h.t.Fatal(err)
	}
	return secretOf(h.t, text)
}

func secretOf(t testing.TB, text string) []byte {
	t.Helper()
	parts := strings.Split(text, ".")
	if len(parts) != 4 || parts[0] != "cutoff1" {
		t.Fatalf("token %q has not four parts", text)
	}
	secret, err := base64.RawURLEncoding.DecodeString(parts[3])
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

// enrol makes a device of the default group.
func (h *harness) enrol(hostname string) *laptop {
	h.t.Helper()
	l := newLaptop(h.t, hostname)
	h.enrolAs(l, hostname)
	return l
}

func (h *harness) enrolAs(l *laptop, hostname string) {
	h.t.Helper()
	result, err := h.Enroll(h.t.Context(), l.request(h.t, h.token("", 1, time.Hour), hostname))
	if err != nil {
		h.t.Fatal(err)
	}
	l.EnrollResult = result
}

// serialOf is the serial of a chain's leaf, as flow keeps it.
func serialOf(t testing.TB, chain [][]byte) string {
	t.Helper()
	leaf, err := x509.ParseCertificate(chain[0])
	if err != nil {
		t.Fatal(err)
	}
	return flow.Serial(leaf.SerialNumber)
}

// peer is the device as its newest certificate shows it; flow need not agree.
func (l *laptop) peer(t testing.TB) flow.Peer {
	t.Helper()
	return flow.Peer{DeviceID: l.DeviceID, Serial: serialOf(t, l.Chain)}
}

// authenticate is the device's arrival with a chain.
func (h *harness) authenticate(l *laptop, chain [][]byte) (flow.Peer, error) {
	h.t.Helper()
	return h.Authenticate(h.t.Context(), l.DeviceID, serialOf(h.t, chain), l.public(), false)
}

func (l *laptop) hello(t testing.TB, order, lease uint64) []byte {
	t.Helper()
	return l.say(t, &cutoffv1.Hello{
		DeviceId: l.DeviceID, HighestOrder: order, HighestLease: lease, RosterVersion: 1, AgentVersion: "1.0.1",
		ChannelBinding: binding,
	})
}

func (l *laptop) say(t testing.TB, hello *cutoffv1.Hello) []byte {
	t.Helper()
	envelope, err := signed.Seal(signed.TypeHello, hello, l.key)
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

// roster opens the server's roster by its root key.
func (h *harness) roster() *cutoffv1.Roster {
	h.t.Helper()
	envelope, root := h.Roster()
	keys, err := signed.NewKeys(root)
	if err != nil {
		h.t.Fatal(err)
	}
	roster := &cutoffv1.Roster{}
	if _, err := signed.Open(envelope, signed.TypeRoster, keys, roster); err != nil {
		h.t.Fatal(err)
	}
	return roster
}

// lease asks for a lease and opens it as an agent would; nil with the reason if
// it is refused.
func (h *harness) lease(peer flow.Peer) (*cutoffv1.Lease, string) {
	h.t.Helper()
	nonce := make([]byte, 32)
	_, _ = rand.Read(nonce)
	envelope, refused, err := h.GrantLease(h.t.Context(), peer, nonce, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	if refused != "" {
		if envelope != nil {
			h.t.Fatal("a refused lease came with an envelope")
		}
		return nil, refused
	}
	keys, err := signed.NewKeys(h.roster().GetLeaseKeys()...)
	if err != nil {
		h.t.Fatal(err)
	}
	lease := &cutoffv1.Lease{}
	if _, err := signed.Open(envelope, signed.TypeLease, keys, lease); err != nil {
		h.t.Fatal(err)
	}
	if string(lease.GetNonce()) != string(nonce) {
		h.t.Fatal("the lease answers another nonce")
	}
	return lease, ""
}

// view is the device as people see it.
func (h *harness) view(id string) flow.DeviceView {
	h.t.Helper()
	v, err := h.Device(h.t.Context(), admin, id)
	if err != nil {
		h.t.Fatal(err)
	}
	return v
}

// recorded lists the kinds of evidence about a device, in order.
func (h *harness) recorded(deviceID string) []string {
	h.t.Helper()
	var kinds []string
	err := h.store.View(h.t.Context(), func(tx flow.Tx) error {
		return tx.Evidence(h.t.Context(), 1, 1000, func(r evidence.Record) error {
			if r.DeviceID == deviceID {
				kinds = append(kinds, r.Kind)
			}
			return nil
		})
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return kinds
}

// mustFail checks the kind and that the sentence holds a word.
func mustFail(t testing.TB, err error, kind fault.Kind, word string) {
	t.Helper()
	if !fault.Is(err, kind) || !strings.Contains(fault.Sentence(err), word) {
		t.Fatalf("got %v (kind %d), want kind %d with %q", err, fault.Of(err), kind, word)
	}
}

// openGrant opens a standing grant as its device does.
func (h *harness) openGrant(envelope []byte) *cutoffv1.StandingGrant {
	h.t.Helper()
	keys, err := signed.NewKeys(h.roster().GetLeaseKeys()...)
	if err != nil {
		h.t.Fatal(err)
	}
	grant := &cutoffv1.StandingGrant{}
	if _, err := signed.Open(envelope, signed.TypeGrant, keys, grant); err != nil {
		h.t.Fatal(err)
	}
	return grant
}
