package ca_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"cutoff/server/ca"
	"cutoff/server/flow"
)

var start = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

func open(t *testing.T, dir string) *ca.Authority {
	t.Helper()
	a, err := ca.Open(dir, start)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// contents reads every file below dir.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		all[path] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestASecondStartChangesNothing(t *testing.T) {
	dir := t.TempDir()
	first := open(t, dir)
	before := contents(t, dir)
	if len(before) != 9 {
		t.Fatalf("%d key files: %v", len(before), slices.Collect(maps.Keys(before)))
	}
	second, err := ca.Open(dir, start.Add(1000*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(before, contents(t, dir)) {
		t.Fatal("a second start changed a file")
	}
	if first.TrustDomain() != second.TrustDomain() || !bytes.Equal(first.RootKey(), second.RootKey()) ||
		!bytes.Equal(first.Roster(), second.Roster()) || first.RosterVersion() != 1 || second.RosterVersion() != 1 ||
		!first.Certificate().Equal(second.Certificate()) {
		t.Fatal("the second start is another authority")
	}
	if other := open(t, t.TempDir()); other.TrustDomain() == first.TrustDomain() {
		t.Fatal("two servers share a trust domain")
	}
}

func TestKeysArePrivate(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	info, err := os.Stat(filepath.Join(dir, "keys"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("keys has mode %v, %v", info.Mode(), err)
	}
	for path := range contents(t, dir) {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%s has mode %v, %v", path, info.Mode(), err)
		}
	}
}

func TestDamagedKeyFilesAreNamedAndNeverReplaced(t *testing.T) {
	names := []string{
		"root.key", "order.key", "lease.key", "evidence.key", "data.key", "ca.key", "ca.crt", "trust.json", "roster",
	}
	damages := map[string]func(t *testing.T, path string){
		"missing": func(t *testing.T, path string) { must(t, os.Remove(path)) },
		"empty":   func(t *testing.T, path string) { must(t, os.WriteFile(path, nil, 0o600)) },
		"half written": func(t *testing.T, path string) {
			text, err := os.ReadFile(path)
			must(t, err)
			must(t, os.WriteFile(path, text[:len(text)/2], 0o600))
		},
		"readable by others": func(t *testing.T, path string) { must(t, os.Chmod(path, 0o644)) },
		"garbage":            func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("garbage\n"), 0o600)) },
	}
	for _, name := range names {
		for damage, apply := range damages {
			t.Run(name+" "+damage, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				open(t, dir)
				path := filepath.Join(dir, "keys", name)
				apply(t, path)
				before := contents(t, dir)
				_, err := ca.Open(dir, start)
				if !errors.Is(err, ca.ErrKeys) || !strings.Contains(err.Error(), path) {
					t.Fatalf("got %v, want an error that names %s", err, path)
				}
				if !maps.Equal(before, contents(t, dir)) {
					t.Fatal("a file was changed")
				}
			})
		}
	}
}

func TestAnotherServersKeyFileIsRefused(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	open(t, dir)
	open(t, other)
	for _, name := range []string{"root.key", "order.key", "lease.key", "evidence.key", "ca.key", "ca.crt", "trust.json", "roster"} {
		mine, err := os.ReadFile(filepath.Join(dir, "keys", name))
		must(t, err)
		foreign, err := os.ReadFile(filepath.Join(other, "keys", name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "keys", name), foreign, 0o600))
		if _, err := ca.Open(dir, start); !errors.Is(err, ca.ErrKeys) {
			t.Errorf("%s of another server: %v", name, err)
		}
		must(t, os.WriteFile(filepath.Join(dir, "keys", name), mine, 0o600))
	}
	open(t, dir)
}

func TestLostKeysAreNotMadeAnew(t *testing.T) {
	for _, left := range []string{"cutoff.db", "escrow"} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, left), nil, 0o600))
		_, err := ca.Open(dir, start)
		if !errors.Is(err, ca.ErrKeys) || !strings.Contains(err.Error(), "backup") {
			t.Fatalf("with %s left: %v", left, err)
		}
	}
}

func TestAFirstStartThatWasKilledIsStartedOver(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "keys.new"), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "keys.new", "root.key"), []byte("half"), 0o600))
	open(t, dir)
	if _, err := os.Stat(filepath.Join(dir, "keys.new")); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("keys.new is still there: %v", err)
	}
}

func TestTheAgentsListenerIsKnownByItsSpiffeIdOverRealTLS(t *testing.T) {
	a := open(t, t.TempDir())
	serving := a.Agents(func() time.Time { return start }, "cutoff.example.com", "127.0.0.1")
	first, err := serving.GetCertificate(&tls.ClientHelloInfo{})
	must(t, err)
	leaf := first.Leaf
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != "spiffe://"+a.TrustDomain()+"/server" {
		t.Fatalf("names %v", leaf.URIs)
	}
	verify(t, a, leaf, start)
	must(t, leaf.VerifyHostname("cutoff.example.com"))
	must(t, leaf.VerifyHostname("127.0.0.1"))
	console, err := a.Console(func() time.Time { return start }, "cutoff.example.com").GetCertificate(nil)
	must(t, err)
	if len(console.Leaf.URIs) != 0 {
		t.Fatal("the console's certificate could pass for the agents' server")
	}
	verify(t, a, console.Leaf, start)
}

func verify(t *testing.T, a *ca.Authority, leaf *x509.Certificate, now time.Time) {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now}); err != nil {
		t.Fatal(err)
	}
}

func TestAListenersCertificateIsReplacedInGoodTime(t *testing.T) {
	a := open(t, t.TempDir())
	now := start
	serving := a.Agents(func() time.Time { return now })
	first, err := serving.GetCertificate(nil)
	must(t, err)
	now = start.Add(19 * 24 * time.Hour)
	same, err := serving.GetCertificate(nil)
	must(t, err)
	now = start.Add(21 * 24 * time.Hour)
	next, err := serving.GetCertificate(nil)
	must(t, err)
	if same != first || next == first {
		t.Fatal("replaced too early, or not at all")
	}
	verify(t, a, next.Leaf, now)
}

func TestADeviceCertificateCannotServeNorSign(t *testing.T) {
	a := open(t, t.TempDir())
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		DNSNames: []string{"evil.example.com"},
	}, key)
	must(t, err)
	issued, err := a.Issue(flow.IssueRequest{CSR: csr, DeviceID: "dev_a", Now: start})
	must(t, err)
	leaf, err := x509.ParseCertificate(issued.Chain[0])
	must(t, err)
	if leaf.IsCA || len(leaf.DNSNames) != 0 || !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}) {
		t.Fatalf("certificate may do too much: %+v", leaf.ExtKeyUsage)
	}
	if issued.Serial != flow.Serial(leaf.SerialNumber) || len(issued.Serial) != 32 {
		t.Fatalf("serial %s, certificate has %x", issued.Serial, leaf.SerialNumber)
	}
	if !bytes.Equal(issued.PublicKey, key.Public().(ed25519.PublicKey)) {
		t.Fatal("another key")
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
