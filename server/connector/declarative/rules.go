package declarative

import (
	"net/http"
	"slices"
	"strconv"
	"unicode"

	"cutoff/server/connector/config"
	"cutoff/server/connector/outgoing"
	"cutoff/server/document"
)

// rule names answers: by status, by what the body says, or both.
type rule struct {
	outcome  actOutcome
	statuses []int
	says     []test
	// detail is the word that people read, in place of the outcome's own.
	detail string
}

// rules are what answers mean, in the order in which they are asked: those
// that look into the body first.
type rules []rule

// ruleKeys are the outcomes a file may name answers for, in that order.
var ruleKeys = []struct {
	key     string
	outcome actOutcome
	word    string
}{
	{"already", actAlready, ""},
	{"ok", actDone, ""},
	{"unsupported", actUnsupported, "unsupported"},
	{"blocked", actBlocked, "blocked"},
	{"retry", actRetry, "provider-error"},
}

// rules reads the keys of outcomes among m.
func (f *file) rules(m map[string]document.Node) rules {
	var exact, plain rules
	for _, k := range ruleKeys {
		for _, r := range f.rulesOf(m[k.key]) {
			r.outcome = k.outcome
			if r.detail == "" {
				r.detail = k.word
			}
			if len(r.says) > 0 {
				exact = append(exact, r)
			} else {
				plain = append(plain, r)
			}
		}
	}
	return append(exact, plain...)
}

// rulesOf reads a status, {status, says, detail}, or a list of those.
func (f *file) rulesOf(n document.Node) []rule {
	switch n.Form() {
	case document.Absent, document.Null:
		return nil
	case document.List:
		var all []rule
		for _, one := range n.List() {
			all = append(all, f.rulesOf(one)...)
		}
		return all
	case document.Map:
		m := n.Map("status", "says", "detail")
		r := rule{statuses: config.Statuses(m["status"]), says: f.tests(m["says"]), detail: m["detail"].Text()}
		if len(r.statuses) == 0 && len(r.says) == 0 {
			n.Fault("say status, says or both")
		}
		if len(r.detail) > 120 || !printable(r.detail) {
			m["detail"].Fault("a detail is one line of at most 120 characters")
		}
		return []rule{r}
	default:
		return []rule{{statuses: config.Statuses(n)}}
	}
}

func printable(s string) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

// find is the rule that an answer meets. doc is the body, nil if it is none.
func (r rules) find(status int, doc any, v values) (rule, bool) {
	for _, one := range r {
		if len(one.statuses) > 0 && !slices.Contains(one.statuses, status) {
			continue
		}
		if len(one.says) > 0 && (doc == nil || !all(one.says, doc, v)) {
			continue
		}
		return one, true
	}
	return rule{}, false
}

// askBody reports whether some rule of these outcomes looks into bodies of status.
func (r rules) askBody(status int, outcome actOutcome) bool {
	return slices.ContainsFunc(r, func(one rule) bool {
		return one.outcome == outcome && len(one.says) > 0 && (len(one.statuses) == 0 || slices.Contains(one.statuses, status))
	})
}

func (r rule) verdict(status int) verdict {
	v := verdict{outcome: r.outcome, detail: r.detail}
	if v.detail != "" {
		v.detail += " (" + strconv.Itoa(status) + ")"
	}
	return v
}

// judge says what the answer to an act means: by its own rules, by the file's,
// then by what a status means everywhere.
func (c *Connector) judge(a act, res outgoing.Response, v values) verdict {
	doc, err := decode(res.Body)
	if err != nil {
		doc = nil
	}
	word := func(s string) string { return s + " (" + strconv.Itoa(res.Status) + ")" }
	r, ok := a.rules.find(res.Status, doc, v)
	if !ok {
		r, ok = c.spec.answers.find(res.Status, doc, v)
	} else if len(r.says) == 0 {
		// What the file says of bodies goes before a bare status.
		if other, found := c.spec.answers.find(res.Status, doc, v); found && len(other.says) > 0 {
			r = other
		}
	}
	switch {
	case ok && r.outcome == actDone && len(a.says) > 0 && doc == nil, !ok && doc == nil && a.rules.askBody(res.Status, actDone) && res.Status < 300:
		return verdict{outcome: actRetry, detail: word("answer-malformed")}
	case ok && r.outcome == actDone && len(a.says) > 0 && !all(a.says, doc, v), !ok && a.rules.askBody(res.Status, actDone) && res.Status < 300:
		return verdict{outcome: actRetry, detail: word("answer-says-no")}
	case ok:
		return r.verdict(res.Status)
	}
	return common(res.Status)
}

// bad says what is wrong with the answer to a look-up or a confirmation whose
// good statuses are ok; nil if nothing is.
func (c *Connector) bad(res outgoing.Response, ok []int, v values) error {
	doc, err := decode(res.Body)
	if err != nil {
		doc = nil
	}
	r, found := c.spec.answers.find(res.Status, doc, v)
	fine := slices.Contains(ok, res.Status)
	switch {
	case found && (!fine || len(r.says) > 0) && r.outcome != actDone && r.outcome != actAlready:
		return statusError{r.verdict(res.Status)}
	case fine:
		return nil
	}
	return statusError{common(res.Status)}
}

// common is what a status means where the file does not say.
func common(status int) verdict {
	word := func(s string) string { return s + " (" + strconv.Itoa(status) + ")" }
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return verdict{outcome: actBlocked, detail: word("denied")}
	case status == http.StatusPaymentRequired:
		return verdict{outcome: actUnsupported, detail: word("plan-needed")}
	case status == http.StatusNotFound, status == http.StatusGone:
		return verdict{outcome: actBlocked, detail: word("not-found")}
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status == http.StatusConflict,
		status == http.StatusPreconditionFailed, status == http.StatusLocked:
		return verdict{outcome: actRetry, detail: word("provider-busy")}
	case status == http.StatusNotImplemented:
		return verdict{outcome: actUnsupported, detail: word("unsupported")}
	case status >= 500:
		return verdict{outcome: actRetry, detail: word("provider-error")}
	case status >= 300 && status < 400:
		return verdict{outcome: actBlocked, detail: word("redirected")}
	case status >= 200 && status < 300:
		return verdict{outcome: actRetry, detail: word("unexpected-status")}
	default:
		return verdict{outcome: actBlocked, detail: word("refused")}
	}
}
