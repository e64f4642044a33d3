package e2e

import (
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"cutoff/server/e2e/stack"
)

// The client certificate that a person's step got from a step-ca revokes itself,
// before anybody with rights at the CA is asked: the key goes, and the
// certificate is not renewed any more. That of another device goes on.
func TestAPurgeLetsAClientCertificateRevokeItself(t *testing.T) {
	w := newWorld(t)
	ca, err := w.stack.StartStepCA(w.ctx())
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := w.stack.StartStepCA(w.ctx()) // another company's
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(w.laptop.Root, "home/alice")
	// issue has a certificate made and puts it and its key into the home; no key:
	// it is of another device.
	issue := func(from *stack.StepCA, name, certificate, key string) tls.Certificate {
		t.Helper()
		c, err := from.Issue(w.ctx(), name)
		if err != nil {
			t.Fatal(err)
		}
		chain, private, err := stack.Files(c)
		if err != nil {
			t.Fatal(err)
		}
		if key != "" {
			writeAs(t, filepath.Join(folder, certificate), []byte(chain), folder)
			writeAs(t, filepath.Join(folder, key), []byte(private), folder)
		}
		return c
	}
	mine := issue(ca, "alice", ".step/identity/identity.crt", ".step/identity/identity_key")
	beside := issue(ca, "laptop", ".step/certs/laptop.crt", ".step/certs/laptop.key")
	home := issue(ca, "vpn", "vpn.crt", "vpn.key")
	other := issue(ca, "desk", "", "")
	foreign := issue(stranger, "alice", "theirs.crt", "theirs.key")
	renews := func(from *stack.StepCA, c tls.Certificate) int {
		t.Helper()
		status, _, err := from.Renew(w.ctx(), c)
		if err != nil {
			t.Fatal(err)
		}
		return status
	}
	if got := renews(ca, mine); got != http.StatusCreated {
		t.Fatalf("a renewal before: status %d", got)
	}
	defaults, err := json.Marshal(map[string]string{"ca-url": ca.Base, "root": "/home/alice/.step/certs/root_ca.crt"})
	if err != nil {
		t.Fatal(err)
	}
	writeAs(t, filepath.Join(folder, ".step/config/defaults.json"), defaults, folder)
	writeAs(t, filepath.Join(folder, ".step/certs/root_ca.crt"), []byte(ca.RootPEM), folder)
	id := w.open("purge")
	w.until("settled", func() bool { return w.cut(id).State == "settled" })
	host := strings.TrimPrefix(ca.Base, "https://")
	for file, c := range map[string]tls.Certificate{"/.step/identity/identity_key": mine, "/.step/certs/laptop.key": beside, "/alice/vpn.key": home} {
		_, said := w.selfRevocations(id, file)
		if said[host] != "revoked" {
			t.Errorf("%s: the receipt says %q", file, said)
		}
		// What is kept from being renewed, and no more: who reads no list takes it on.
		if got, err := ca.Revoked(w.ctx(), c); err != nil || !got {
			t.Errorf("%s: in the CA's list: %v, %v", file, got, err)
		}
		if got := renews(ca, c); got != http.StatusUnauthorized {
			t.Errorf("%s: a renewal answers %d", file, got)
		}
	}
	if got := renews(ca, other); got != http.StatusCreated {
		t.Errorf("another device's certificate: status %d", got)
	}
	// A key is shown to nobody but the issuer of its certificate.
	if _, said := w.selfRevocations(id, "/alice/theirs.key"); len(said) > 0 {
		t.Errorf("a stranger's key was shown: %q", said)
	}
	if got := renews(stranger, foreign); got != http.StatusCreated {
		t.Errorf("a stranger's certificate: status %d", got)
	}
	// The server is told which certificate it was.
	serial := hex.EncodeToString(mine.Leaf.SerialNumber.Bytes())
	if got := w.identifiers(id, "/.step/identity/identity_key")["x509-serial"]; got != serial {
		t.Errorf("x509-serial %q, want %s", got, serial)
	}
}
