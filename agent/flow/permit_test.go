package flow_test

import (
	"context"
	"testing"

	"cutoff/agent/journal"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

const uninstalling = cutoffv1.OrderKind_ORDER_KIND_UNINSTALL

func TestAPermissionToUninstallIsKeptAndAnsweredAndRemovesNothing(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	a := m.boot()
	s.until("a connection", connected)
	s.command(uninstalling, "rem_1")
	s.until("a receipt", receipts(1))
	if r := s.seen.receipts[0]; r.GetKind() != uninstalling || !r.GetComplete() || len(r.GetItems()) != 0 {
		t.Errorf("receipt: %v", r)
	}
	a.stop()
	if got := permitted(t, m); got != 1 {
		t.Errorf("the permission is order %d, want 1", got)
	}

	// A cut takes it back.
	challenges := len(s.seen.challenges)
	a = m.boot()
	s.until("a connection again", func(s *seen) bool { return len(s.challenges) > challenges })
	s.command(purging, "cut_1")
	s.until("the cut's receipt", func(s *seen) bool { return len(s.receipts) > 0 && s.receipts[len(s.receipts)-1].GetCutId() == "cut_1" })
	a.stop()
	if got := permitted(t, m); got != 0 {
		t.Errorf("after a cut the permission is order %d", got)
	}
}

// permitted reads the permission of an agent that does not run.
func permitted(t *testing.T, m *machine) uint64 {
	t.Helper()
	j, err := journal.Open(m.state.Journal())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = j.Close() }()
	number, err := j.Permitted()
	if err != nil {
		t.Fatal(err)
	}
	return number
}

// TestTheLastWordIsSaidWithAndWithoutAStream: on the connection that is open, and by
// one of its own when there is none.
func TestTheLastWordIsSaidWithAndWithoutAStream(t *testing.T) {
	s, m := newServer(t), newMachine(t)
	m.enrol(s)
	_, _, u, j := m.assemble()
	defer func() { _ = j.Close() }()
	if err := u.Leave(context.Background(), cutoffv1.LeavingReason_LEAVING_REASON_REMOVED, 7); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = u.Run(ctx) }()
	s.until("a stream", func(s *seen) bool { return len(s.hellos) > 0 })
	if err := u.Leave(ctx, cutoffv1.LeavingReason_LEAVING_REASON_STOPPED, 0); err != nil {
		t.Error(err)
	}
	stop()
	<-ended
	if len(s.seen.leavings) != 2 || s.seen.leavings[0].GetOrderNumber() != 7 || s.seen.leavings[1].GetReason() != cutoffv1.LeavingReason_LEAVING_REASON_STOPPED {
		t.Errorf("heard %v", s.seen.leavings)
	}
}
