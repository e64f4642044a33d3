package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"cutoff/proto/addition"
	"cutoff/server/catalogue"
	"cutoff/server/evidence"
	"cutoff/server/fault"
)

// CatalogueView is a change and how its canary group does.
type CatalogueView struct {
	catalogue.Change
	// CanaryDevices are the group's live ones, CanaryPlanned those whose last
	// inventory was made with the change, Matching and Items what those found.
	CanaryDevices, CanaryPlanned, Matching, Items int
}

// Proposal is what ProposeCatalogue is given.
type Proposal struct {
	Files  []addition.File
	Canary string
	Reason string
	// CheckOnly keeps nothing: the problems are all that is asked for.
	CheckOnly bool
}

// ProposeCatalogue checks product files and keeps them as a proposal, which
// changes nothing until another person approves it. With mistakes in the files
// it answers them and keeps nothing.
func (f *Flow) ProposeCatalogue(ctx context.Context, actor Actor, p Proposal) (CatalogueView, []*addition.Problem, error) {
	if actor.Machine || actor.Name == "" {
		return CatalogueView{}, nil, fault.New(fault.Denied, "only a person proposes a catalogue change")
	}
	switch {
	case len(p.Files) == 0:
		return CatalogueView{}, nil, fault.New(fault.Invalid, "a catalogue change needs at least one product file")
	case len(p.Reason) > maxReason:
		return CatalogueView{}, nil, fault.New(fault.Invalid, "the reason has %d bytes, at most %d", len(p.Reason), maxReason)
	}
	if _, err := addition.ParseAll(p.Files); err != nil {
		return CatalogueView{}, addition.Problems(err), nil
	}
	v := CatalogueView{Change: catalogue.Change{
		ID: newID("cat_"), State: catalogue.Proposed, Canary: p.Canary, Files: p.Files, Reason: p.Reason,
		Person: actor.person(), Asked: catalogue.Step{Actor: actor.Name, At: f.now()},
	}}
	var problems []*addition.Problem
	err := f.store.Update(ctx, func(tx Tx) error {
		if p.CheckOnly && p.Canary == "" {
			p.Canary = "default"
		}
		if _, err := tx.Group(ctx, p.Canary); err != nil {
			return noSuchGroup(err, p.Canary)
		}
		var err error
		if problems, err = f.together(ctx, tx, &v.Change); err != nil || len(problems) > 0 || p.CheckOnly {
			return err
		}
		if err := tx.InsertChange(ctx, v.Change); err != nil {
			return err
		}
		return f.recordChange(ctx, tx, "proposed", actor, &v.Change)
	})
	if err != nil || len(problems) > 0 {
		return CatalogueView{}, problems, wrapCatalogue(err)
	}
	if p.CheckOnly {
		return v, nil, nil
	}
	v, err = f.CountCatalogue(ctx, actor, v.ID)
	return v, nil, err
}

// together are the mistakes of the change's files together with those that are
// in force anywhere: agents hold all of them to one set of bounds.
func (f *Flow) together(ctx context.Context, tx Tx, c *catalogue.Change) ([]*addition.Problem, error) {
	all, err := tx.Changes(ctx)
	if err != nil {
		return nil, err
	}
	groups, err := groupNames(ctx, tx)
	if err != nil {
		return nil, err
	}
	next := *c
	next.State, next.Version = catalogue.Active, 1<<62
	for _, g := range groups {
		if _, err := addition.ParseAll(catalogue.Effective(append(all[:len(all):len(all)], next), g)); err != nil {
			return addition.Problems(err), nil
		}
	}
	return nil, nil
}

func wrapCatalogue(err error) error {
	if err != nil {
		return fmt.Errorf("catalogue change: %w", err)
	}
	return nil
}

// CatalogueChanges are all changes, newest first.
func (f *Flow) CatalogueChanges(ctx context.Context) ([]CatalogueView, error) {
	var all []CatalogueView
	err := f.store.View(ctx, func(tx Tx) error {
		changes, err := tx.Changes(ctx)
		if err != nil {
			return err
		}
		all = make([]CatalogueView, len(changes))
		for i := range changes {
			if all[i], err = f.viewChange(ctx, tx, changes[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return all, wrapCatalogue(err)
}

// CatalogueChange is one.
func (f *Flow) CatalogueChange(ctx context.Context, id string) (CatalogueView, error) {
	var v CatalogueView
	err := f.store.View(ctx, func(tx Tx) error {
		c, err := changeByID(ctx, tx, id)
		if err != nil {
			return err
		}
		v, err = f.viewChange(ctx, tx, c)
		return err
	})
	return v, wrapCatalogue(err)
}

func changeByID(ctx context.Context, tx Tx, id string) (catalogue.Change, error) {
	c, err := tx.Change(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return c, fault.New(fault.NotFound, "there is no catalogue change %.80q", id)
	}
	return c, err
}

func (f *Flow) viewChange(ctx context.Context, tx Tx, c catalogue.Change) (CatalogueView, error) {
	v := CatalogueView{Change: c}
	if c.State != catalogue.Canary && c.State != catalogue.Active {
		return v, nil
	}
	var err error
	if v.CanaryDevices, v.CanaryPlanned, err = tx.CataloguePlans(ctx, c.Canary, c.Version); err != nil {
		return v, err
	}
	devices := map[string]bool{}
	for _, product := range c.Products() {
		found, err := tx.FoundOfProduct(ctx, c.Canary, product)
		if err != nil {
			return v, err
		}
		for id, n := range found {
			devices[id] = true
			v.Items += n
		}
	}
	v.Matching = len(devices)
	return v, nil
}

// ApproveCatalogue lets a proposal out to its canary group. The asker never
// approves his own.
func (f *Flow) ApproveCatalogue(ctx context.Context, actor Actor, id string) (CatalogueView, error) {
	return f.moveChange(ctx, actor, id, catalogue.Approve, func(tx Tx, c *catalogue.Change) error {
		if c.Count.At.IsZero() {
			return fault.New(fault.Conflict, "nobody has counted yet what it would take; count first")
		}
		problems, err := f.together(ctx, tx, c)
		if err != nil {
			return err
		}
		if len(problems) > 0 {
			return fault.New(fault.Conflict, "with what is in force by now it cannot go out: %s", problems[0].Message)
		}
		c.Approved = catalogue.Step{Actor: actor.Name, At: f.now()}
		return nil
	})
}

// PromoteCatalogue lets a change out to every group, once a device of its canary
// group has planned with it. The asker does not promote his own either.
func (f *Flow) PromoteCatalogue(ctx context.Context, actor Actor, id string) (CatalogueView, error) {
	return f.moveChange(ctx, actor, id, catalogue.Promote, func(tx Tx, c *catalogue.Change) error {
		devices, planned, err := tx.CataloguePlans(ctx, c.Canary, c.Version)
		if err != nil {
			return err
		}
		if planned == 0 {
			return fault.New(fault.Conflict, "no device of the canary group %s has reported what it finds with it yet (%d devices)", c.Canary, devices)
		}
		c.Promoted = catalogue.Step{Actor: actor.Name, At: f.now()}
		return nil
	})
}

// WithdrawCatalogue takes a change back, wherever it has got to. One person may:
// it only makes agents leave more alone, and a bad entry has to be stopped now.
func (f *Flow) WithdrawCatalogue(ctx context.Context, actor Actor, id string) (CatalogueView, error) {
	return f.moveChange(ctx, actor, id, catalogue.Withdraw, func(_ Tx, c *catalogue.Change) error {
		c.Retracted = catalogue.Step{Actor: actor.Name, At: f.now()}
		return nil
	})
}

// moveChange is what all steps of a change have in common.
func (f *Flow) moveChange(
	ctx context.Context, actor Actor, id string, event catalogue.Event, may func(Tx, *catalogue.Change) error,
) (CatalogueView, error) {
	if actor.Machine || actor.Name == "" {
		return CatalogueView{}, fault.New(fault.Denied, "only a person decides about a catalogue change")
	}
	var v CatalogueView
	err := f.store.Update(ctx, func(tx Tx) error {
		c, err := changeByID(ctx, tx, id)
		if err != nil {
			return err
		}
		from := c.State
		to, err := catalogue.Next(from, event)
		if err != nil {
			return err
		}
		if event != catalogue.Withdraw && actor.person() == c.Person {
			return fault.New(fault.Denied, "who asked for a catalogue change does not %s it", event)
		}
		if err := may(tx, &c); err != nil {
			return err
		}
		if from != catalogue.Proposed || to != catalogue.Withdrawn { // agents see it
			newest, err := tx.CatalogueVersion(ctx)
			if err != nil {
				return err
			}
			c.Version = newest + 1
		}
		c.State = to
		if err := tx.SetChange(ctx, from, c); err != nil {
			return err
		}
		if v, err = f.viewChange(ctx, tx, c); err != nil {
			return err
		}
		return f.recordChange(ctx, tx, string(to), actor, &c)
	})
	if err != nil {
		return CatalogueView{}, wrapCatalogue(err)
	}
	f.recatalogue()
	return v, nil
}

// recordChange makes a change's step evidence: what files, where, what was
// counted.
func (f *Flow) recordChange(ctx context.Context, tx Tx, what string, actor Actor, c *catalogue.Change) error {
	raw, err := json.Marshal(c.Files)
	if err != nil {
		return err
	}
	return f.record(ctx, tx, evidence.Event{Kind: "catalogue." + what, Actor: actor.Name, Fields: []evidence.Field{
		{Name: "change", Value: c.ID}, {Name: "products", Value: strings.Join(c.Products(), " ")},
		{Name: "canary", Value: c.Canary}, {Name: "version", Value: strconv.FormatInt(c.Version, 10)},
		{Name: "sha256", Value: evidence.Digest(raw)}, {Name: "reason", Value: c.Reason},
		{Name: "counted", Value: fmt.Sprintf("%d items on %d of %d devices that answered, of %d",
			c.Count.Items, c.Count.Matching, c.Count.Answered, c.Count.Devices)},
	}})
}
