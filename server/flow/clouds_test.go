package flow_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/flow"
	"cutoff/server/person"
	"cutoff/server/revoke"
	"cutoff/server/store"
)

// bob, carol and a script are operators beside admin; two of them local.
var (
	bob    = flow.Actor{Name: "bob", Person: "bob", Role: "operator"}
	carol  = flow.Actor{Name: "carol", Person: "carol", Role: "operator"}
	local0 = flow.Actor{Name: "local:0", Person: "local"}
	local7 = flow.Actor{Name: "local:1007", Person: "local"}
	robot  = flow.Actor{Name: "policy", Person: "policy", Machine: true}
)

// clouds plans as a provider "idp" with accounts, sign-in and device records,
// and a provider "git" with SSH keys, would. It stands for the clouds.
type clouds struct {
	mu     sync.Mutex
	broken bool
}

func (c *clouds) Names() []string { return []string{"git", "idp"} }

func (c *clouds) Plan(_ context.Context, name string, s revoke.Subject) ([]revoke.Spec, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name == "git" {
		return gitSpecs(s), nil
	}
	if c.broken {
		return nil, fmt.Errorf("the file of %s cannot be read", name)
	}
	var specs []revoke.Spec
	for _, account := range s.Accounts {
		add := func(action string, scope revoke.Scope, undo revoke.Undo, rank int) {
			specs = append(specs, revoke.Spec{
				Connector: name, Action: action, Target: account, Params: map[string]string{"account": account},
				Scope: scope, Undo: undo, Rank: rank,
			})
		}
		if s.PersonScope {
			add("disable-user", revoke.ScopePerson, revoke.UndoFull, 10)
			add("all-keys", revoke.ScopePerson, revoke.UndoNone, 30)
		}
		add("end-sessions", revoke.ScopeSessions, revoke.UndoSignIn, 20)
	}
	if s.DeviceID != "" && !s.PersonScope && s.Hostname != "" {
		specs = append(specs, revoke.Spec{
			Connector: name, Action: "device-record", Target: s.Hostname, Params: map[string]string{"device": s.DeviceID},
			Scope: revoke.ScopeDevice, Undo: revoke.UndoFull, Rank: 40,
		})
	}
	return specs, nil
}

func gitSpecs(s revoke.Subject) []revoke.Spec {
	var specs []revoke.Spec
	for _, k := range s.Credentials {
		if print := k.Identifiers["ssh-fingerprint"]; print != "" {
			specs = append(specs, revoke.Spec{
				Connector: "git", Action: "delete-key", Target: "key " + print,
				Params: map[string]string{"credential_id": k.ID, "fingerprint": print}, Scope: revoke.ScopeDevice,
				Undo: revoke.UndoNone, Rank: 30,
			})
		}
	}
	return specs
}

func (c *clouds) UndoSpecs(s revoke.Step) []revoke.Spec {
	params := map[string]string{"was": s.Memo["was"]}
	return []revoke.Spec{{
		Connector: s.Connector, Action: "undo-" + s.Action, Target: s.Target, Params: params, Scope: s.Scope, Undo: revoke.UndoNone,
	}}
}

// withClouds is a harness with the two providers.
func withClouds(t testing.TB) *harness {
	return newHarnessWith(t, func(_ *harness, c *flow.Config) { c.Connectors = &clouds{} })
}

// restart is the server started again on the same data.
func (h *harness) restart(s flow.Store) { h.Flow = flow.New(s, h.config) }

// fleet enrols devices by inserting their rows, for tests that need many.
func (h *harness) fleet(group string, n int) []string {
	h.t.Helper()
	all := make([]string, n)
	err := h.store.Update(h.t.Context(), func(tx flow.Tx) error {
		for i := range all {
			id := fmt.Sprintf("dev_%s%05d", group, i)
			all[i] = id
			key := make([]byte, 32)
			_, _ = rand.Read(key)
			err := tx.InsertDevice(h.t.Context(), device.Device{
				ID: id, Group: group, Hostname: id, State: device.Trusted, PublicKey: key,
				ReservedCut: "cut_of_" + id, EnrolledAt: h.Now(),
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return all
}

// group makes a group that demands approvals.
func (h *harness) group(name string, approvals int) {
	h.t.Helper()
	err := h.store.Update(h.t.Context(), func(tx flow.Tx) error {
		g := device.Defaults(name)
		g.Approvals = approvals
		return tx.PutGroup(h.t.Context(), g)
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// belongs gives devices to a person with an account at idp.
func (h *harness) belongs(email string, ids ...string) person.Person {
	h.t.Helper()
	p, err := h.LinkPerson(h.t.Context(), admin, email, "", []person.Account{{Connector: "idp", Account: email}})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, id := range ids {
		if _, err := h.AssignDevice(h.t.Context(), admin, id, p.ID, ""); err != nil {
			h.t.Fatal(err)
		}
	}
	return p.Person
}

// ask asks for a cut of a device and returns it.
func (h *harness) ask(actor flow.Actor, id string, level cut.Level) cut.Cut {
	h.t.Helper()
	cause := cut.Operator
	if actor.Machine {
		cause = cut.Policy
	}
	_, cuts, err := h.Open(h.t.Context(), flow.OpenRequest{
		Device: id, Level: level, Cause: cause, Reason: "lost", Actor: actor,
	})
	if err != nil {
		h.t.Fatal(err)
	}
	if len(cuts) != 1 {
		h.t.Fatalf("%d cuts of one device", len(cuts))
	}
	return cuts[0]
}

func (h *harness) cut(id string) cut.Cut {
	h.t.Helper()
	c, err := h.Cut(h.t.Context(), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// collect is the device's contact: the order that waits for it, verified as an
// agent would, or nil.
func (h *harness) collect(l *laptop) *cutoffv1.Order {
	h.t.Helper()
	challenge := make([]byte, 32)
	_, _ = rand.Read(challenge)
	envelope, err := h.PendingOrder(h.t.Context(), l.peer(h.t), challenge)
	if err != nil {
		h.t.Fatal(err)
	}
	if envelope == nil {
		return nil
	}
	o := openOrder(h, envelope)
	if string(o.GetChallenge()) != string(challenge) || o.GetDeviceId() != l.DeviceID {
		h.t.Fatalf("the order is for another contact: %v", o)
	}
	return o
}

// openOrder verifies an order's envelope by the roster.
func openOrder(h *harness, envelope []byte) *cutoffv1.Order {
	h.t.Helper()
	keys, err := signed.NewKeys(h.roster().GetOrderKeys()...)
	if err != nil {
		h.t.Fatal(err)
	}
	o := &cutoffv1.Order{}
	if _, err := signed.Open(envelope, signed.TypeOrder, keys, o); err != nil {
		h.t.Fatal(err)
	}
	return o
}

// received is the device's word that it has the order.
func (h *harness) received(l *laptop, o *cutoffv1.Order) {
	h.t.Helper()
	h.OnOrderReceived(l.peer(h.t), o.GetOrderId())
	if err := h.KeepReceived(h.t.Context(), true); err != nil {
		h.t.Fatal(err)
	}
}

// answerTo is a full receipt for an order, with two items.
func answerTo(o *cutoffv1.Order) *cutoffv1.Receipt {
	return &cutoffv1.Receipt{
		DeviceId: o.GetDeviceId(), CutId: o.GetCutId(), OrderId: o.GetOrderId(), OrderNumber: o.GetNumber(),
		Kind: o.GetKind(), Cause: cutoffv1.Cause_CAUSE_ORDER, Complete: true, Items: items(o.GetKind()),
		ReceivedBootMs: 1000, FirstRemovedBootMs: 1012, FinishedBootMs: 1090,
	}
}

func items(kind cutoffv1.OrderKind) []*cutoffv1.Item {
	sealed := kind == cutoffv1.OrderKind_ORDER_KIND_SEAL
	detail := map[cutoffv1.OrderKind]string{
		cutoffv1.OrderKind_ORDER_KIND_SEAL: "sealed", cutoffv1.OrderKind_ORDER_KIND_PURGE: "deleted",
		cutoffv1.OrderKind_ORDER_KIND_LIFT: "restored",
	}[kind]
	return []*cutoffv1.Item{
		{Id: "it_aws", Product: "aws", User: "ann", Path: "~/.aws/credentials", Action: "edit", Sealed: sealed,
			Outcome: cutoffv1.Outcome_OUTCOME_VERIFIED, Detail: detail},
		{Id: "it_ssh", Product: "ssh", User: "ann", Path: "~/.ssh/id_ed25519", Action: "delete", Sealed: sealed,
			Outcome: cutoffv1.Outcome_OUTCOME_VERIFIED, Detail: detail},
	}
}

// ownSeal is what a device whose lease ran out says.
func ownSeal(l *laptop, cutID string) *cutoffv1.Receipt {
	return &cutoffv1.Receipt{
		DeviceId: l.DeviceID, CutId: cutID, LeaseNumber: 3, Kind: cutoffv1.OrderKind_ORDER_KIND_SEAL,
		Cause: cutoffv1.Cause_CAUSE_EXPIRY, Complete: true, Items: items(cutoffv1.OrderKind_ORDER_KIND_SEAL),
		StartedAt: timestamppb.New(time.Unix(1, 0)),
	}
}

func (l *laptop) sign(t testing.TB, r *cutoffv1.Receipt) []byte {
	t.Helper()
	envelope, err := signed.Seal(signed.TypeReceipt, r, l.key)
	if err != nil {
		t.Fatal(err)
	}
	return envelope
}

// say hands a receipt in and returns why it was refused, or "".
func (h *harness) receipt(l *laptop, r *cutoffv1.Receipt) string {
	h.t.Helper()
	ack, err := h.OnReceipt(h.t.Context(), l.peer(h.t), l.sign(h.t, r))
	if err != nil {
		h.t.Fatal(err)
	}
	if ack.GetCutId() != r.GetCutId() || ack.GetOrderId() != r.GetOrderId() || ack.GetPart() != r.GetPart() {
		h.t.Fatalf("the acknowledgement is for another receipt: %v", ack)
	}
	return ack.GetRefused()
}

// obey is a contact in which the device carries out what waits for it.
func (h *harness) obey(l *laptop) *cutoffv1.Order {
	h.t.Helper()
	o := h.collect(l)
	if o == nil {
		h.t.Fatal("no order was due")
	}
	h.received(l, o)
	if refused := h.receipt(l, answerTo(o)); refused != "" {
		h.t.Fatalf("receipt refused: %s", refused)
	}
	return o
}

// work is a worker that gets the same answer for every due step; it returns the
// steps it had.
func (h *harness) work(result revoke.Result) []revoke.Step {
	h.t.Helper()
	groups, err := h.DueSteps(h.t.Context(), h.Now(), 100)
	if err != nil {
		h.t.Fatal(err)
	}
	var done []revoke.Step
	for _, g := range groups {
		steps, err := h.ClaimSteps(h.t.Context(), g.CutID, g.Connector, "worker", h.Now().Add(time.Minute))
		if err != nil {
			h.t.Fatal(err)
		}
		for _, s := range steps {
			if err := h.OnStep(h.t.Context(), s, result); err != nil {
				h.t.Fatal(err)
			}
		}
		done = append(done, steps...)
	}
	return done
}

var proved = revoke.Result{Outcome: revoke.Verified, Proof: revoke.L1, Detail: "gone", Done: true}

// actions lists what steps do, in order.
func actions(steps []revoke.Step) []string {
	var all []string
	for _, s := range steps {
		if s.State != revoke.Withdrawn {
			all = append(all, s.Connector+" "+s.Action)
		}
	}
	slices.Sort(all)
	return all
}

// inventory is what the device reports to have: an AWS key and an SSH key.
func (h *harness) inventory(l *laptop) {
	h.t.Helper()
	err := h.OnInventory(h.t.Context(), l.peer(h.t), &cutoffv1.Inventory{Items: []*cutoffv1.Item{
		{Id: "it_aws", Product: "aws", User: "ann", Path: "~/.aws/credentials", Outcome: cutoffv1.Outcome_OUTCOME_VERIFIED,
			Identifiers: []*cutoffv1.Identifier{{Kind: "aws-access-key-id", Value: "AKIAEXAMPLE"}}},
		{Id: "it_ssh", Product: "ssh", User: "ann", Path: "~/.ssh/id_ed25519", Outcome: cutoffv1.Outcome_OUTCOME_VERIFIED,
			Identifiers: []*cutoffv1.Identifier{{Kind: "ssh-fingerprint", Value: "SHA256:abc"}}},
	}})
	if err != nil {
		h.t.Fatal(err)
	}
}

// want fails unless the cut is in that state.
func (h *harness) want(id string, state cut.State) cut.Cut {
	h.t.Helper()
	c := h.cut(id)
	if c.State != state {
		h.t.Fatalf("the cut is %s (order %s, unfinished %t), want %s", c.State, c.OrderState, c.Unfinished, state)
	}
	return c
}

var _ flow.Store = store.Flow{}

func openPerson(id string) flow.OpenRequest {
	return flow.OpenRequest{Person: id, Level: cut.Seal, Cause: cut.Operator, Reason: "left", Actor: admin}
}

// bulk enrols many laptops by inserting their rows.
func (h *harness) bulk(all []*laptop) {
	h.t.Helper()
	err := h.store.Update(h.t.Context(), func(tx flow.Tx) error {
		for i, l := range all {
			l.DeviceID = fmt.Sprintf("dev_bulk%06d", i)
			err := tx.InsertDevice(h.t.Context(), device.Device{
				ID: l.DeviceID, Group: "default", Hostname: l.DeviceID, State: device.Trusted, PublicKey: l.public(),
				ReservedCut: "cut_of_" + l.DeviceID, EnrolledAt: h.Now(),
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}
