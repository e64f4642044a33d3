// Package report puts the posture of this device in the words of the wire: each
// fact a value, or unknown with a reason. It must not judge a fact.
package report

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"cutoff/platform/posture"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// maxText bounds a value or reason, in bytes.
const maxText = 256

// Facts are those of the machine, or of a trial below root, and the agent's own
// version.
func Facts(ctx context.Context, root, version string) []*cutoffv1.Fact {
	found := append(posture.Collect(ctx, root), posture.Fact{Name: "agent_version", Value: version})
	facts := make([]*cutoffv1.Fact, 0, len(found))
	for _, f := range found {
		facts = append(facts, fact(f))
	}
	return facts
}

func fact(f posture.Fact) *cutoffv1.Fact {
	made := &cutoffv1.Fact{Name: f.Name, State: cutoffv1.FactState_FACT_STATE_KNOWN}
	switch value := f.Value.(type) {
	case string:
		made.Value = &cutoffv1.Fact_Text{Text: clip(value)}
	case bool:
		made.Value = &cutoffv1.Fact_Flag{Flag: value}
	case int64:
		made.Value = &cutoffv1.Fact_Number{Number: value}
	case time.Time:
		made.Value = &cutoffv1.Fact_Time{Time: timestamppb.New(value)}
	default:
		made.State = cutoffv1.FactState_FACT_STATE_UNKNOWN
		made.Reason = clip(f.Reason)
	}
	return made
}

func clip(text string) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "")
}
