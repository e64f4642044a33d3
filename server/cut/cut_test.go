package cut_test

import (
	"errors"
	"fmt"
	"testing"

	"cutoff/server/cut"
)

var states = []cut.State{cut.Held, cut.Open, cut.Refused, cut.Lapsed, cut.Settled, cut.Lifting, cut.Lifted}

var events = []cut.Event{
	cut.Approve, cut.Refuse, cut.Lapse, cut.AskAgain, cut.SelfSealed, cut.Settle, cut.Reopen, cut.Lift, cut.Return, cut.CutAgain,
}

// allowed is every move there is, written out a second time.
var allowed = map[string]cut.State{
	"held approve": cut.Open, "held refuse": cut.Refused, "held lapse": cut.Lapsed, "held self-sealed": cut.Open,
	"open settle": cut.Settled, "open reopen": cut.Open, "open lift": cut.Lifting, "open self-sealed": cut.Open,
	"refused self-sealed": cut.Lifting, "refused ask-again": cut.Held,
	"lapsed self-sealed": cut.Open, "lapsed ask-again": cut.Held,
	"settled settle": cut.Settled, "settled reopen": cut.Open, "settled lift": cut.Lifting, "settled self-sealed": cut.Open,
	"lifting return": cut.Lifted, "lifting cut-again": cut.Open, "lifting self-sealed": cut.Lifting,
	"lifted self-sealed": cut.Lifting,
}

func TestEveryPairOfStateAndEventMovesAsTheTableSaysOrNotAtAll(t *testing.T) {
	seen := 0
	for _, from := range states {
		for _, event := range events {
			pair := fmt.Sprintf("%s %s", from, event)
			got, err := cut.Next(from, event)
			want, ok := allowed[pair]
			if ok {
				seen++
			} else {
				want = from
			}
			if got != want || ok != (err == nil) || !ok && !errors.Is(err, cut.ErrTransition) {
				t.Errorf("%s: got %s, %v; want %s, allowed %t", pair, got, err, want, ok)
			}
		}
	}
	if seen != len(allowed) {
		t.Errorf("%d pairs were walked, %d are allowed", seen, len(allowed))
	}
	if _, err := cut.Next("", cut.Approve); err == nil {
		t.Error("the empty state moved")
	}
}

func TestOnlyACutThatStandsWithholdsALease(t *testing.T) {
	for _, s := range states {
		want := s == cut.Open || s == cut.Settled || s == cut.Lifting
		if c := (cut.Cut{State: s}); c.Active() != want {
			t.Errorf("%s: active is %t, want %t", s, c.Active(), want)
		}
	}
}
