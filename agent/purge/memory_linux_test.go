package purge_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"cutoff/platform/platformtest"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

func product(items []*cutoffv1.Item, product, prefix string) []*cutoffv1.Item {
	return slices.DeleteFunc(slices.Clone(items), func(i *cutoffv1.Item) bool {
		return i.GetProduct() != product || !strings.HasPrefix(i.GetPath(), prefix)
	})
}

// carol has a uid that the machine knows: a bus daemon asks for its name.
func carol() platformtest.User {
	if os.Geteuid() != 0 {
		return user("alice")
	}
	return platformtest.User{Name: "carol", UID: 65534, GID: 65534, Home: "/home/carol"}
}

func TestOnlyMatchingKeyringItemsGo(t *testing.T) {
	b := newBench(t, carol())
	k := newKeyring(t, b.root, carol())
	k.store(secret, "gh", "service", "gh:github.com", "username", "alice")
	k.store(secret, "index", "application", "Python keyring library", "service", "https://upload.pypi.org/legacy/", "username", "__token__")
	k.store("hers", "Mail", "service", "imap.example", "username", "alice")

	planned := product(b.plan(), "gh", "keyring:")
	if len(planned) != 1 || planned[0].GetAction() != "keyring-delete" {
		t.Fatalf("planned %s", list(planned))
	}
	if got := planned[0].GetIdentifiers(); len(got) != 3 || got[0].GetValue() != "github.com" || got[1].GetValue() != "alice" {
		t.Errorf("identifiers %v", got)
	}
	for _, i := range b.purge().Items {
		if strings.HasPrefix(i.GetPath(), "keyring:") {
			want(t, i, "keyring-delete", verified, "deleted")
		}
	}
	if k.has("service", "gh:github.com") || k.has("application", "Python keyring library") {
		t.Error("an item that matches is still there")
	}
	if !k.has("service", "imap.example") {
		t.Error("an item that does not match is gone")
	}
}

func TestALockedKeyringIsReportedAndNeverUnlocked(t *testing.T) {
	b := newBench(t, carol())
	k := newKeyring(t, b.root, carol())
	k.store(secret, "gh", "service", "gh:github.com", "username", "alice")
	k.lock()
	items := product(b.purge().Items, "gh", "keyring:")
	if len(items) != 1 {
		t.Fatalf("got %s", list(items))
	}
	want(t, items[0], "left", blocked, "locked")
}

func TestABusWithoutAKeyringGetsNone(t *testing.T) {
	b := newBench(t, user("alice"))
	dir := "/run/user/" + strconv.Itoa(user("alice").UID)
	b.root.Folder(platformtest.User{}, dir, 0o755)
	listener, err := net.Listen("unix", b.root.Path(dir)+"/bus") // answers nothing at all
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := os.Lchown(b.root.Path(dir)+"/bus", user("alice").UID, user("alice").GID); err != nil {
		t.Fatal(err)
	}
	b.root.File(user("alice"), "/home/alice/.vault-token", secret)
	r := b.purge() // within the keyring's own deadline
	want(t, at(t, r.Items, "/home/alice/.vault-token"), "delete", verified, "deleted")
}

// serveAgent runs a real SSH agent's protocol on a socket of the user's.
func serveAgent(t *testing.T, r *platformtest.Root, u platformtest.User, name string, keys ...ed25519.PrivateKey) agent.Agent {
	t.Helper()
	r.Folder(u, name[:strings.LastIndexByte(name, '/')], 0o755)
	ring := agent.NewKeyring()
	for _, key := range keys {
		if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("unix", r.Path(name))
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() == 0 {
		if err := os.Lchown(r.Path(name), u.UID, u.GID); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_ = agent.ServeAgent(ring, conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { listener.Close(); <-done })
	return ring
}

func newKey(t *testing.T) (ed25519.PrivateKey, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return private, ssh.FingerprintSHA256(p)
}

func TestAnSSHAgentForgetsInASealToo(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	one, first := newKey(t)
	two, second := newKey(t)
	ring := serveAgent(t, b.root, u, u.Home+"/.ssh/agent/s.1", one, two)
	if planned := product(b.plan(), "ssh", "ssh-agent:"); len(planned) != 2 {
		t.Errorf("planned %s", list(planned))
	}
	if left, err := ring.List(); err != nil || len(left) != 2 {
		t.Fatalf("a plan left %d keys, %v", len(left), err)
	}
	var found []string
	for _, i := range product(b.seal().Items, "ssh", "ssh-agent:") {
		want(t, i, "agent-clear", verified, "deleted")
		found = append(found, i.GetIdentifiers()[0].GetValue())
	}
	slices.Sort(found)
	expect := []string{first, second}
	slices.Sort(expect)
	if !slices.Equal(found, expect) {
		t.Errorf("fingerprints %v, want %v", found, expect)
	}
	if left, err := ring.List(); err != nil || len(left) != 0 {
		t.Errorf("agent still holds %d keys, %v", len(left), err)
	}
}

func TestAnSSHKeyIsNamedWithoutItsPassphrase(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	private, fingerprint := newKey(t)
	block, err := ssh.MarshalPrivateKeyWithPassphrase(private, "alice@laptop", []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	b.root.File(u, u.Home+"/.ssh/work", string(pem.EncodeToMemory(block)))
	i := at(t, b.plan(), u.Home+"/.ssh/work")
	got := map[string]string{}
	for _, id := range i.GetIdentifiers() {
		got[id.GetKind()] = id.GetValue()
	}
	if got["ssh-fingerprint"] != fingerprint || got["ssh-key-type"] != "ssh-ed25519" || got["ssh-key-encrypted"] != "yes" {
		t.Errorf("got %v, want %s encrypted", got, fingerprint)
	}
	if !i.GetResidualUnbounded() {
		t.Error("a key without known end is not shown as unbounded")
	}
}
