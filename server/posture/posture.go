// Package posture holds the facts a device reports of itself: each a value, or
// unknown with a reason; unknown is never read as good. It must not judge a
// fact (policy does) nor know how facts are stored.
package posture

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// Limits of one report.
const (
	maxFacts = 64
	maxName  = 64
	maxText  = 512
)

// ErrMalformed says that a report is not one: too long, a fact twice, a value
// of no type.
var ErrMalformed = errors.New("malformed report")

// Fact is one fact of a device. The zero value is unknown. Of a known fact
// exactly one value is set.
type Fact struct {
	Name   string    `json:"name"`
	Known  bool      `json:"known,omitempty"`
	Text   string    `json:"text,omitempty"`
	Flag   *bool     `json:"flag,omitempty"`
	Number *int64    `json:"number,omitempty"`
	Time   time.Time `json:"time,omitzero"`
	// Reason says why the fact is unknown.
	Reason string `json:"reason,omitempty"`
}

// String is the value as people read it, empty if unknown.
func (f Fact) String() string {
	switch {
	case !f.Known:
		return ""
	case f.Flag != nil:
		return strconv.FormatBool(*f.Flag)
	case f.Number != nil:
		return strconv.FormatInt(*f.Number, 10)
	case !f.Time.IsZero():
		return f.Time.UTC().Format(time.RFC3339)
	default:
		return f.Text
	}
}

// Parse turns a report into facts. A known fact without a value is unknown:
// what cannot be read is never good. Errors wrap ErrMalformed.
func Parse(report *cutoffv1.Report) ([]Fact, error) {
	if n := len(report.GetFacts()); n > maxFacts {
		return nil, fmt.Errorf("%w: %d facts, at most %d", ErrMalformed, n, maxFacts)
	}
	facts := make([]Fact, 0, len(report.GetFacts()))
	seen := make(map[string]bool, len(report.GetFacts()))
	for _, wire := range report.GetFacts() {
		fact, err := parse(wire)
		if err != nil {
			return nil, err
		}
		if seen[fact.Name] {
			return nil, fmt.Errorf("%w: fact %q twice", ErrMalformed, fact.Name)
		}
		seen[fact.Name] = true
		facts = append(facts, fact)
	}
	return facts, nil
}

func parse(wire *cutoffv1.Fact) (Fact, error) {
	name := wire.GetName()
	if !identifier(name) {
		return Fact{}, fmt.Errorf("%w: a fact named %.70q", ErrMalformed, name)
	}
	fact := Fact{Name: name, Reason: clean(wire.GetReason())}
	if wire.GetState() != cutoffv1.FactState_FACT_STATE_KNOWN {
		if fact.Reason == "" {
			fact.Reason = "the agent gave no reason"
		}
		return fact, nil
	}
	switch value := wire.GetValue().(type) {
	case *cutoffv1.Fact_Text:
		fact.Known, fact.Text = true, clean(value.Text)
	case *cutoffv1.Fact_Flag:
		fact.Known, fact.Flag = true, &value.Flag
	case *cutoffv1.Fact_Number:
		fact.Known, fact.Number = true, &value.Number
	case *cutoffv1.Fact_Time:
		if value.Time.CheckValid() != nil {
			return Fact{Name: name, Reason: "not a time"}, nil
		}
		fact.Known, fact.Time = true, value.Time.AsTime()
	default:
		fact.Reason = "known, but without a value"
	}
	return fact, nil
}

// identifier is how a fact may be named, so that a policy can write it.
func identifier(s string) bool {
	if s == "" || len(s) > maxName || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// clean bounds a text and drops what could disturb a terminal or a log.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}
