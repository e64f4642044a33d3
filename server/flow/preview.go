package flow

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/revoke"
)

// Bounds of a preview: how many devices are asked at once, in all, and for how
// long each.
const (
	previewParallel = 32
	previewDevices  = 200
	previewWait     = 10 * time.Second
)

// Preview is the dry run of a cut: what the devices would remove, the steps the
// clouds would get, and whether it would be held. Nothing is opened.
func (f *Flow) Preview(ctx context.Context, request OpenRequest) (Preview, error) {
	if request.Cause == "" {
		request.Cause = cut.Operator
	}
	if err := request.check(); err != nil {
		return Preview{}, fmt.Errorf("preview cut: %w", err)
	}
	var p Preview
	err := f.store.View(ctx, func(tx Tx) error {
		p = Preview{}
		var k cut.Case
		targets, err := f.resolve(ctx, tx, &request, &k)
		if err != nil {
			return err
		}
		if p.Held, err = f.wouldHold(ctx, tx, &request, targets); err != nil {
			return err
		}
		for i, t := range targets {
			if i >= previewDevices && t.device != nil {
				continue
			}
			if err := f.previewTarget(ctx, tx, &p, t, request.Level, request.Cause); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return Preview{}, fmt.Errorf("preview cut: %w", err)
	}
	f.previewLive(ctx, p.Devices)
	return p, nil
}

func (f *Flow) wouldHold(ctx context.Context, tx Tx, r *OpenRequest, targets []target) (string, error) {
	a, err := f.assess(ctx, tx, r, targets)
	if err != nil || len(a.fresh) == 0 {
		return "", err
	}
	reason, err := f.braked(ctx, tx, r, a.units)
	if err == nil && reason == "" && a.approvals > 0 {
		reason = fmt.Sprintf("waits for %d approval(s) by others", a.approvals)
	}
	return reason, err
}

func (f *Flow) previewTarget(ctx context.Context, tx Tx, p *Preview, t target, level cut.Level, cause cut.Cause) error {
	if t.device != nil {
		found, err := tx.CredentialsOfDevice(ctx, t.device.ID)
		if err != nil {
			return err
		}
		t.found = &found
	}
	specs, err := f.expand(ctx, tx, t, &cut.Cut{Level: level, Cause: cause, OpenedAt: f.now()})
	if err != nil {
		return err
	}
	if t.device != nil && t.device.State == device.Sealed && level == cut.Purge {
		specs = append(specs, shredSpec(t.device.Escrow))
	}
	for _, spec := range specs {
		s := planned("", spec, time.Time{})
		s.ID, s.State, s.DoneAt = "", "", time.Time{}
		p.Steps = append(p.Steps, s)
	}
	if t.device == nil {
		return nil
	}
	d := PreviewDevice{DeviceID: t.device.ID, Hostname: t.device.Hostname, AsOf: t.device.InventoryAt}
	for i := range *t.found {
		if c := &(*t.found)[i]; !c.Held {
			d.Items = append(d.Items, inventoryItem(c))
		}
	}
	p.Devices = append(p.Devices, d)
	return nil
}

// inventoryItem is a credential of the inventory as the item it would be.
func inventoryItem(c *device.Credential) cut.Item {
	item := cut.Item{
		ID: c.ID, Product: c.Product, User: c.User, Path: c.Path, Regain: c.Regain,
		Residual: revoke.Residual{Until: c.ExpiresAt, Unbounded: c.ExpiresAt.IsZero() && !c.Harmless},
	}
	for _, n := range c.Identifiers {
		item.Identifiers = append(item.Identifiers, cut.Identifier(n))
	}
	return item
}

// previewLive asks the connected devices themselves, all at once.
func (f *Flow) previewLive(ctx context.Context, devices []PreviewDevice) {
	var mu sync.Mutex
	group := errgroup.Group{}
	group.SetLimit(previewParallel)
	for i := range devices {
		d := &devices[i]
		if f.devices == nil || !f.hub.Connected(d.DeviceID) {
			d.Problem = "not connected; this is its last inventory"
			continue
		}
		group.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, previewWait)
			defer cancel()
			items, err := f.devices.PlanDevice(ctx, d.DeviceID)
			mu.Lock()
			defer mu.Unlock()
			f.fillLive(d, items, err)
			return nil
		})
	}
	_ = group.Wait() // each device's failure is in its own row
}

func (f *Flow) fillLive(d *PreviewDevice, items []*cutoffv1.Item, err error) {
	if err != nil {
		d.Problem = "no answer: " + fault.Sentence(err) + "; this is its last inventory"
		return
	}
	d.Live, d.AsOf, d.Items = true, f.now(), nil
	for _, i := range items[:min(len(items), maxItems)] {
		if checkItem(i) == nil {
			d.Items = append(d.Items, itemOf(i))
		}
	}
}
