package console

import (
	"fmt"
	"net/url"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// liveView is one cut as its page shows it. The page's parts that change while
// it happens (verdict, facts, timeline, device, clouds, actions) are templates
// of their own, which the event stream sends again.
type liveView struct {
	cutRow
	CaseID    string
	Address   string
	Device    string
	Verdict   verdictView
	Held      string
	Approvals []approvalView
	Timeline  []mark
	OnDevice  column
	InClouds  column
	// Waiting says why there are no items yet.
	Waiting string
	// What the reader may do now.
	CanDecide, CanLift, CanExport bool
	LiftReason                    string
	FormToken                     string
	Limit                         int
	// Hidden says that some rows are left out.
	Hidden bool
	Legend []word
	// Seen is the digest of what the page shows, which the stream starts from.
	Seen string
}

// verdictView is the whole cut in a sentence.
type verdictView struct {
	word
	Sentence string
}

type approvalView struct {
	Actor, Reason string
	Approved      bool
	At            moment
}

// mark is one point of the timeline.
type mark struct {
	Label string
	At    moment
	// After is how long after the one before, or more text.
	After string
	Done  bool
	// Next is the first that has not happened.
	Next bool
}

// exposureView is until when anything of a cut may still work.
type exposureView struct {
	// Kind: none, until, past, unbounded, idle (nothing was cut).
	Kind    string
	Until   moment
	Because string
	More    int
}

func exposureOf(k *cutoffv1.Cut, now time.Time) exposureView {
	switch k.GetState() {
	case "held", "refused", "lapsed":
		return exposureView{Kind: "idle"}
	case "lifted":
		return exposureView{Kind: "lifted"}
	}
	r := residualOf(k.GetExposure(), now)
	v := exposureView{Kind: r.Kind, Until: r.Until}
	if v.Kind == "until" || v.Kind == "unbounded" {
		v.Because, v.More = longest(k, k.GetExposure(), now)
	}
	return v
}

// longest names one thing that lasts as long as the exposure, and how many more
// do.
func longest(k *cutoffv1.Cut, exposure string, now time.Time) (because string, more int) {
	n := 0
	add := func(what, residual string) {
		if residual != exposure {
			return
		}
		if n++; n == 1 {
			because = what
		}
	}
	for _, step := range k.GetSteps() {
		add(visible(step.GetTarget()), step.GetResidualUntil())
	}
	for _, item := range k.GetItems() {
		add(productName(item.GetProduct())+" "+visible(item.GetPath()), item.GetResidualUntil())
	}
	if n == 0 && exposure == "unbounded" && owed(k) {
		return "The device has not answered its order", 0
	}
	if n == 0 {
		return "", 0
	}
	return "Because of " + because, n - 1
}

// owed reports whether the device still has to answer its order.
func owed(k *cutoffv1.Cut) bool {
	if k.GetDeviceId() == "" {
		return false
	}
	switch k.GetOrderState() {
	case "drafted", "delivered":
		return true
	case "", "none":
		return k.GetState() == "open" && k.GetReceiptAt() == nil
	default:
		return false
	}
}

// liveOf makes the view of a cut for a reader of role.
func (c *Console) liveOf(role string, k *cutoffv1.Cut, limit int) liveView {
	now := c.Now()
	v := liveView{
		cutRow: cutRowOf(k, now), CaseID: k.GetCaseId(), Address: "/cuts/" + url.PathEscape(k.GetCutId()),
		Held: heldSentence(k.GetHeldReason()), LiftReason: visible(k.GetLiftReason()), Limit: limit,
		OnDevice: itemsColumn(k.GetItems(), now, limit), InClouds: stepsColumn(k.GetSteps(), now, limit),
		Timeline: timelineOf(k, now), Seen: digestOf(k),
	}
	if id := k.GetDeviceId(); id != "" {
		v.Device = "/devices/" + url.PathEscape(id)
	}
	for _, a := range k.GetApprovals() {
		v.Approvals = append(v.Approvals, approvalView{
			Actor: visible(a.GetActor()), Reason: visible(a.GetReason()),
			Approved: a.GetVerdict() == "approve", At: momentOf(a.GetAt(), now),
		})
	}
	for _, g := range v.OnDevice.Items {
		v.Hidden = v.Hidden || g.More > 0
	}
	for _, outcome := range []string{"verified", "accepted", "unsupported", "retrying", "blocked"} {
		v.Legend = append(v.Legend, outcomeWord(outcome))
	}
	v.Waiting = waitingFor(k)
	v.Verdict = verdictOf(k, v)
	state := k.GetState()
	v.CanDecide = state == "held" && c.May(role, "ApproveCut")
	v.CanLift = (state == "open" || state == "settled") && c.May(role, "LiftCut")
	v.CanExport = c.May(role, "ExportEvidence")
	return v
}

func heldSentence(reason string) string {
	if reason == "" {
		return ""
	}
	return asSentence(visible(reason))
}

// waitingFor says why the device's column is empty.
func waitingFor(k *cutoffv1.Cut) string {
	switch {
	case k.GetDeviceId() == "":
		return "This cut is about accounts only; no device is asked for anything."
	case k.GetState() == "held":
		return "Nothing has been sent to the device."
	case k.GetState() == "refused", k.GetState() == "lapsed":
		return "Nothing was sent to the device."
	case k.GetOrderState() == "refused":
		return "The device refused the order. It needs a person."
	case k.GetReceiptAt() != nil:
		return "The device answered that it holds nothing to remove."
	case k.GetState() == "lifting", k.GetState() == "lifted":
		return "The device had sent no receipt when the lift began, so what it had removed is not known."
	case k.GetOrderState() == "delivered":
		return "The device has the order and is at work. Its receipt will say what is gone, item by item."
	default:
		return "The order waits for the device. It is delivered at its next contact, whenever that is; " +
			"until then its secrets stay where they are."
	}
}

// verdictOf says in one sentence where a cut stands. It never says done: it
// says what was proved.
func verdictOf(k *cutoffv1.Cut, v liveView) verdictView {
	left := v.OnDevice.Open + v.InClouds.Open
	switch k.GetState() {
	case "held":
		return verdictView{cutStateWord("held"), "Held. Nothing has been sent; it waits for a second person."}
	case "refused":
		return verdictView{cutStateWord("refused"), "Refused. Nothing was sent."}
	case "lapsed":
		return verdictView{cutStateWord("lapsed"), "Lapsed. Nobody decided within 24 hours; nothing was sent."}
	case "lifting":
		return verdictView{cutStateWord("lifting"), "Lifting. What can be given back is being given back."}
	case "lifted":
		return verdictView{cutStateWord("lifted"), "Lifted. What could be given back has been given back."}
	case "settled":
		return settledVerdict(k, v, left)
	}
	w := cutStateWord("open")
	switch {
	case owed(k) && k.GetOrderState() == "delivered":
		return verdictView{w, "Under way. The device has the order; its receipt is awaited."}
	case owed(k):
		return verdictView{w, "Under way. The device has not taken its order yet; the clouds go ahead without it."}
	case left > 0:
		return verdictView{w, "Under way. " + asSentence(plural(left, "thing is", "things are")+" not proved dead yet")}
	default:
		return verdictView{w, "Under way."}
	}
}

func settledVerdict(k *cutoffv1.Cut, v liveView, left int) verdictView {
	accepted := 0
	for _, c := range append(append([]count{}, v.OnDevice.Counts...), v.InClouds.Counts...) {
		if c.Word.Word == "accepted" {
			accepted += c.N
		}
	}
	total := v.OnDevice.Total + v.InClouds.Total
	switch {
	case owed(k):
		return verdictView{word{"settled", "warned", "bad", ""},
			"Settled in the clouds, but the device has not answered."}
	case left > 0:
		return verdictView{word{"settled", "warned", "bad", ""},
			fmt.Sprintf("Settled, but %d of %s could not be proved dead. See what is left below.",
				left, plural(total, "thing", "things"))}
	case accepted > 0:
		return verdictView{word{"settled", "accepted", "fair", ""},
			fmt.Sprintf("Settled. %s proved dead, %s accepted without proof.",
				plural(total-accepted, "thing", "things"), plural(accepted, "was", "were"))}
	case total == 0:
		return verdictView{cutStateWord("settled"), "Settled. Nothing was found to end, on the device or in the clouds."}
	default:
		return verdictView{word{"settled", "proved", "good", ""},
			"Settled. All " + plural(total, "thing", "things") + " proved dead."}
	}
}

// timelineOf is what happened when.
func timelineOf(k *cutoffv1.Cut, now time.Time) []mark {
	opened, delivered := momentOf(k.GetOpenedAt(), now), momentOf(k.GetOrderDeliveredAt(), now)
	receipt, settled := momentOf(k.GetReceiptAt(), now), momentOf(k.GetSettledAt(), now)
	marks := []mark{{Label: "Opened", At: opened}}
	lift := settled.Known() && delivered.Known() && delivered.at.After(settled.at)
	if lift {
		// The newest order is the lift's: what it did to the cut's is known no
		// more, and must not be shown as the cut's.
		if receipt.at.Before(delivered.at) {
			receipt = moment{now: now}
		}
		marks = append(marks, mark{Label: "Settled", At: settled}, mark{Label: "Lift delivered", At: delivered},
			mark{Label: "Lift answered", At: receipt})
	}
	if k.GetDeviceId() != "" && !lift {
		first := moment{now: now}
		if ms := k.GetFirstRemovedMs(); ms > 0 && delivered.Known() {
			first.at = delivered.at.Add(time.Duration(ms) * time.Millisecond)
		}
		marks = append(marks, mark{Label: "Delivered", At: delivered},
			mark{Label: "First removed", At: first}, mark{Label: "Receipt", At: receipt})
		if receipt.Known() && !first.Known() {
			marks = append(marks[:2], marks[3])
		}
	}
	if !lift {
		marks = append(marks, mark{Label: "Settled", At: settled})
	}
	before, next := moment{}, true
	for i := range marks {
		m := &marks[i]
		m.Done = m.At.Known()
		if m.Done && before.Known() {
			m.After = "+" + precise(m.At.at.Sub(before.at))
		}
		if m.Done {
			before = m.At
		} else if next {
			m.Next, next = true, false
		}
	}
	return marks
}

// precise is a short duration to the millisecond and a long one in words.
func precise(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	default:
		return short(d)
	}
}
