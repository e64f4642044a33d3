package purge_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/sys/unix"

	"cutoff/agent/journal"
	"cutoff/agent/order"
	"cutoff/agent/purge"
	"cutoff/platform/platformtest"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// TestMain is the agent's main for the children that the tests start.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == purge.ChildArg {
		dyingChild()
		trustingChild()
		os.Exit(purge.ChildMain(os.Args[2:]))
	}
	if len(os.Args) == 3 && os.Args[1] == mortalArg {
		os.Exit(mortalAgent(os.Args[2]))
	}
	if len(os.Args) == 4 && os.Args[1] == "service-manager" {
		os.Exit(serviceManager(os.Args[2], os.Args[3]))
	}
	os.Exit(m.Run())
}

// bench is an agent with a real journal, a server's key that signs orders, and
// an escrow key.
type bench struct {
	t       testing.TB
	root    *platformtest.Root
	state   string
	journal *journal.Journal
	signer  ed25519.PrivateKey
	escrow  *age.X25519Identity
	number  uint64
	config  purge.Config
	asked   []string // ids whose headers were asked for
}

func newBench(t testing.TB, users ...platformtest.User) *bench {
	t.Helper()
	b := &bench{t: t, root: platformtest.NewRoot(t, users...), state: filepath.Join(t.TempDir(), "state")}
	if err := os.Mkdir(b.state, 0o700); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.journal, err = journal.Open(filepath.Join(b.state, "journal.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.journal.Close() })
	_, b.signer, _ = ed25519.GenerateKey(rand.Reader)
	if b.escrow, err = age.GenerateX25519Identity(); err != nil {
		t.Fatal(err)
	}
	b.config = purge.Config{Root: b.root.Dir, State: b.state, Boot: boot}
	return b
}

func boot() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

// warrant has an order of that kind signed, checked and journalled.
func (b *bench) warrant(kind cutoffv1.OrderKind, cut string) *journal.Warrant {
	b.t.Helper()
	b.number++
	keys, err := signed.NewKeys(b.signer.Public().(ed25519.PublicKey))
	if err != nil {
		b.t.Fatal(err)
	}
	state := order.State{DeviceID: "dev_1", OrderKeys: keys, Challenges: &order.Challenges{}, HighestOrder: b.number - 1,
		Now: order.Moment{Boot: boot(), BootID: "boot", Wall: time.Unix(1_800_000_000, 0)}}
	challenge, err := state.Challenges.Draw(state.Now.Boot)
	if err != nil {
		b.t.Fatal(err)
	}
	m := &cutoffv1.Order{OrderId: fmt.Sprintf("ord_%d", b.number), CutId: cut, CaseId: "case_1", DeviceId: "dev_1", Kind: kind,
		Number: b.number, Challenge: challenge}
	if kind == cutoffv1.OrderKind_ORDER_KIND_SEAL {
		m.EscrowRecipient = b.escrow.Recipient().String()
	}
	raw, err := signed.Seal(signed.TypeOrder, m, b.signer)
	if err != nil {
		b.t.Fatal(err)
	}
	v, err := order.Open(raw, state)
	if err != nil {
		b.t.Fatal(err)
	}
	w, err := b.journal.Begin(v)
	if err != nil {
		b.t.Fatal(err)
	}
	return w
}

func (b *bench) run(kind cutoffv1.OrderKind, cut string) purge.Result {
	b.t.Helper()
	p, err := purge.New(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	r, err := p.Run(ctx, b.warrant(kind, cut))
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bench) purge() purge.Result {
	b.t.Helper()
	return b.run(cutoffv1.OrderKind_ORDER_KIND_PURGE, "cut_1")
}

// purgeAndSweep is a purge whose receipt was sent, and the sweep after it, which
// also takes what may cut the network.
func (b *bench) purgeAndSweep(cut string) purge.Result {
	b.t.Helper()
	p, err := purge.New(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	w := b.warrant(cutoffv1.OrderKind_ORDER_KIND_PURGE, cut)
	if _, err := p.Run(ctx, w); err != nil {
		b.t.Fatal(err)
	}
	if err := b.journal.Finish(w, []byte("receipt")); err != nil {
		b.t.Fatal(err)
	}
	r, err := p.Run(ctx, w)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bench) seal() purge.Result {
	b.t.Helper()
	return b.run(cutoffv1.OrderKind_ORDER_KIND_SEAL, "cut_1")
}

// lift restores, with the server's part of unsealing done by age itself.
func (b *bench) lift() purge.Result {
	b.t.Helper()
	p, err := purge.New(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	r, err := p.Restore(ctx, b.warrant(cutoffv1.OrderKind_ORDER_KIND_LIFT, "cut_1"), b.unseal)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func (b *bench) unseal(_ context.Context, headers []*cutoffv1.SealedHeader) ([]*cutoffv1.FileKey, error) {
	var out []*cutoffv1.FileKey
	for _, h := range headers {
		b.asked = append(b.asked, h.GetItemId())
		key, err := age.DecryptHeader(h.GetHeader(), b.escrow)
		if err != nil {
			return nil, err
		}
		out = append(out, &cutoffv1.FileKey{ItemId: h.GetItemId(), Key: key})
	}
	return out, nil
}

func (b *bench) plan() []*cutoffv1.Item {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	items, err := purge.Plan(ctx, b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	return items
}

// at finds the item of a path.
func at(t testing.TB, items []*cutoffv1.Item, path string) *cutoffv1.Item {
	t.Helper()
	for _, i := range items {
		if i.GetPath() == path {
			return i
		}
	}
	t.Fatalf("no item for %s among %s", path, list(items))
	return nil
}

func list(items []*cutoffv1.Item) string {
	var out bytes.Buffer
	for _, i := range items {
		fmt.Fprintf(&out, "\n\t%-12s %-8s %-60s %-12s %-16s %s", i.GetProduct(), i.GetUser(), i.GetPath(), i.GetAction(), i.GetOutcome(), i.GetDetail())
	}
	return out.String()
}

// want checks one item's action, outcome and detail.
func want(t testing.TB, i *cutoffv1.Item, action string, outcome cutoffv1.Outcome, detail string) {
	t.Helper()
	if i.GetAction() != action || i.GetOutcome() != outcome || i.GetDetail() != detail {
		t.Errorf("%s: got %s %s %s, want %s %s %s", i.GetPath(), i.GetAction(), i.GetOutcome(), i.GetDetail(), action, outcome, detail)
	}
}

const (
	verified    = cutoffv1.Outcome_OUTCOME_VERIFIED
	blocked     = cutoffv1.Outcome_OUTCOME_BLOCKED
	unsupported = cutoffv1.Outcome_OUTCOME_UNSUPPORTED
)

// user picks a user of the bench: root's tests have several.
func user(name string) platformtest.User {
	all := platformtest.Users()
	for _, u := range all {
		if u.Name == name {
			return u
		}
	}
	return all[0]
}
