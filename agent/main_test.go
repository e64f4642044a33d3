package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cutoff/agent/config"
	"cutoff/agent/purge"
	"cutoff/platform/keystore"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// TestMain lets this binary be re-run as the agent's child, as the agent is.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == purge.ChildArg {
		os.Exit(purge.ChildMain(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// agentIn runs the command line with text on standard input.
func agentIn(t *testing.T, text string, args ...string) (code int, out, errs string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var stdout, stderr bytes.Buffer
	code = run(ctx, args, terminal{in: strings.NewReader(text), out: &stdout, err: &stderr})
	return code, stdout.String(), stderr.String()
}

func must[T any](value T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// enrolled is a state directory as enrolment leaves it, of a server that cannot
// be reached.
func enrolled(t *testing.T) config.Dir {
	t.Helper()
	dir := config.Dir(filepath.Join(t.TempDir(), "state"))
	if err := dir.Make(); err != nil {
		t.Fatal(err)
	}
	rootPublic, root, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	key := must(keystore.Create(dir.Key()))(t)
	caKey := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	caDER := must(x509.CreateCertificate(rand.Reader, template, template, caKey.Public(), caKey))(t)
	ca := must(x509.ParseCertificate(caDER))(t)
	leaf := must(x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		URIs: []*url.URL{{Scheme: "spiffe", Host: "cutoff.test", Path: "/device/dev_1"}},
	}, ca, key.Public(), caKey))(t)
	roster := must(signed.Seal(signed.TypeRoster, &cutoffv1.Roster{
		TrustDomain: "cutoff.test", Version: 1, CaCertificates: [][]byte{caDER}, OrderKeys: [][]byte{rootPublic}, LeaseKeys: [][]byte{rootPublic},
	}, root))(t)
	for _, err := range []error{
		dir.KeepRoster(roster),
		dir.KeepCertificate(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf})),
		dir.Write(config.Config{Server: "127.0.0.1:1", DeviceID: "dev_1", TrustDomain: "cutoff.test", RootKey: rootPublic, EnrolledAt: time.Now()}),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func digest(t *testing.T, dir config.Dir) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, e := range must(os.ReadDir(string(dir)))(t) {
		sum := sha256.Sum256(must(os.ReadFile(filepath.Join(string(dir), e.Name())))(t))
		all[e.Name()] = hex.EncodeToString(sum[:])
	}
	return all
}

func TestBadStateIsAClearErrorExitsTwoAndLosesNothing(t *testing.T) {
	file := func(d config.Dir, name string) string { return filepath.Join(string(d), name) }
	write := func(name, text string) func(*testing.T, config.Dir) {
		return func(t *testing.T, d config.Dir) {
			if err := os.WriteFile(file(d, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut := func(name string) func(*testing.T, config.Dir) {
		return func(t *testing.T, d config.Dir) {
			info := must(os.Stat(file(d, name)))(t)
			if err := os.Truncate(file(d, name), info.Size()/2); err != nil {
				t.Fatal(err)
			}
		}
	}
	mode := func(name string, m os.FileMode) func(*testing.T, config.Dir) {
		return func(t *testing.T, d config.Dir) {
			if err := os.Chmod(file(d, name), m); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := []struct {
		name  string
		spoil func(*testing.T, config.Dir)
		says  string
	}{
		{"a half-written configuration", cut("agent.yaml"), "agent.yaml"},
		{"an empty configuration", write("agent.yaml", ""), "it is empty"},
		{"a typo in the configuration", write("agent.yaml", "server: a:1\ndevice_idd: dev_1\n"), "device_idd"},
		{"a configuration of garbage", write("agent.yaml", strings.Repeat("\x00\xff", 40000)), "agent.yaml"},
		{"no configuration", func(t *testing.T, d config.Dir) { _ = os.Remove(file(d, "agent.yaml")) }, "not enrolled"},
		{"a directory open to others", mode("", 0o755), "open to other users"},
		{"a configuration open to others", mode("agent.yaml", 0o644), "open to other users"},
		{"a key open to others", mode("device.key", 0o640), "open to others"},
		{"a half-written key", cut("device.key"), "device.key"},
		{"no key", func(t *testing.T, d config.Dir) { _ = os.Remove(file(d, "device.key")) }, "device.key"},
		{"a half-written certificate", cut("certificate.pem"), "certificate"},
		{"a half-written roster", cut("roster"), "roster"},
		{"a journal of garbage", write("journal.db", strings.Repeat("garbage ", 4096)), "journal"},
		{"a link in place of the configuration", func(t *testing.T, d config.Dir) {
			if err := os.Rename(file(d, "agent.yaml"), file(d, "other")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("other", file(d, "agent.yaml")); err != nil {
				t.Fatal(err)
			}
		}, "not a regular file"},
		{"a configuration of another owner", func(t *testing.T, d config.Dir) {
			if os.Geteuid() != 0 {
				t.Skip("only root can give a file away")
			}
			if err := os.Chown(file(d, "agent.yaml"), 12345, 12345); err != nil {
				t.Fatal(err)
			}
		}, "another owner"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := enrolled(t)
			c.spoil(t, d)
			before := digest(t, d)
			code, out, errs := agentIn(t, "", "run", "--state", string(d))
			if code != exitUsage || out != "" {
				t.Errorf("exit %d, stdout %q", code, out)
			}
			if !strings.HasPrefix(errs, "cutoff-agent: ") || !strings.Contains(errs, c.says) || strings.Count(errs, "\n") < 2 {
				t.Errorf("stderr without %q or a hint: %q", c.says, errs)
			}
			after := digest(t, d)
			for name, sum := range before {
				if after[name] != sum {
					t.Errorf("%s was changed", name)
				}
			}
		})
	}
}

// lines hands on what is written, line by line.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.text.String() }

func TestRunSaysThatItIsUpWithinThreeSecondsWithoutAServer(t *testing.T) {
	d := enrolled(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var out lines
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"run", "--state", string(d)}, terminal{in: strings.NewReader(""), out: &out, err: io.Discard})
	}()
	deadline := time.After(3 * time.Second)
	for !strings.Contains(out.String(), "\n") {
		select {
		case <-deadline:
			t.Fatal("no line within 3 s")
		case code := <-ended:
			t.Fatalf("ended with %d", code)
		case <-time.After(time.Millisecond):
		}
	}
	if got := out.String(); got != `{"device_id":"dev_1","connected":false}`+"\n" {
		t.Errorf("got %q", got)
	}
	code, second, errs := agentIn(t, "", "run", "--state", string(d))
	if code != exitNot || second != "" || !strings.Contains(errs, "in use") {
		t.Errorf("a second agent: exit %d, %q, %q", code, second, errs)
	}
	var s status
	code, text, errs := agentIn(t, "", "status", "--state", string(d), "--json")
	if err := json.Unmarshal([]byte(text), &s); err != nil || code != exitDone || !s.Running || s.Connected || s.DeviceID != "dev_1" {
		t.Errorf("status: exit %d, %q, %q, %v", code, text, errs, err)
	}
	stop()
	if code := <-ended; code != exitDone {
		t.Errorf("stopped with %d", code)
	}
}

func TestUsageErrorsExitTwoWithAHint(t *testing.T) {
	d := string(enrolled(t))
	empty := filepath.Join(t.TempDir(), "none")
	for _, args := range [][]string{
		{"nonsense"}, {"run", "--nonsense"}, {"run", "more", "--state", d},
		{"enroll", "--state", empty}, {"enroll", "--state", empty, "--server", "a:1"},
		{"enroll", "--state", empty, "--server", "a:1", "--token", "x", "--token-file", "y"},
		{"enroll", "--state", empty, "--server", "a:1", "--token-file", "/nonexistent"},
		{"enroll", "--state", empty, "--server", "a", "--token", "x"},
		{"enroll", "--state", empty, "--server", "a:1", "--token", "cutoff1.x.y.z"},
		{"enroll", "--state", d, "--server", "other:1", "--token", "x"},
		{"enroll", "--state", empty, "--server", "a:1", "--token-file", "-"},
		{"status", "--state", empty}, {"run", "--state", ""},
	} {
		code, out, errs := agentIn(t, "a token on standard input", args...)
		if code != exitUsage || out != "" || !strings.HasPrefix(errs, "cutoff-agent: ") {
			t.Errorf("%v: exit %d, %q, %q", args, code, out, errs)
		}
		if strings.Contains(errs, "a token on standard input") {
			t.Errorf("%v repeats the token: %q", args, errs)
		}
	}
	if _, err := os.Stat(empty); err == nil {
		t.Error("a usage error made a state directory")
	}
}

func TestAnUnreachableServerIsNoUsageError(t *testing.T) {
	pin := strings.Repeat("A", 43)
	dir := filepath.Join(t.TempDir(), "state")
	code, _, errs := agentIn(t, "cutoff1.YQ."+pin+"."+pin+"\n", "enroll", "--state", dir, "--server", "127.0.0.1:1", "--token-file", "-")
	if code != exitNot || !strings.Contains(errs, "cannot be reached") {
		t.Errorf("exit %d, %q", code, errs)
	}
	if code, _, _ := agentIn(t, "", "status", "--state", dir); code != exitUsage {
		t.Errorf("status after it: exit %d", code)
	}
}

func TestEnrollingAgainExitsZeroWithoutAServer(t *testing.T) {
	d := enrolled(t)
	code, out, errs := agentIn(t, "", "enroll", "--state", string(d), "--server", "127.0.0.1:1", "--token", "anything")
	if code != exitDone || !strings.Contains(out, "dev_1") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
}

func TestPlanPrintsTheItemsOfATrialRootAndNoSecret(t *testing.T) {
	root := t.TempDir()
	home := filepath.Join(root, "home", "alice")
	if err := os.MkdirAll(filepath.Join(home, ".aws"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	uid := os.Geteuid()
	passwd := "alice:x:" + big.NewInt(int64(uid)).String() + ":" + big.NewInt(int64(os.Getegid())).String() + "::/home/alice:/bin/sh\n"
	secret := "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY\n"
	for name, text := range map[string]string{"etc/passwd": passwd, "home/alice/.aws/credentials": secret} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := agentIn(t, "", "plan", "--root", root, "--json")
	var plan struct {
		Items []map[string]any `json:"items"`
	}
	if err := json.Unmarshal([]byte(out), &plan); err != nil || code != exitDone || len(plan.Items) != 1 {
		t.Fatalf("exit %d, %q, %q, %v", code, out, errs, err)
	}
	for _, name := range []string{"id", "product", "user", "path", "action", "outcome", "detail", "residual_until", "identifiers"} {
		if _, ok := plan.Items[0][name]; !ok {
			t.Errorf("no %s in %v", name, plan.Items[0])
		}
	}
	if strings.Contains(out+errs, "wJalrXUtn") {
		t.Error("a secret was printed")
	}
	if got := must(os.ReadFile(filepath.Join(home, ".aws", "credentials")))(t); string(got) != secret {
		t.Error("plan touched a file")
	}
	if err := os.RemoveAll(filepath.Join(home, ".aws")); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := agentIn(t, "", "plan", "--root", root, "--json"); code != exitDone || strings.Join(strings.Fields(out), "") != `{"items":[]}` {
		t.Errorf("an empty home: exit %d, %q", code, out)
	}
	if code, _, errs := agentIn(t, "", "plan", "--root", t.TempDir(), "--json"); code != exitUsage || !strings.Contains(errs, "etc/passwd") {
		t.Errorf("a root without users: exit %d, %q", code, errs)
	}
}
