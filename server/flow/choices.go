package flow

import (
	"context"
	"strconv"

	"cutoff/server/catalogue"
	"cutoff/server/evidence"
	"cutoff/server/fault"
)

// ChoicesChange is what SetGroup changes of a group's choices; nil stays.
type ChoicesChange struct {
	Everything, Enrich            *bool
	Accounts, Policies, WorkTrees *[]string
	// Wider confirms that a cut will take more than it would now.
	Wider bool
}

func (c *ChoicesChange) apply(to catalogue.Choices) catalogue.Choices {
	if c.Everything != nil {
		to.Everything = *c.Everything
	}
	if c.Enrich != nil {
		to.Enrich = *c.Enrich
	}
	for _, set := range []struct {
		from *[]string
		to   *[]string
	}{{c.Accounts, &to.Accounts}, {c.Policies, &to.Policies}, {c.WorkTrees, &to.WorkTrees}} {
		if set.from != nil {
			*set.to = *set.from
		}
	}
	to.Tidy()
	return to
}

// setChoices changes a group's choices and fills the view with them. A change
// that makes cuts take more has to be confirmed. One person may: choices take
// nothing away by themselves, and the cut that does is braked and approved on
// its own; only a cut that stands already looks again with them.
func (f *Flow) setChoices(ctx context.Context, tx Tx, actor Actor, v *GroupView, change *ChoicesChange) (changed bool, err error) {
	was, err := tx.Choices(ctx, v.Name)
	if err != nil {
		return false, err
	}
	next := change.apply(was)
	if err := next.Check(); err != nil {
		return false, err
	}
	if !next.Equal(&was) {
		wider := was.Wider(&next)
		if wider != "" && !change.Wider {
			return false, fault.New(fault.Conflict, "cuts of group %s would take more: %s; confirm it (--wider)", v.Name, wider)
		}
		newest, err := tx.CatalogueVersion(ctx)
		if err != nil {
			return false, err
		}
		next.Version, changed = newest+1, true
		if err := tx.PutChoices(ctx, v.Name, next, actor.Name, f.now()); err != nil {
			return false, err
		}
		if err := f.record(ctx, tx, evidence.Event{Kind: "group.choices", Actor: actor.Name, Fields: []evidence.Field{
			{Name: "group", Value: v.Name}, {Name: "version", Value: strconv.FormatInt(next.Version, 10)},
			{Name: "from", Value: was.String()}, {Name: "to", Value: next.String()}, {Name: "wider", Value: wider},
		}}); err != nil {
			return false, err
		}
	}
	views := []GroupView{*v}
	err = f.fillChoices(ctx, tx, views)
	*v = views[0]
	return changed, err
}

// fillChoices adds to each group what it chose and what is in force for it.
func (f *Flow) fillChoices(ctx context.Context, tx Tx, all []GroupView) error {
	changes, err := tx.Changes(ctx)
	if err != nil {
		return err
	}
	for i := range all {
		v := &all[i]
		if v.Choices, err = tx.Choices(ctx, v.Name); err != nil {
			return err
		}
		v.Catalogue = catalogue.Version(changes, &v.Choices, v.Name)
	}
	return nil
}
