package sshkrl_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"cutoff/server/connector/sshkrl"
	"cutoff/server/device"
	"cutoff/server/e2e/stack"
	"cutoff/server/revoke"
)

// site is a real sshd that takes certificates of a real step-ca and reads a
// list, and the connector that publishes it.
type site struct {
	t    *testing.T
	dir  string
	port int
	ca   *stack.StepCA
	c    *sshkrl.Connector
	url  string
}

const token = "fetch-me-31"

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir()}
	st := &stack.Stack{Dir: t.TempDir()}
	t.Cleanup(st.Close)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var err error
	if s.ca, err = st.StartStepCA(ctx); err != nil {
		t.Fatal(err)
	}
	signing := s.newKey("signing")
	text, err := os.ReadFile(filepath.Join(s.dir, "signing"))
	if err != nil {
		t.Fatal(err)
	}
	made, problems := sshkrl.New(fmt.Sprintf("ca_keys: %q\nmax_session: 1h\nhosts: web-1\n", ssh.MarshalAuthorizedKey(s.ca.UserCA)), sshkrl.Config{
		Name: "hosts", Secrets: map[string]string{"signing_key": string(text), "fetch_token": token}, Lists: newLists(t), Now: time.Now,
	})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	s.c = made
	server := httptest.NewTLSServer(made)
	t.Cleanup(server.Close)
	s.url = server.URL
	s.write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	s.write("signers", `cutoff namespaces="cutoff-krl-hosts" `+string(ssh.MarshalAuthorizedKey(signing)))
	s.write("token", "Authorization: Bearer "+token+"\n")
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// newKey makes a key file of OpenSSH's.
func (s *site) newKey(name string) ssh.PublicKey {
	s.t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(name, string(pem.EncodeToMemory(block)))
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(name+".pub", string(ssh.MarshalAuthorizedKey(key)))
	return key
}

// device has a key with a certificate; its names are as an agent reports them.
func (s *site) device(name string) []device.Identifier {
	s.t.Helper()
	key := s.newKey(name)
	line, err := s.ca.IssueSSH(s.t.Context(), key, "alice", "root")
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(name+"-cert.pub", line)
	parsed, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		s.t.Fatal(err)
	}
	c := parsed.(*ssh.Certificate)
	return []device.Identifier{
		{Kind: "ssh-fingerprint", Value: ssh.FingerprintSHA256(key)}, {Kind: "ssh-cert-serial", Value: strconv.FormatUint(c.Serial, 10)},
		{Kind: "ssh-cert-key-id", Value: c.KeyId}, {Kind: "ssh-cert-ca", Value: ssh.FingerprintSHA256(c.SignatureKey)},
	}
}

// host is what a host runs by its timer.
func (s *site) host(args ...string) (string, error) {
	args = append([]string{"cutoff-krl-update.sh", s.url, "hosts", s.path("signers"), s.path("krl"), "web-1", s.path("token")}, args...)
	cmd := exec.Command("/bin/sh", args...)
	cmd.Env = append(os.Environ(), "CUTOFF_CA="+s.path("ca.pem"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *site) startSSHD() {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.port = l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	host := s.newKey("host")
	s.write("user_ca.pub", string(ssh.MarshalAuthorizedKey(s.ca.UserCA)))
	s.write("kh", fmt.Sprintf("[127.0.0.1]:%d %s", s.port, ssh.MarshalAuthorizedKey(host)))
	s.write("sshd_config", strings.ReplaceAll(fmt.Sprintf(`Port %d
ListenAddress 127.0.0.1
HostKey DIR/host
PidFile DIR/sshd.pid
TrustedUserCAKeys DIR/user_ca.pub
RevokedKeys DIR/krl
AuthorizedKeysFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
StrictModes no
LogLevel VERBOSE
`, s.port), "DIR", s.dir))
	if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
		s.t.Fatal(err)
	}
	log, err := os.Create(s.path("sshd.log"))
	if err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", s.path("sshd_config"))
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = log.Close()
		if text, err := os.ReadFile(s.path("sshd.log")); err == nil && s.t.Failed() {
			s.t.Logf("sshd said: %s", text)
		}
	})
	for end := time.Now().Add(20 * time.Second); ; {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			_ = conn.Close()
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("sshd does not answer: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (s *site) ssh(name, command string) *exec.Cmd {
	return exec.Command("/usr/bin/ssh", "-F", "none", "-o", "UserKnownHostsFile="+s.path("kh"), "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
		"-o", "IdentityAgent=none", "-o", "ControlPath=none", "-i", s.path(name), "-p", strconv.Itoa(s.port), "root@127.0.0.1", command)
}

func (s *site) signsIn(name string) bool {
	s.t.Helper()
	out, err := s.ssh(name, "echo in").CombinedOutput()
	if err == nil {
		return true
	}
	if !strings.Contains(string(out), "Permission denied") {
		s.t.Fatalf("ssh: %v %s", err, out)
	}
	return false
}

func (s *site) step(names []device.Identifier, id string) revoke.Step {
	s.t.Helper()
	specs := s.c.Plan(revoke.Subject{DeviceID: "dev_1", Hostname: "laptop-1", Credentials: []revoke.Credential{
		{ID: "crd_1", Names: names, Expires: time.Now().Add(time.Hour)}, {ID: "crd_2", Names: []device.Identifier{{Kind: "ssh-fingerprint", Value: "SHA256:none"}}},
	}})
	if len(specs) != 1 {
		s.t.Fatalf("planned %+v", specs)
	}
	return stepOf(specs[0], id, "")
}

func stepOf(p revoke.Spec, id, undoOf string) revoke.Step {
	return revoke.Step{ID: id, CutID: "cut_1", Action: p.Action, Target: p.Target, Params: p.Params, Residual: p.Residual, Undo: p.Undo, UndoOf: undoOf}
}

// act publishes, as the queue does.
func (s *site) act(step *revoke.Step) {
	s.t.Helper()
	r := s.c.Revoke(s.t.Context(), *step)
	if r.Outcome != revoke.Retrying || !r.Done {
		s.t.Fatalf("got %+v", r)
	}
	step.Memo, step.Acted = maps.Clone(r.Memo), true
}

func TestARealSSHDRefusesADeviceOnceItsHostHasTheList(t *testing.T) {
	s := newSite(t)
	mine, _ := s.device("laptop-1"), s.device("laptop-2")
	if out, err := s.host(); err != nil {
		t.Fatalf("the first list: %v %s", err, out)
	}
	s.startSSHD()
	if !s.signsIn("laptop-1") || !s.signsIn("laptop-2") {
		t.Fatal("a good certificate is refused")
	}
	// A session that is open goes on: sshd asks its list when somebody signs in.
	open := s.ssh("laptop-1", "echo in; read line; echo still $line")
	to, err := open.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	from, err := open.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := open.Start(); err != nil {
		t.Fatal(err)
	}
	session := bufio.NewReader(from)
	if line, err := session.ReadString('\n'); err != nil || line != "in\n" {
		t.Fatalf("got %q %v", line, err)
	}

	step := s.step(mine, "step_1")
	s.act(&step)
	r := s.c.Confirm(t.Context(), step)
	if r.Outcome != revoke.Retrying || !r.Done || r.Proof != revoke.L1 || !strings.Contains(r.Detail, "web-1") {
		t.Errorf("before the host has it: %+v", r)
	}
	if !s.signsIn("laptop-1") {
		t.Error("refused before the host has the list: nothing of this is proved")
	}
	if out, err := s.host(); err != nil {
		t.Fatalf("fetch: %v %s", err, out)
	}
	if s.signsIn("laptop-1") {
		t.Error("the cut device signs in")
	}
	if !s.signsIn("laptop-2") {
		t.Error("another device is refused")
	}
	if text, err := os.ReadFile(s.path("sshd.log")); err != nil || !strings.Contains(string(text), "revoked by file") {
		t.Errorf("sshd does not say why: %v", err)
	}
	if _, err := io.WriteString(to, "alive\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := session.ReadString('\n'); err != nil || line != "still alive\n" {
		t.Errorf("the open session: %q %v; the residual is too careful", line, err)
	}
	_ = to.Close()
	_ = open.Wait()
	r = s.c.Confirm(t.Context(), step)
	if r.Outcome != revoke.Verified || r.Proof != revoke.L1 || r.Residual.Unbounded || time.Until(r.Residual.Until) < 50*time.Minute {
		t.Errorf("with the list: %+v, want it verified, and sessions to go on for an hour", r)
	}
	// The same key with a new certificate is no way around it.
	key, _, _, _, _ := ssh.ParseAuthorizedKey([]byte(read(t, s.path("laptop-1.pub"))))
	line, err := s.ca.IssueSSH(t.Context(), key, "alice", "root")
	if err != nil {
		t.Fatal(err)
	}
	s.write("laptop-1-cert.pub", line)
	if s.signsIn("laptop-1") {
		t.Error("a new certificate on the same key signs in")
	}

	// Twice is harmless, and another cut keeps the key named when one is undone.
	second := s.step(mine, "step_2")
	s.act(&second)
	lift := func(of string) {
		t.Helper()
		undo := stepOf(s.c.UndoSpecs(step)[0], "undo_"+of, of)
		s.act(&undo)
		if r := s.c.Confirm(t.Context(), undo); r.Outcome != revoke.Verified {
			t.Errorf("lift: %+v", r)
		}
		if out, err := s.host(); err != nil {
			t.Fatalf("fetch: %v %s", err, out)
		}
	}
	lift("step_1")
	if s.signsIn("laptop-1") {
		t.Error("the lift of one cut undid another's")
	}
	lift("step_2")
	if !s.signsIn("laptop-1") {
		t.Error("the lifted device is refused")
	}
}

func TestAHostKeepsItsListWhenTheNextOneIsOldOrForged(t *testing.T) {
	s := newSite(t)
	if out, err := s.host(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	had := read(t, s.path("krl"))
	if out, err := s.host(); err != nil || read(t, s.path("krl")) != had {
		t.Errorf("nothing new: %v %s", err, out)
	}
	good := s.url
	list, sig := get(t, s, "list"), get(t, s, "list.sig")
	step := s.step(s.device("laptop-1"), "step_1")
	s.act(&step)
	if out, err := s.host(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	had = read(t, s.path("krl"))
	for name, served := range map[string][2]string{
		"old": {list, sig}, "changed": {list + "x", sig}, "signed for another": {get(t, s, "list"), sig},
	} {
		liar := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text := served[0]
			if strings.HasSuffix(r.URL.Path, ".sig") {
				text = served[1]
			}
			_, _ = io.WriteString(w, text)
		}))
		s.url = liar.URL
		if out, err := s.host(); err == nil || read(t, s.path("krl")) != had {
			t.Errorf("a list that is %s was taken: %s", name, out)
		}
		liar.Close()
	}
	s.url = good
	if left, err := filepath.Glob(s.path("krl.*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestAHostCountsOnlyWithTheToken(t *testing.T) {
	s := newSite(t)
	step := s.step(s.device("laptop-1"), "step_1")
	s.act(&step)
	s.write("token", "Authorization: Bearer not-it\n")
	if out, err := s.host(); err != nil {
		t.Fatalf("anybody may have the list: %v %s", err, out)
	}
	if r := s.c.Confirm(t.Context(), step); r.Outcome == revoke.Verified {
		t.Errorf("somebody's word was taken for a host's: %+v", r)
	}
	s.write("token", "Authorization: Bearer "+token+"\n")
	if out, err := s.host(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if r := s.c.Confirm(t.Context(), step); r.Outcome != revoke.Verified {
		t.Errorf("the host has it: %+v", r)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func get(t *testing.T, s *site, file string) string {
	t.Helper()
	w := httptest.NewRecorder()
	s.c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/krl/hosts/"+file, nil))
	if w.Code != http.StatusOK || w.Header().Get("ETag") == "" {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}
