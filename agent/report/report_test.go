package report

import (
	"strings"
	"testing"
	"time"

	"cutoff/platform/posture"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

func TestEachKindOfValueIsSaidAndAnUnknownOneHasItsReason(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	if f := fact(posture.Fact{Name: "a", Value: "x"}); f.GetText() != "x" || f.GetState() != cutoffv1.FactState_FACT_STATE_KNOWN {
		t.Errorf("text: %v", f)
	}
	if f := fact(posture.Fact{Name: "a", Value: false}); f.GetValue() == nil || f.GetState() != cutoffv1.FactState_FACT_STATE_KNOWN {
		t.Errorf("false is a value: %v", f)
	}
	if f := fact(posture.Fact{Name: "a", Value: int64(7)}); f.GetNumber() != 7 {
		t.Errorf("number: %v", f)
	}
	if f := fact(posture.Fact{Name: "a", Value: now}); !f.GetTime().AsTime().Equal(now) {
		t.Errorf("time: %v", f)
	}
	f := fact(posture.Fact{Name: "a", Reason: strings.Repeat("é", 500) + "\xff"})
	if f.GetState() != cutoffv1.FactState_FACT_STATE_UNKNOWN || f.GetValue() != nil || len(f.GetReason()) > maxText ||
		!strings.HasPrefix(f.GetReason(), "éé") {
		t.Errorf("unknown: %v", f)
	}
}

func TestTheAgentsVersionIsAFact(t *testing.T) {
	facts := New("", "v1").Facts(t.Context(), 0)
	last := facts[len(facts)-1]
	if last.GetName() != "agent_version" || last.GetText() != "v1" {
		t.Errorf("got %v", last)
	}
}
