package posture_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/posture"
)

const known = cutoffv1.FactState_FACT_STATE_KNOWN

func TestAFactIsKnownOnlyWithAValue(t *testing.T) {
	boot := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		wire   *cutoffv1.Fact
		known  bool
		text   string
		reason string
	}{
		"a text":           {&cutoffv1.Fact{State: known, Value: &cutoffv1.Fact_Text{Text: "linux"}}, true, "linux", ""},
		"true":             {&cutoffv1.Fact{State: known, Value: &cutoffv1.Fact_Flag{Flag: true}}, true, "true", ""},
		"false is a value": {&cutoffv1.Fact{State: known, Value: &cutoffv1.Fact_Flag{}}, true, "false", ""},
		"zero is a value":  {&cutoffv1.Fact{State: known, Value: &cutoffv1.Fact_Number{}}, true, "0", ""},
		"a time": {&cutoffv1.Fact{State: known, Value: &cutoffv1.Fact_Time{Time: timestamppb.New(boot)}}, true,
			"2026-11-01T08:00:00Z", ""},
		"known without a value": {&cutoffv1.Fact{State: known}, false, "", "known, but without a value"},
		"an impossible time": {&cutoffv1.Fact{State: known, Value: &cutoffv1.Fact_Time{
			Time: &timestamppb.Timestamp{Seconds: 1 << 60}}}, false, "", "not a time"},
		"unknown": {&cutoffv1.Fact{State: cutoffv1.FactState_FACT_STATE_UNKNOWN, Reason: "no permission",
			Value: &cutoffv1.Fact_Flag{Flag: true}}, false, "", "no permission"},
		"of no state":      {&cutoffv1.Fact{Value: &cutoffv1.Fact_Flag{Flag: true}}, false, "", "the agent gave no reason"},
		"of another state": {&cutoffv1.Fact{State: 77, Reason: "x\x1b[31m"}, false, "", "x[31m"},
	} {
		c.wire.Name = "fact"
		facts, err := posture.Parse(&cutoffv1.Report{Facts: []*cutoffv1.Fact{c.wire}})
		if err != nil || len(facts) != 1 {
			t.Errorf("%s: %v, %v", name, facts, err)
			continue
		}
		if f := facts[0]; f.Known != c.known || f.String() != c.text || f.Reason != c.reason {
			t.Errorf("%s: got %+v (%s)", name, f, f)
		}
	}
}

func TestAReportBeyondItsBoundsIsMalformed(t *testing.T) {
	many := &cutoffv1.Report{}
	for i := range 65 {
		many.Facts = append(many.Facts, &cutoffv1.Fact{Name: "f" + strconv.Itoa(i)})
	}
	for name, report := range map[string]*cutoffv1.Report{
		"too many facts":  many,
		"a fact twice":    {Facts: []*cutoffv1.Fact{{Name: "os"}, {Name: "os"}}},
		"no name":         {Facts: []*cutoffv1.Fact{{}}},
		"a strange name":  {Facts: []*cutoffv1.Fact{{Name: "os; drop"}}},
		"an endless name": {Facts: []*cutoffv1.Fact{{Name: strings.Repeat("a", 65)}}},
	} {
		if _, err := posture.Parse(report); !errors.Is(err, posture.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALongTextIsCutAtARune(t *testing.T) {
	facts, err := posture.Parse(&cutoffv1.Report{Facts: []*cutoffv1.Fact{
		{Name: "os", State: known, Value: &cutoffv1.Fact_Text{Text: "x" + strings.Repeat("é", 400)}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := facts[0].Text; len(got) != 511 || !strings.HasSuffix(got, "é") {
		t.Fatalf("%d bytes, ends in %q", len(got), got[len(got)-2:])
	}
}
