package flow

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"cutoff/server/catalogue"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/lease"
)

// GroupView is a group and how many live devices it has.
type GroupView struct {
	device.Group
	Devices int
	Choices catalogue.Choices
	// Catalogue names what is in force for its devices beyond their own
	// catalogue; 0: nothing ever was.
	Catalogue int64
}

// GroupChange is what SetGroup changes; nil stays.
type GroupChange struct {
	Warn, Seal, Purge, Renew, Report *time.Duration
	AtExpiry                         *string
	Approvals                        *int
	BootToll, Stopped                *time.Duration
	OnTamper, Help                   *string
	AutoLift                         *bool
	// Privileged, set anew, gives short deadlines where no others are named.
	Privileged *bool
	Choices    ChoicesChange
}

// Groups are all groups, by name.
func (f *Flow) Groups(ctx context.Context, _ Actor) ([]GroupView, error) {
	var all []GroupView
	err := f.store.View(ctx, func(tx Tx) error {
		groups, counts, err := tx.Groups(ctx)
		for _, g := range groups {
			all = append(all, GroupView{Group: g, Devices: counts[g.Name]})
		}
		if err != nil {
			return err
		}
		return f.fillChoices(ctx, tx, all)
	})
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	return all, nil
}

// SetGroup creates or changes a group. Its deadlines count from the next lease
// of each device on.
func (f *Flow) SetGroup(ctx context.Context, actor Actor, name string, change GroupChange) (GroupView, error) {
	if !groupName(name) {
		return GroupView{}, fault.New(fault.Invalid,
			"%.40q is not a group's name: 1 to 64 small letters, digits, dots, dashes, beginning with a letter or digit", name)
	}
	v, rescoped := GroupView{}, false
	err := f.store.Update(ctx, func(tx Tx) error {
		v, rescoped = GroupView{}, false
		was, err := tx.Group(ctx, name)
		created := fault.Is(err, fault.NotFound)
		if created {
			was = device.Defaults(name)
		} else if err != nil {
			return err
		}
		v.Group = change.apply(was)
		if err := lease.Check(&v.Group); err != nil {
			return fault.Wrap(err, fault.Invalid, "group %s: %s", name, err)
		}
		if v.Devices, err = tx.CountDevices(ctx, name); err != nil {
			return err
		}
		if created || v.Group != was {
			if err := tx.PutGroup(ctx, v.Group); err != nil {
				return err
			}
			if err := f.record(ctx, tx, groupSet(actor, &v.Group)); err != nil {
				return err
			}
		}
		rescoped, err = f.setChoices(ctx, tx, actor, &v, &change.Choices)
		return err
	})
	if err != nil {
		return GroupView{}, fmt.Errorf("set group: %w", err)
	}
	if rescoped {
		f.recatalogue()
	}
	return v, nil
}

func (c *GroupChange) apply(g device.Group) device.Group {
	if c.Privileged != nil {
		if *c.Privileged && !g.Privileged {
			g = g.Privilege()
		}
		g.Privileged = *c.Privileged
	}
	for _, set := range []struct {
		from *time.Duration
		to   *time.Duration
	}{{c.Warn, &g.Warn}, {c.Seal, &g.Seal}, {c.Purge, &g.Purge}, {c.Renew, &g.Renew}, {c.Report, &g.Report},
		{c.BootToll, &g.BootToll}, {c.Stopped, &g.Stopped}} {
		if set.from != nil {
			*set.to = *set.from
		}
	}
	for _, set := range []struct{ from, to *string }{
		{c.AtExpiry, &g.AtExpiry}, {c.OnTamper, &g.OnTamper}, {c.Help, &g.Help},
	} {
		if set.from != nil {
			*set.to = *set.from
		}
	}
	if c.AutoLift != nil {
		g.AutoLift = *c.AutoLift
	}
	if c.Approvals != nil {
		g.Approvals = *c.Approvals
	}
	return g
}

func groupSet(actor Actor, g *device.Group) evidence.Event {
	return evidence.Event{Kind: "group.set", Actor: actor.Name, Fields: []evidence.Field{
		{Name: "group", Value: g.Name}, {Name: "warn", Value: g.Warn.String()}, {Name: "seal", Value: g.Seal.String()},
		{Name: "purge", Value: g.Purge.String()}, {Name: "renew", Value: g.Renew.String()},
		{Name: "report", Value: g.Report.String()}, {Name: "at_expiry", Value: g.AtExpiry}, {Name: "approvals", Value: strconv.Itoa(g.Approvals)},
		{Name: "on_tamper", Value: g.OnTamper}, {Name: "boot_toll", Value: g.BootToll.String()},
		{Name: "stopped", Value: g.Stopped.String()}, {Name: "auto_lift", Value: strconv.FormatBool(g.AutoLift)},
		{Name: "privileged", Value: strconv.FormatBool(g.Privileged)}, {Name: "help", Value: g.Help},
	}}
}

func groupName(s string) bool {
	const first, rest = "abcdefghijklmnopqrstuvwxyz0123456789", "abcdefghijklmnopqrstuvwxyz0123456789.-_"
	return s != "" && len(s) <= 64 && strings.Contains(first, s[:1]) && strings.Trim(s, rest) == ""
}

// noSuchGroup names the group in a NotFound.
func noSuchGroup(err error, name string) error {
	if fault.Is(err, fault.NotFound) {
		return fault.New(fault.NotFound, "there is no group %.64q", name)
	}
	return err
}
