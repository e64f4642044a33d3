package queue_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"cutoff/server/revoke"
)

// BenchmarkNewStepToConnectorCalled measures what a person waits for: from a
// step's row being durable (and the hint given) until its connector is called,
// with the real store and the real job file. Run it as
//
//	go test -run '^$' -bench NewStep -benchtime 200x ./server/queue
func BenchmarkNewStepToConnectorCalled(b *testing.B) {
	dir := b.TempDir()
	r := newRows(b, dir)
	called := make(chan time.Time, 1)
	p := &provider{revoke: func(context.Context, revoke.Step) revoke.Result {
		called <- time.Now()
		return revoke.Result{Outcome: revoke.Verified, Proof: revoke.L1, Done: true}
	}}
	hint, _ := start(b, dir, r, p)
	r.plan(b, "cut_warm", revoke.Step{Connector: "idp", Action: "a"})
	<-called
	var all []time.Duration
	for i := 0; b.Loop(); i++ {
		r.plan(b, fmt.Sprintf("cut_%d", i), revoke.Step{Connector: "idp", Action: "a"})
		durable := time.Now()
		hint.Steps()
		all = append(all, (<-called).Sub(durable))
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkBacklog measures one provider's backlog of a fleet beside another
// provider's new steps: how long those wait.
func BenchmarkBacklog(b *testing.B) {
	dir := b.TempDir()
	r := newRows(b, dir)
	called := make(chan time.Time, 1)
	p := &provider{revoke: func(ctx context.Context, s revoke.Step) revoke.Result {
		if s.Connector == "slow" {
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
			return revoke.Result{Outcome: revoke.Verified, Proof: revoke.L1, Done: true}
		}
		called <- time.Now()
		return revoke.Result{Outcome: revoke.Verified, Proof: revoke.L1, Done: true}
	}}
	for i := range 100 {
		r.planMany(b, fmt.Sprintf("cut_slow_%d", i), 100)
	}
	hint, _ := start(b, dir, r, p)
	var all []time.Duration
	for i := 0; b.Loop(); i++ {
		r.plan(b, fmt.Sprintf("cut_%d", i), revoke.Step{Connector: "idp", Action: "a"})
		durable := time.Now()
		hint.Steps()
		all = append(all, (<-called).Sub(durable))
		<-time.After(20 * time.Millisecond)
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(0, "ns/op")
}
