package revoke_test

import (
	"errors"
	"testing"
	"time"

	"cutoff/server/revoke"
)

func TestEveryPairOfStateAndEventMovesAsTheTableSaysOrNotAtAll(t *testing.T) {
	events := []revoke.Event{
		revoke.Claim, revoke.Act, revoke.Confirm, revoke.Retry, revoke.Block, revoke.Release, revoke.Withdraw,
	}
	// A row a state, a column an event; "" is a move that is not allowed.
	want := map[revoke.State][]revoke.State{
		revoke.Planned: {revoke.Claimed, "", "", "", revoke.Stuck, "", revoke.Withdrawn},
		revoke.Claimed: {
			revoke.Claimed, revoke.Revoked, revoke.Confirmed, revoke.Planned, revoke.Stuck, revoke.Planned, revoke.Withdrawn,
		},
		revoke.Revoked:   {revoke.Claimed, "", revoke.Confirmed, revoke.Planned, revoke.Stuck, "", revoke.Withdrawn},
		revoke.Stuck:     {"", "", "", revoke.Planned, "", "", revoke.Withdrawn},
		revoke.Confirmed: {"", "", "", "", "", "", ""},
		revoke.Withdrawn: {"", "", "", "", "", "", ""},
		revoke.State(""): {"", "", "", "", "", "", ""},
	}
	for from, row := range want {
		for i, event := range events {
			got, err := revoke.Next(from, event)
			switch {
			case row[i] == "" && !errors.Is(err, revoke.ErrTransition):
				t.Errorf("%s %s: got %s, want it refused", from, event, got)
			case row[i] != "" && (err != nil || got != row[i]):
				t.Errorf("%s %s: got %s, %v; want %s", from, event, got, err, row[i])
			}
		}
	}
}

func TestTheLaterOfTwoResidualsIsTheOneThatLastsLonger(t *testing.T) {
	at := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	never, early, late := revoke.Residual{}, revoke.Residual{Until: at}, revoke.Residual{Until: at.Add(time.Hour)}
	always := revoke.Residual{Unbounded: true}
	rising := []revoke.Residual{never, early, late, always}
	for i, a := range rising {
		for j, b := range rising {
			if got, want := a.Later(b), rising[max(i, j)]; got != want {
				t.Errorf("%s or %s: got %s, want %s", a, b, got, want)
			}
		}
	}
	for r, want := range map[revoke.Residual]string{never: "none", early: "2026-11-23T03:00:00Z", always: "unbounded"} {
		if r.String() != want {
			t.Errorf("got %s, want %s", r, want)
		}
	}
}
