package aws

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"
)

// Names of our statements begin so; all others are left as they are.
const (
	sidSessions = "CutoffSessions"
	sidSession  = "CutoffSession"
	sidBlock    = "CutoffBlock"
)

// lineForm is how AWS writes a moment in a condition, to the second.
const lineForm = "2006-01-02T15:04:05Z"

// policyDoc is an inline policy: our statements, and whatever else is in it,
// word by word.
type policyDoc struct {
	Version   string          `json:"Version"`
	ID        string          `json:"Id,omitempty"`
	Statement json.RawMessage `json:"Statement"`
}

// statement is a denial as we write it.
type statement struct {
	Sid       string                       `json:"Sid"`
	Effect    string                       `json:"Effect"`
	Action    string                       `json:"Action"`
	Resource  string                       `json:"Resource"`
	Condition map[string]map[string]string `json:"Condition,omitempty"`
}

// sidFor names the statement of one session, or of one cut's block: the letters
// that AWS allows in it are few.
func sidFor(prefix, of string) string {
	sum := sha256.Sum256([]byte(of))
	return prefix + hex.EncodeToString(sum[:8])
}

// deny makes the statement that denies everything to sessions issued before
// line: to one session by its name, or to all if it is empty. aws:TokenIssueTime
// is there only in requests with temporary credentials.
func deny(sid, session string, line time.Time) statement {
	s := statement{Sid: sid, Effect: "Deny", Action: "*", Resource: "*", Condition: map[string]map[string]string{
		"DateLessThan": {"aws:TokenIssueTime": line.UTC().Format(lineForm)},
	}}
	if session != "" {
		s.Condition["StringLike"] = map[string]string{"aws:userid": "*:" + session}
	}
	return s
}

// block denies everything without condition.
func block(sid string) statement {
	return statement{Sid: sid, Effect: "Deny", Action: "*", Resource: "*"}
}

// line is a statement's moment; zero for one that has none.
func (s statement) line() time.Time {
	t, err := time.Parse(lineForm, s.Condition["DateLessThan"]["aws:TokenIssueTime"])
	if err != nil {
		return time.Time{}
	}
	return t
}

// errPolicy is a policy of our name that is not one we understand.
var errPolicy = errors.New("policy-not-understood")

// statements reads a policy's statements, each as it stands.
func statements(text string) ([]json.RawMessage, error) {
	if text == "" {
		return nil, nil
	}
	var doc policyDoc
	if json.Unmarshal([]byte(text), &doc) != nil {
		return nil, errPolicy
	}
	var list []json.RawMessage
	if json.Unmarshal(doc.Statement, &list) == nil {
		return list, nil
	}
	if trimmed := bytes.TrimSpace(doc.Statement); len(trimmed) > 0 && trimmed[0] == '{' {
		return []json.RawMessage{trimmed}, nil // one statement may stand without a list
	}
	return nil, errPolicy
}

// find returns our statement of that name, if it is one we wrote.
func find(list []json.RawMessage, sid string) (statement, bool) {
	for _, raw := range list {
		if s, ok := ours(raw); ok && s.Sid == sid {
			return s, true
		}
	}
	return statement{}, false
}

// ours reads a statement of the form we write; one that somebody changed since
// is none.
func ours(raw json.RawMessage) (statement, bool) {
	var s statement
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if d.Decode(&s) != nil || s.Effect != "Deny" || s.Action != "*" || s.Resource != "*" {
		return statement{}, false
	}
	return s, true
}

// sidOf is a statement's name, whoever wrote it.
func sidOf(raw json.RawMessage) string {
	var s struct{ Sid string }
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s.Sid
}

// with puts s in the place of the statement of its name.
func with(list []json.RawMessage, s statement) ([]json.RawMessage, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	return append(without(list, s.Sid), raw), nil
}

func without(list []json.RawMessage, sid string) []json.RawMessage {
	var left []json.RawMessage
	for _, raw := range list {
		if sidOf(raw) != sid {
			left = append(left, raw)
		}
	}
	return left
}

// current drops our lines that no session can be older than: they deny nothing
// any more and a policy has little room.
func current(list []json.RawMessage, now time.Time) []json.RawMessage {
	var left []json.RawMessage
	for _, raw := range list {
		if s, ok := ours(raw); ok && hasPrefix(s.Sid) && !s.line().IsZero() && now.Sub(s.line()) > userSession+time.Hour {
			continue
		}
		left = append(left, raw)
	}
	return left
}

func hasPrefix(sid string) bool {
	return len(sid) >= len(sidSession) && sid[:len(sidSession)] == sidSession
}

// document is the policy of these statements.
func documentOf(list []json.RawMessage) (string, error) {
	raw, err := json.Marshal(list)
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(policyDoc{Version: "2012-10-17", Statement: raw})
	return string(text), err
}
