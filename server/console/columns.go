package console

import (
	"cmp"
	"slices"
	"strings"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

const (
	// rowsAGroup is how many rows of one product or connector a page shows.
	rowsAGroup = 40
	// rowsAtMost is the same where all were asked for.
	rowsAtMost = 20_000
	// openBelow: a column with at most so many rows shows them all unfolded.
	openBelow = 12
	// withdrawn is the state of a step that is not to happen any more; it is
	// shown, and counts for nothing.
	withdrawn = "withdrawn"
)

// column is one side of a cut: what lies on the device, or in the clouds.
type column struct {
	Total  int
	Counts []count
	Items  []itemGroup
	Steps  []stepGroup
	// Open is how many are neither verified nor accepted.
	Open int
}

// count is how many have one outcome.
type count struct {
	Word word
	N    int
}

// itemGroup is the items of one product.
type itemGroup struct {
	ID      string
	Product string
	Total   int
	Open    bool
	Counts  []count
	Rows    []itemRow
	More    int
}

type itemRow struct {
	Outcome     word
	User, Path  string
	Action      string
	Detail      string
	Residual    residualView
	Identifiers []identifier
	Regain      string
}

// stepGroup is the steps of one connector.
type stepGroup struct {
	ID        string
	Connector string
	Reached   bool
	Total     int
	Open      bool
	Counts    []count
	Rows      []stepRow
	More      int
}

type stepRow struct {
	Outcome   word
	Action    string
	Target    string
	Proof     string
	Detail    string
	Undo      string
	IsUndo    bool
	Attempts  int32
	Residual  residualView
	Withdrawn bool
}

// residualView is until when one thing may still work.
type residualView struct {
	// Kind: none, until, past, unbounded.
	Kind  string
	Until moment
}

func residualOf(text string, now time.Time) residualView {
	switch text {
	case "", "none":
		return residualView{Kind: "none"}
	case "unbounded":
		return residualView{Kind: "unbounded"}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return residualView{Kind: "unbounded"}
	}
	m := moment{at: at.UTC(), now: now}
	if m.Past() {
		return residualView{Kind: "past", Until: m}
	}
	return residualView{Kind: "until", Until: m}
}

// tally counts outcomes, those that need eyes first.
type tally map[string]int

func (t tally) counts() []count {
	outcomes := sortedKeys(t)
	slices.SortStableFunc(outcomes, func(a, b string) int {
		return cmp.Compare(outcomeRank(a), outcomeRank(b))
	})
	counts := make([]count, 0, len(outcomes))
	for _, outcome := range outcomes {
		counts = append(counts, count{Word: outcomeWord(outcome), N: t[outcome]})
	}
	return counts
}

func (t tally) open() int {
	n := 0
	for outcome, k := range t {
		if outcome != "verified" && outcome != "accepted" {
			n += k
		}
	}
	return n
}

// troubled reports whether something needs eyes.
func (t tally) troubled() bool { return t["blocked"]+t["retrying"]+t[""] > 0 }

// itemsColumn groups a device's items by product: products with open items
// first, and in each the open items first.
func itemsColumn(items []*cutoffv1.CutItem, now time.Time, limit int) column {
	all := tally{}
	by := map[string][]*cutoffv1.CutItem{}
	for _, item := range items {
		all[item.GetOutcome()]++
		by[item.GetProduct()] = append(by[item.GetProduct()], item)
	}
	v := column{Total: len(items), Counts: all.counts(), Open: all.open()}
	for product, members := range by {
		slices.SortStableFunc(members, func(a, b *cutoffv1.CutItem) int {
			return cmp.Or(cmp.Compare(outcomeRank(a.GetOutcome()), outcomeRank(b.GetOutcome())),
				cmp.Compare(a.GetUser(), b.GetUser()), cmp.Compare(a.GetPath(), b.GetPath()), cmp.Compare(a.GetId(), b.GetId()))
		})
		some := tally{}
		for _, item := range members {
			some[item.GetOutcome()]++
		}
		g := itemGroup{
			ID: groupID("item", product), Product: productName(product), Total: len(members),
			Open: some.troubled() || len(items) <= openBelow, Counts: some.counts(),
		}
		shown := min(limit, len(members))
		g.More = len(members) - shown
		for _, item := range members[:shown] {
			g.Rows = append(g.Rows, itemRowOf(item, now))
		}
		v.Items = append(v.Items, g)
	}
	slices.SortFunc(v.Items, func(a, b itemGroup) int {
		return cmp.Or(cmp.Compare(firstRank(a.Counts), firstRank(b.Counts)),
			cmp.Compare(strings.ToLower(a.Product), strings.ToLower(b.Product)), cmp.Compare(a.ID, b.ID))
	})
	return v
}

func itemRowOf(item *cutoffv1.CutItem, now time.Time) itemRow {
	return itemRow{
		Outcome: outcomeWord(item.GetOutcome()), User: visible(item.GetUser()), Path: visible(item.GetPath()),
		Action: actionWords(visible(item.GetAction()), item.GetSealed()), Detail: visible(item.GetDetail()),
		Residual: residualOf(item.GetResidualUntil(), now), Identifiers: identifiersOf(item.GetIdentifiers()),
		Regain: item.GetRegain(),
	}
}

// stepsColumn groups the clouds' steps by connector; what no connector reaches
// comes last, because nobody is working on it.
func stepsColumn(steps []*cutoffv1.CutStep, now time.Time, limit int) column {
	all := tally{}
	by := map[string][]*cutoffv1.CutStep{}
	for _, step := range steps {
		if step.GetState() != withdrawn {
			all[step.GetOutcome()]++
		}
		by[step.GetConnector()] = append(by[step.GetConnector()], step)
	}
	v := column{Total: len(steps), Counts: all.counts(), Open: all.open()}
	for connector, members := range by {
		some := tally{}
		for _, step := range members {
			if step.GetState() != withdrawn {
				some[step.GetOutcome()]++
			}
		}
		reached := connector != "none" && connector != ""
		g := stepGroup{
			ID: groupID("step", connector), Connector: visible(connector), Reached: reached, Total: len(members),
			Open: some.troubled() || len(steps) <= openBelow, Counts: some.counts(),
		}
		// The order within a connector is the order they run in.
		shown := min(limit, len(members))
		g.More = len(members) - shown
		for _, step := range members[:shown] {
			g.Rows = append(g.Rows, stepRowOf(step, now))
		}
		v.Steps = append(v.Steps, g)
	}
	slices.SortFunc(v.Steps, func(a, b stepGroup) int {
		return cmp.Or(cmp.Compare(boolRank(!a.Reached), boolRank(!b.Reached)),
			cmp.Compare(firstRank(a.Counts), firstRank(b.Counts)), cmp.Compare(a.Connector, b.Connector))
	})
	return v
}

func stepRowOf(step *cutoffv1.CutStep, now time.Time) stepRow {
	return stepRow{
		Outcome: outcomeWord(step.GetOutcome()), Action: strings.ReplaceAll(visible(step.GetAction()), "-", " "),
		Target: visible(step.GetTarget()), Proof: proofWords(step.GetProof()), Detail: visible(step.GetDetail()),
		Undo: undoWords(step.GetUndo()), IsUndo: step.GetUndoOf() != "", Attempts: step.GetAttempts(),
		Residual: residualOf(step.GetResidualUntil(), now), Withdrawn: step.GetState() == withdrawn,
	}
}

func firstRank(counts []count) int {
	if len(counts) == 0 {
		return 9
	}
	switch counts[0].Word.Tone {
	case "bad":
		return 0
	case "wait":
		return 1
	default:
		return 2
	}
}

// groupID names a group in the page so that it stays unfolded when the page is
// brought up to date.
func groupID(kind, name string) string {
	return kind + "-" + strings.ToLower(fileName(name))
}
