package flow

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"cutoff/agent/lease"
	"cutoff/agent/purge"
	"cutoff/agent/purge/catalogue"
	"cutoff/agent/scope"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// job is something to look at; it changes nothing on the device.
type job struct {
	posture   bool
	inventory bool
	plan      string // a PlanRequest's id
	// scope is how far the cut would go.
	scope catalogue.Scope
}

// Bounds of a look.
const (
	postureTime = 20 * time.Second
	scanTime    = 2 * time.Minute
)

// observe queues a job unless the observer is far behind.
func (f *Flow) observe(j job) {
	select {
	case f.jobs <- j:
	default:
		if j.plan != "" {
			f.sendPlan(j.plan, nil, errors.New("the device is busy"))
		}
		if j.inventory {
			f.loop.due.inventory = f.config.Clock().Boot + scanEvery
		}
	}
}

// observer looks at the device, one job after the other.
func (f *Flow) observer(ctx context.Context) error {
	for {
		select {
		case j := <-f.jobs:
			f.watch(ctx, j)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *Flow) watch(ctx context.Context, j job) {
	if j.posture {
		ctx, cancel := context.WithTimeout(ctx, postureTime)
		defer cancel()
		facts := f.config.Posture(ctx)
		f.do(func() { f.observed(facts) })
		return
	}
	items, err := f.scanNow(ctx, j.scope)
	if ctx.Err() != nil {
		return
	}
	if j.inventory {
		f.do(func() { f.inventoried(items, j.scope, err) })
		return
	}
	f.do(func() { f.sendPlan(j.plan, items, err) })
}

// scanNow lists what a cut would take. A cut that begins meanwhile ends it.
func (f *Flow) scanNow(ctx context.Context, scope catalogue.Scope) ([]*cutoffv1.Item, error) {
	ctx, cancel := context.WithTimeout(ctx, scanTime)
	defer cancel()
	f.scan.Lock()
	f.cancelScan = cancel
	f.scan.Unlock()
	return f.config.Plan(ctx, scope)
}

func (f *Flow) stopScan() {
	f.scan.Lock()
	defer f.scan.Unlock()
	if f.cancelScan != nil {
		f.cancelScan()
		f.cancelScan = nil
	}
}

// observed reports the posture if it changed or is due.
func (f *Flow) observed(facts []*cutoffv1.Fact) {
	s := &f.loop
	changed := !sameFacts(s.facts, facts)
	s.facts = facts
	if s.reportNow || changed {
		f.report(f.config.Clock())
	}
}

// report sends the posture that was last seen.
func (f *Flow) report(now lease.Reading) {
	s := &f.loop
	if s.link == nil {
		return
	}
	s.reportNow = false
	facts := s.facts
	if s.trust.tamper || s.trust.putBack || s.trust.mark.Lost {
		facts = append(facts[:len(facts):len(facts)], flagFact("tamper"))
	}
	if s.trust.mark.Below {
		facts = append(facts[:len(facts):len(facts)], flagFact("clock_below_mark"))
	}
	f.send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Report{
		Report: &cutoffv1.Report{Facts: facts, At: timestamppb.New(now.Wall)},
	}})
}

func flagFact(name string) *cutoffv1.Fact {
	return &cutoffv1.Fact{
		Name: name, State: cutoffv1.FactState_FACT_STATE_KNOWN, Value: &cutoffv1.Fact_Flag{Flag: true},
	}
}

// bootSlack is how far the boot time may move without being news: systems count
// it from the wall clock, which is always being adjusted.
const bootSlack = 2 * time.Minute

func sameFacts(a, b []*cutoffv1.Fact) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		at, bt := a[i].GetTime(), b[i].GetTime()
		if at != nil && bt != nil && a[i].GetName() == b[i].GetName() {
			if at.AsTime().Sub(bt.AsTime()).Abs() > bootSlack {
				return false
			}
			continue
		}
		if !proto.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func (f *Flow) inventoried(items []*cutoffv1.Item, scope catalogue.Scope, err error) {
	s, now := &f.loop, f.config.Clock()
	if err != nil {
		f.config.Log.Warn("inventory not taken, will try again", "err", err)
		s.due.inventory = now.Boot + spread(scanEvery)
		return
	}
	if len(s.standing) > 0 || s.link == nil || s.current != nil {
		s.due.inventory = now.Boot + spread(scanEvery)
		return // what a cut left is no inventory
	}
	s.wants, s.scanned = false, now.Boot
	f.send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Inventory{
		Inventory: &cutoffv1.Inventory{Items: items, CatalogueVersion: purge.VersionWith(scope)},
	}})
}

func (f *Flow) planRequested(request *cutoffv1.PlanRequest) {
	id, scope := request.GetPlanId(), f.config.Scope.Scope()
	if f.loop.current != nil {
		f.sendPlan(id, nil, errors.New("a cut is being carried out"))
		return
	}
	if len(request.GetProposal()) > 0 {
		var err error
		if scope, err = f.config.Scope.Proposal(request.GetProposal()); err != nil {
			f.catalogueRefused(err)
			f.sendPlan(id, nil, err)
			return
		}
	}
	f.observe(job{plan: id, scope: scope})
}

func (f *Flow) sendPlan(id string, items []*cutoffv1.Item, err error) {
	result := &cutoffv1.PlanResult{PlanId: id, Items: items}
	if err != nil {
		f.config.Log.Warn("plan not made", "err", err)
		result.Items, result.Error = nil, "the device could not list what it holds"
		if refused := (*scope.Refused)(nil); errors.As(err, &refused) {
			result.Error = "the device does not take the proposal: " + refused.Error()
		}
	}
	f.send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Plan{Plan: result}})
}
