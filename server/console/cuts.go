package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
)

// cutsAPage is how many cuts the list shows.
const cutsAPage = 200

// cutRow is one cut of a list.
type cutRow struct {
	ID, Name string
	DeviceID string
	Level    string
	State    word
	StateRaw string
	Reason   string
	Actor    string
	Cause    string
	Opened   moment
	Exposure exposureView
}

func cutRowOf(k *cutoffv1.Cut, now time.Time) cutRow {
	cause := causeWords(k.GetCause())
	if k.GetActor() == k.GetCause() {
		cause = ""
	}
	return cutRow{
		ID: k.GetCutId(), Name: cutName(k), DeviceID: k.GetDeviceId(), Level: k.GetLevel(),
		State: cutStateWord(k.GetState()), StateRaw: k.GetState(), Reason: visible(k.GetReason()),
		Actor: visible(k.GetActor()), Cause: cause,
		Opened: momentOf(k.GetOpenedAt(), now), Exposure: exposureOf(k, now),
	}
}

// causeWords says what other than a person asked for a cut.
func causeWords(cause string) string {
	switch cause {
	case "operator":
		return ""
	case "policy":
		return "by policy"
	case "expiry":
		return "its lease ran out"
	case "signal":
		return "by a signal"
	default:
		return visible(cause)
	}
}

// cutName is whom or what a cut is about.
func cutName(k *cutoffv1.Cut) string {
	for _, name := range []string{k.GetHostname(), k.GetDeviceId(), k.GetPersonId(), k.GetCredentialId()} {
		if name = strings.TrimSpace(visible(name)); name != "" {
			return name
		}
	}
	return k.GetCutId()
}

type cutsPage struct {
	State  string
	States []choice
	Rows   []cutRow
	More   int
	Total  int
}

func (c *Console) cuts(w http.ResponseWriter, r request) error {
	if err := c.need(r, "ListCuts"); err != nil {
		return err
	}
	answer, err := c.Admin.ListCuts(r.ctx, &cutoffv1.ListCutsRequest{})
	if err != nil {
		return err
	}
	now, all := c.Now(), answer.GetCuts()
	data := cutsPage{State: r.URL.Query().Get("state"), Total: len(all)}
	counts := map[string]int{}
	for _, k := range all {
		counts[k.GetState()]++
		switch {
		case data.State != "" && k.GetState() != data.State:
		case len(data.Rows) == cutsAPage:
			data.More++
		default:
			data.Rows = append(data.Rows, cutRowOf(k, now))
		}
	}
	for _, s := range []string{"held", "open", "settled", "lifting", "lifted", "refused", "lapsed"} {
		if counts[s] > 0 || s == data.State {
			data.States = append(data.States, choice{
				Value: s, Label: cutStateWord(s).Word, Chosen: s == data.State, Count: counts[s],
			})
		}
	}
	c.show(w, http.StatusOK, "cuts", r.page("Cuts", "cuts", data))
	return nil
}

// theCut finds the cut in an answer that may hold a whole case.
func theCut(answer *cutoffv1.GetCutResponse, id string) *cutoffv1.Cut {
	if answer.GetCut() != nil {
		return answer.GetCut()
	}
	cuts := answer.GetCuts()
	if i := slices.IndexFunc(cuts, func(k *cutoffv1.Cut) bool { return k.GetCutId() == id }); i >= 0 {
		return cuts[i]
	}
	if len(cuts) == 1 {
		return cuts[0]
	}
	return nil
}

// casePage is a decision that cut more than one device or account.
type casePage struct {
	ID   string
	Rows []cutRow
}

func (c *Console) cut(w http.ResponseWriter, r request) error {
	if err := c.need(r, "GetCut"); err != nil {
		return err
	}
	id := r.PathValue("id")
	answer, err := c.Admin.GetCut(r.ctx, &cutoffv1.GetCutRequest{Id: id})
	if err != nil {
		return err
	}
	if k := theCut(answer, id); k != nil {
		data := c.liveOf(r.actor.Role, k, rowLimit(r.URL.Query()))
		data.FormToken = formToken(r.token)
		c.show(w, http.StatusOK, "cut", r.page(data.Name, "cuts", data))
		return nil
	}
	if len(answer.GetCuts()) == 0 {
		return fault.New(fault.NotFound, "There is no such cut.")
	}
	now, data := c.Now(), casePage{ID: id}
	for _, k := range answer.GetCuts() {
		data.Rows = append(data.Rows, cutRowOf(k, now))
	}
	slices.SortStableFunc(data.Rows, func(a, b cutRow) int { return cmp.Compare(a.Name, b.Name) })
	c.show(w, http.StatusOK, "case", r.page("Case "+id, "cuts", data))
	return nil
}

// rowLimit is how many rows of a group a page shows; all=1 asks for every one.
func rowLimit(q url.Values) int {
	if q.Get("all") == "1" {
		return rowsAtMost
	}
	return rowsAGroup
}

// onCut carries out one operator's word on a cut and shows the cut again.
func (c *Console) onCut(
	w http.ResponseWriter, r request, method string, needReason bool, act func(id, reason string) error,
) error {
	if err := c.need(r, method); err != nil {
		return err
	}
	id, reason := r.PathValue("id"), strings.TrimSpace(r.PostFormValue("reason"))
	switch {
	case needReason && reason == "":
		return fault.New(fault.Invalid, "Say why: the reason stands in the evidence. Nothing was changed.")
	case len(reason) > 1000:
		return fault.New(fault.Invalid, "The reason is too long: at most 1,000 characters. Nothing was changed.")
	}
	if err := act(id, reason); err != nil {
		return err
	}
	http.Redirect(w, r.Request, "/cuts/"+url.PathEscape(id), http.StatusSeeOther)
	return nil
}

func (c *Console) approve(w http.ResponseWriter, r request) error {
	return c.onCut(w, r, "ApproveCut", false, func(id, reason string) error {
		_, err := c.Admin.ApproveCut(r.ctx, &cutoffv1.ApproveCutRequest{Id: id, Reason: reason})
		return err
	})
}

func (c *Console) refuse(w http.ResponseWriter, r request) error {
	return c.onCut(w, r, "RefuseCut", true, func(id, reason string) error {
		_, err := c.Admin.RefuseCut(r.ctx, &cutoffv1.RefuseCutRequest{Id: id, Reason: reason})
		return err
	})
}

func (c *Console) lift(w http.ResponseWriter, r request) error {
	return c.onCut(w, r, "LiftCut", true, func(id, reason string) error {
		_, err := c.Admin.LiftCut(r.ctx, &cutoffv1.LiftCutRequest{CutId: id, Reason: reason})
		return err
	})
}

// evidence sends the cut's signed export as a file.
func (c *Console) evidence(w http.ResponseWriter, r request) error {
	if err := c.need(r, "ExportEvidence"); err != nil {
		return err
	}
	id := r.PathValue("id")
	answer, err := c.Admin.ExportEvidence(r.ctx, &cutoffv1.ExportEvidenceRequest{CutId: id})
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+fileName(id)+`.evidence.jsonl"`)
	_, _ = w.Write(answer.GetExport())
	return nil
}

// fileName keeps of an id what every file system takes.
func fileName(id string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		default:
			return '_'
		}
	}, id)
}
