package flow

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
)

// maxReason bounds why a cut is asked for, in bytes; an agent takes no more.
const maxReason = 4096

// caseBatch is how many cuts of a large case one transaction deals with.
const caseBatch = 100

// Open is the one function that opens cuts, whatever asks for them. It returns
// once what was asked is durable: open, or held where the brake or the group's
// approvals say so. Asking again for what stands already answers that cut.
func (f *Flow) Open(ctx context.Context, request OpenRequest) (caseID string, cuts []cut.Cut, err error) {
	var o opening
	err = f.act(ctx, func(tx Tx, e *effects) error {
		o, e.durable = opening{}, request.Durable
		return f.openInTx(ctx, tx, e, &request, &o)
	})
	if err != nil {
		return "", nil, fmt.Errorf("open cut: %w", err)
	}
	if o.large {
		if err := f.workOff(ctx, o.caseID); err != nil {
			return "", nil, fmt.Errorf("open cut: %w", err)
		}
	}
	err = f.store.View(ctx, func(tx Tx) error {
		cuts, err = f.opened(ctx, tx, &o)
		return err
	})
	return o.caseID, cuts, err
}

// opening is what Open found and did.
type opening struct {
	caseID string
	// large is set when the case's cuts are made in batches.
	large bool
	cuts  []string
}

func (f *Flow) opened(ctx context.Context, tx Tx, o *opening) ([]cut.Cut, error) {
	if o.large {
		return tx.CutsOfCase(ctx, o.caseID, "", 0)
	}
	all := make([]cut.Cut, 0, len(o.cuts))
	for _, id := range o.cuts {
		c, err := tx.CutRow(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := f.complete(ctx, tx, &c); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func (r *OpenRequest) check() error {
	given := 0
	for _, s := range []string{r.Device, r.Person, r.Credential} {
		if s != "" {
			given++
		}
	}
	if len(r.devices) > 0 {
		given++
	}
	switch {
	case given != 1:
		return fault.New(fault.Invalid, "name one device, one person or one credential")
	case !r.Level.Valid():
		return fault.New(fault.Invalid, "the level is seal or purge")
	case !slices.Contains([]cut.Cause{cut.Operator, cut.Policy, cut.Expiry, cut.Signal}, r.Cause):
		return fault.New(fault.Invalid, "a cut needs a cause")
	case len(r.Reason) > maxReason:
		return fault.New(fault.Invalid, "the reason has %d bytes, at most %d", len(r.Reason), maxReason)
	case r.Actor.Name == "":
		return fault.New(fault.Invalid, "a cut needs somebody who asks for it")
	case r.Actor.Machine && r.Level == cut.Purge && r.Cause != cut.Expiry:
		return fault.New(fault.Denied, "what a machine decides alone only seals")
	}
	return nil
}

// openInTx decides on a request and, unless it is a large one, carries it out.
func (f *Flow) openInTx(ctx context.Context, tx Tx, e *effects, r *OpenRequest, o *opening) error {
	if err := r.check(); err != nil {
		return err
	}
	kase := cut.Case{
		ID: newID("case_"), Level: r.Level, Cause: r.Cause, Reason: r.Reason, Actor: r.Actor.Name,
		Person: r.Actor.person(), Machine: r.Actor.Machine, AskedAt: f.now(),
	}
	targets, err := f.resolve(ctx, tx, r, &kase)
	if err != nil {
		return err
	}
	asked, err := f.assess(ctx, tx, r, targets)
	if err != nil {
		return err
	}
	if len(asked.fresh) == 0 {
		o.caseID, o.cuts = asked.caseID, asked.standing
		return nil
	}
	if kase.HeldReason = r.hold; r.hold == "" {
		if kase.HeldReason, err = f.braked(ctx, tx, r, asked.units); err != nil {
			return err
		}
	}
	kase.Needs = asked.approvals
	if kase.HeldReason != "" {
		kase.Needs = max(kase.Needs, 1)
	} else if kase.Needs > 0 {
		kase.HeldReason = fmt.Sprintf("waits for %d approval(s) by others", kase.Needs)
	}
	o.caseID = kase.ID
	if o.large = len(targets) > caseBatch; o.large {
		kase.State, kase.Remaining = cut.CaseHolding, len(asked.units)
		return f.insertCase(ctx, tx, &kase, len(targets))
	}
	kase.State = cut.CaseOpen
	if kase.Needs > 0 {
		kase.State = cut.CaseHeld
	}
	if err := f.insertCase(ctx, tx, &kase, len(targets)); err != nil {
		return err
	}
	o.cuts = asked.standing
	for _, t := range asked.fresh {
		id, err := f.cutTarget(ctx, tx, e, &kase, t.target, t.has, kase.Needs == 0)
		if err != nil {
			return err
		}
		o.cuts = append(o.cuts, id)
	}
	return nil
}

func (f *Flow) insertCase(ctx context.Context, tx Tx, k *cut.Case, targets int) error {
	if err := tx.InsertCase(ctx, *k); err != nil {
		return err
	}
	return f.record(ctx, tx, evidence.Event{Kind: "case.asked", Actor: k.Actor, CaseID: k.ID, Fields: []evidence.Field{
		{Name: "level", Value: string(k.Level)}, {Name: "cause", Value: string(k.Cause)}, {Name: "reason", Value: k.Reason},
		{Name: "device", Value: k.DeviceID}, {Name: "person", Value: k.PersonID}, {Name: "credential", Value: k.CredentialID},
		{Name: "targets", Value: strconv.Itoa(targets)}, {Name: "held", Value: k.HeldReason},
		{Name: "approvals_needed", Value: strconv.Itoa(k.Needs)},
	}})
}

// resolve finds what the request names: a device alone; a credential; a
// person's devices and, last, the person.
func (f *Flow) resolve(ctx context.Context, tx Tx, r *OpenRequest, k *cut.Case) ([]target, error) {
	switch {
	case len(r.devices) > 0:
		targets := make([]target, len(r.devices))
		for i := range r.devices {
			targets[i] = target{device: &r.devices[i], alone: true}
		}
		return targets, nil
	case r.Device != "":
		d, err := f.resolveDevice(ctx, tx, r.Device)
		k.DeviceID = d.ID
		return []target{{device: &d, alone: true}}, err
	case r.Credential != "":
		c, err := tx.Credential(ctx, r.Credential)
		if fault.Is(err, fault.NotFound) {
			return nil, fault.New(fault.NotFound, "there is no credential %.80q", r.Credential)
		}
		k.CredentialID = c.ID
		return []target{{credential: &c}}, err
	default:
		p, err := resolvePerson(ctx, tx, r.Person)
		if err != nil {
			return nil, err
		}
		k.PersonID = p.ID
		devices, err := tx.NextDevices(ctx, p.ID, "", 0)
		if err != nil {
			return nil, err
		}
		targets := make([]target, 0, len(devices)+1)
		for i := range devices {
			targets = append(targets, target{device: &devices[i]})
		}
		return append(targets, target{person: &p}), nil
	}
}

// asked is what a request comes to, given what stands already.
type asked struct {
	// fresh are the targets something has to be done for.
	fresh []aim
	// standing are the cuts that are as asked already, of case caseID.
	standing []string
	caseID   string
	// units are what the brake counts of fresh.
	units []unit
	// approvals is the most that any group demands.
	approvals int
}

// aim is a target and the cut it has, if any.
type aim struct {
	target
	has *cut.Cut
}

func (f *Flow) assess(ctx context.Context, tx Tx, r *OpenRequest, targets []target) (asked, error) {
	var a asked
	groups := map[string]device.Group{}
	for _, t := range targets {
		c, err := f.cutOf(ctx, tx, t)
		if err != nil {
			return a, err
		}
		if c != nil && f.answers(c, r, len(targets) > 1) {
			a.standing = append(a.standing, c.ID)
			a.caseID = c.CaseID
			continue
		}
		a.fresh = append(a.fresh, aim{t, c})
		if c == nil || !c.LetThrough || c.State != cut.Open && c.State != cut.Settled || r.Actor.Machine && r.Level.Above(c.Level) {
			if u := t.unit(len(targets)); u.name != "" {
				a.units = append(a.units, u)
			}
		}
		group := t.group()
		if r.Actor.Machine || group == "" {
			continue
		}
		if _, ok := groups[group]; !ok {
			if groups[group], err = tx.Group(ctx, group); err != nil {
				return a, err
			}
		}
		a.approvals = max(a.approvals, groups[group].Approvals)
	}
	return a, nil
}

// answers reports whether cut c already is what r asks for.
func (f *Flow) answers(c *cut.Cut, r *OpenRequest, many bool) bool {
	enough := !r.Level.Above(c.Level)
	switch c.State {
	case cut.Open, cut.Settled:
		// One that silence opened ends by itself when the device is back: a person's
		// word makes it that person's.
		return enough && c.LetThrough && (r.Actor.Machine || c.Cause != cut.Expiry)
	case cut.Held:
		// A case of several is held whole, and a person's word weighs more than
		// the machine's that is held.
		return enough && !many && (r.Actor.Machine || c.Cause == cut.Operator)
	case cut.Refused:
		// Somebody said no: a machine does not ask again at once.
		return enough && r.Actor.Machine && f.now().Before(c.OpenedAt.Add(cut.HeldFor))
	}
	return false
}

// cutOf is the target's cut, whatever its state, unless it is lifted; nil if it
// has none.
func (f *Flow) cutOf(ctx context.Context, tx Tx, t target) (*cut.Cut, error) {
	var c cut.Cut
	var found bool
	var err error
	switch {
	case t.person != nil:
		c, found, err = tx.CutOfSubject(ctx, t.person.ID, "")
	case t.credential != nil:
		c, found, err = tx.CutOfSubject(ctx, "", t.credential.ID)
	default:
		c, found, err = tx.CutOrReserved(ctx, t.device.ID, t.device.ReservedCut)
	}
	if err != nil || !found {
		return nil, err
	}
	return &c, nil
}

// unit is what the brake counts of a target: a person only if none of their
// devices is counted.
func (t target) unit(targets int) unit {
	switch {
	case t.device != nil:
		return unit{name: t.device.ID, group: t.device.Group}
	case t.credential != nil && t.credential.DeviceID != "":
		return unit{name: t.credential.DeviceID}
	case t.credential != nil:
		return unit{name: "credential " + t.credential.ID}
	case targets == 1:
		return unit{name: "person " + t.person.ID}
	}
	return unit{}
}

func (t target) group() string {
	if t.device != nil {
		return t.device.Group
	}
	return ""
}
