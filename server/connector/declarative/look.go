package declarative

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"cutoff/server/revoke"
)

// maxSight bounds what a preview lists of one step.
const maxSight = 50

// Look runs a step's look-ups and nothing else: what it would find now. A step
// without any says only whom it is for.
func (c *Connector) Look(ctx context.Context, s revoke.Step) revoke.Sight {
	st := c.find(s)
	if st == nil {
		return revoke.Sight{Outcome: revoke.Blocked, Detail: "action-not-in-file"}
	}
	rows, err := c.targets(ctx, st, s)
	if err != nil {
		r := c.failed(err, s)
		return revoke.Sight{Outcome: r.Outcome, Detail: r.Detail}
	}
	if len(rows) == 0 {
		if st.nothing == "blocked" {
			return revoke.Sight{Outcome: revoke.Blocked, Detail: "not-found"}
		}
		return revoke.Sight{Detail: "nothing-found"}
	}
	var sight revoke.Sight
	for i, row := range rows {
		if i == maxSight {
			sight.Found = append(sight.Found, "and "+strconv.Itoa(len(rows)-i)+" more")
			break
		}
		sight.Found = note(sight.Found, c.words(st, s, row))
		if len(st.unrelated.parts) > 0 && c.holds(st.foreign, row) {
			sight.Unrelated = note(sight.Unrelated, st.unrelated.render(row))
		}
	}
	if len(st.lookUps) == 0 && len(st.found.parts) == 0 {
		sight.Detail = "not-asked"
	}
	return sight
}

func note(list []string, s string) []string {
	if s == "" || slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// words are what a row is to people: the file's, else what was looked up last.
func (c *Connector) words(st *step, s revoke.Step, row values) string {
	if len(st.found.parts) > 0 {
		return st.found.render(row)
	}
	if n := len(st.lookUps); n > 0 && len(st.lookUps[n-1].take) > 0 {
		l := st.lookUps[n-1]
		if text := row[l.take[0].variable]; text != "" {
			return l.name + " " + text
		}
	}
	return s.Target
}

// targets are the values of each thing that a step would act on.
func (c *Connector) targets(ctx context.Context, st *step, s revoke.Step) ([]values, error) {
	subjects, err := c.subjects(ctx, st, c.values(s), s.ID)
	if err != nil {
		return nil, err
	}
	return c.rows(ctx, st.lookUps, subjects, s.ID)
}

// errNothing says that what a confirmation reads back about is not there.
var errNothing = errors.New("nothing-found")
