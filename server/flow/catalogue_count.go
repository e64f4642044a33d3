package flow

import (
	"context"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
	"cutoff/server/catalogue"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
)

// CountCatalogue asks connected devices, those of the canary group first, what
// a cut would take with the change, and keeps the answer beside it. A proposal
// is signed as one: no device keeps it.
func (f *Flow) CountCatalogue(ctx context.Context, actor Actor, id string) (CatalogueView, error) {
	var change catalogue.Change
	var devices []device.Device
	proposals := map[string]*cutoffv1.Catalogue{}
	err := f.store.View(ctx, func(tx Tx) error {
		var err error
		if change, err = changeByID(ctx, tx, id); err != nil {
			return err
		}
		if devices, err = tx.Devices(ctx, ""); err != nil {
			return err
		}
		devices = slices.DeleteFunc(devices, func(d device.Device) bool { return d.State == device.Retired || d.State == device.Purged })
		return f.proposals(ctx, tx, &change, devices, proposals)
	})
	if err != nil {
		return CatalogueView{}, wrapCatalogue(err)
	}
	count := f.countLive(ctx, &change, devices, proposals)
	var v CatalogueView
	err = f.store.Update(ctx, func(tx Tx) error {
		c, err := changeByID(ctx, tx, id)
		if err != nil {
			return err
		}
		c.Count = count
		if err := tx.SetChange(ctx, c.State, c); err != nil {
			return err
		}
		if v, err = f.viewChange(ctx, tx, c); err != nil {
			return err
		}
		return f.record(ctx, tx, evidence.Event{Kind: "catalogue.counted", Actor: actor.Name, Fields: []evidence.Field{
			{Name: "change", Value: c.ID}, {Name: "items", Value: strconv.Itoa(count.Items)},
			{Name: "matching", Value: strconv.Itoa(count.Matching)}, {Name: "answered", Value: strconv.Itoa(count.Answered)},
			{Name: "devices", Value: strconv.Itoa(count.Devices)},
		}})
	})
	return v, wrapCatalogue(err)
}

// proposals are, by group, what its devices would go by with the change.
func (f *Flow) proposals(
	ctx context.Context, tx Tx, change *catalogue.Change, devices []device.Device, into map[string]*cutoffv1.Catalogue,
) error {
	all, err := tx.Changes(ctx)
	if err != nil {
		return err
	}
	next := *change
	next.State, next.Version = catalogue.Active, 1<<62
	all = append(slices.DeleteFunc(all, func(c catalogue.Change) bool { return c.ID == change.ID }), next)
	for i := range devices {
		group := devices[i].Group
		if into[group] != nil {
			continue
		}
		choices, err := tx.Choices(ctx, group)
		if err != nil {
			return err
		}
		into[group] = &cutoffv1.Catalogue{TrustDomain: f.trustDomain, Group: group, Choices: choices.Message(),
			Files: catalogue.FilesMessage(catalogue.Effective(all, group))}
	}
	return nil
}

// countLive asks as many as a preview would, all at once.
func (f *Flow) countLive(
	ctx context.Context, change *catalogue.Change, devices []device.Device, proposals map[string]*cutoffv1.Catalogue,
) catalogue.Count {
	slices.SortStableFunc(devices, func(a, b device.Device) int {
		return first(b.Group == change.Canary) - first(a.Group == change.Canary)
	})
	count := catalogue.Count{At: f.now(), Devices: len(devices)}
	groups := map[string]*catalogue.GroupCount{}
	for i := range devices {
		if groups[devices[i].Group] == nil {
			groups[devices[i].Group] = &catalogue.GroupCount{Group: devices[i].Group}
		}
		groups[devices[i].Group].Devices++
	}
	planner, can := f.devices.(ProposalPlanner)
	products := change.Products()
	var mu sync.Mutex
	asking := errgroup.Group{}
	asking.SetLimit(previewParallel)
	for i := range devices {
		d := &devices[i]
		if !can || count.Asked >= previewDevices || !f.hub.Connected(d.ID) {
			continue
		}
		count.Asked++
		asking.Go(func() error {
			items, err := f.askProposal(ctx, planner, d.ID, proposals[d.Group])
			mu.Lock()
			defer mu.Unlock()
			tally(&count, groups[d.Group], items, err, products)
			return nil
		})
	}
	_ = asking.Wait() // each device's failure is counted
	for _, g := range groups {
		count.Groups = append(count.Groups, *g)
	}
	slices.SortFunc(count.Groups, func(a, b catalogue.GroupCount) int {
		if a.Group < b.Group {
			return -1
		}
		return 1
	})
	return count
}

func first(yes bool) int {
	if yes {
		return 1
	}
	return 0
}

func (f *Flow) askProposal(
	ctx context.Context, planner ProposalPlanner, deviceID string, proposal *cutoffv1.Catalogue,
) ([]*cutoffv1.Item, error) {
	m := &cutoffv1.Catalogue{TrustDomain: proposal.GetTrustDomain(), Group: proposal.GetGroup(), DeviceId: deviceID,
		Choices: proposal.GetChoices(), Files: proposal.GetFiles()}
	envelope, err := signed.Seal(signed.TypeProposal, m, f.signers.Order)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, previewWait)
	defer cancel()
	return planner.PlanProposal(ctx, deviceID, envelope)
}

// maxProblems bounds the different words of devices that are kept.
const maxProblems = 8

func tally(count *catalogue.Count, group *catalogue.GroupCount, items []*cutoffv1.Item, err error, products []string) {
	if err != nil {
		word := clip(fault.Sentence(err), 200)
		if len(count.Problems) < maxProblems && !slices.Contains(count.Problems, word) {
			count.Problems = append(count.Problems, word)
		}
		return
	}
	n := 0
	for _, i := range items[:min(len(items), maxItems)] {
		if slices.Contains(products, i.GetProduct()) {
			n++
		}
	}
	count.Answered++
	group.Answered++
	count.Items += n
	group.Items += n
	if n > 0 {
		count.Matching++
		group.Matching++
	}
}
