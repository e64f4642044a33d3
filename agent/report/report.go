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

// Reporter reads the facts of this device. Use it from one goroutine.
type Reporter struct {
	posture *posture.Collector
	version string
}

// New makes a reporter for the machine, or for a trial below root.
func New(root, version string) *Reporter {
	return &Reporter{posture: posture.New(root), version: version}
}

// Facts are the machine's and the agent's own version; boot is the boot clock's
// reading.
func (r *Reporter) Facts(ctx context.Context, boot time.Duration) []*cutoffv1.Fact {
	found := append(r.posture.Collect(ctx, boot), posture.Fact{Name: "agent_version", Value: r.version})
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
