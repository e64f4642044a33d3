package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
)

// devicesAPage is how many devices the list shows at once.
const devicesAPage = 100

// deviceRow is one device of the list.
type deviceRow struct {
	ID        string
	Name      string
	Group     string
	OS        string
	State     word
	Level     string
	CutID     string
	Connected bool
	Trial     bool
	Contact   moment
	Lease     leaseView
	Posture   postureSummary
	// Silence is what the device's silence comes to; Todo what a person should do.
	Silence word
	Todo    string
	// Suspicions are facts a person has to look at.
	Suspicions []string
}

// leaseView is how long a device may go on trusting itself.
type leaseView struct {
	Until moment
	// Tone: good, wait (little left), bad (over), dull (none).
	Tone string
	Text string
}

func leaseOf(d *cutoffv1.Device, now time.Time) leaseView {
	v := leaseView{Until: momentOf(d.GetLeaseUntil(), now)}
	switch left := v.Until.at.Sub(now); {
	case !v.Until.Known():
		v.Tone, v.Text = "dull", "none"
	case left <= 0:
		v.Tone, v.Text = "bad", "ran out "+short(left)+" ago"
	case left < 12*time.Hour:
		v.Tone, v.Text = "wait", short(left)+" left"
	default:
		v.Tone, v.Text = "good", short(left)+" left"
	}
	return v
}

// postureSummary counts what a device's posture comes to.
type postureSummary struct {
	Failed  int
	Unknown int
	Facts   int
	// Judged is false when no policy rule looked at it yet.
	Judged bool
}

func summaryOf(d *cutoffv1.Device) postureSummary {
	s := postureSummary{Facts: len(d.GetPosture()), Judged: len(d.GetDecision().GetRules()) > 0}
	for _, fact := range d.GetPosture() {
		if !fact.GetKnown() {
			s.Unknown++
		}
	}
	for _, rule := range d.GetDecision().GetRules() {
		if !rule.GetPassed() {
			s.Failed++
		}
	}
	return s
}

func rowOf(d *cutoffv1.Device, now time.Time) deviceRow {
	return deviceRow{
		ID: d.GetDeviceId(), Name: deviceName(d), Group: d.GetGroup(), OS: d.GetOs(),
		State: deviceStateWord(d.GetState()), Level: d.GetLevel(), CutID: d.GetCutId(),
		Connected: d.GetConnected(), Trial: d.GetTrial(),
		Contact: momentOf(d.GetLastContact(), now), Lease: leaseOf(d, now), Posture: summaryOf(d),
		Silence: silenceWord(d, now), Todo: visible(d.GetTodo()), Suspicions: d.GetFacts(),
	}
}

// deviceName is what people call it: its hostname, else its id.
func deviceName(d *cutoffv1.Device) string {
	if name := strings.TrimSpace(visible(d.GetHostname())); name != "" {
		return name
	}
	return d.GetDeviceId()
}

type devicesPage struct {
	Query, State, Group string
	States, Groups      []choice
	Rows                []deviceRow
	Total, Found        int
	Connected, Cut      int
	// Previous and Next are addresses, or empty.
	Previous, Next string
	From, To       int
	CanEnrol       bool
}

// choice is one option of a filter.
type choice struct {
	Value, Label string
	Chosen       bool
	Count        int
}

func (c *Console) home(w http.ResponseWriter, r request) error {
	http.Redirect(w, r.Request, "/devices", http.StatusSeeOther)
	return nil
}

func (c *Console) devices(w http.ResponseWriter, r request) error {
	if err := c.need(r, "ListDevices"); err != nil {
		return err
	}
	answer, err := c.Admin.ListDevices(r.ctx, &cutoffv1.ListDevicesRequest{})
	if err != nil {
		return err
	}
	data := listDevices(answer.GetDevices(), r.URL.Query(), c.Now())
	data.CanEnrol = c.May(r.actor.Role, "CreateToken")
	if r.Header.Get("HX-Request") != "" && r.Header.Get("HX-Target") == "found" {
		c.part(w, http.StatusOK, "devices", "found", data)
		return nil
	}
	c.show(w, http.StatusOK, "devices", r.page("Devices", "devices", data))
	return nil
}

// listDevices filters, sorts (what needs eyes first, then by name) and cuts the
// list to a page.
func listDevices(all []*cutoffv1.Device, q url.Values, now time.Time) devicesPage {
	p := devicesPage{
		Query: strings.TrimSpace(q.Get("q")), State: q.Get("state"), Group: q.Get("group"), Total: len(all),
	}
	states, groups := map[string]int{}, map[string]int{}
	var found []*cutoffv1.Device
	for _, d := range all {
		states[d.GetState()]++
		groups[d.GetGroup()]++
		if d.GetConnected() {
			p.Connected++
		}
		if d.GetCutId() != "" {
			p.Cut++
		}
		if matches(d, p) {
			found = append(found, d)
		}
	}
	for _, s := range []string{"pending", "trusted", "warned", "sealed", "purged", "retired"} {
		if states[s] > 0 || p.State == s {
			p.States = append(p.States, choice{Value: s, Label: s, Chosen: p.State == s, Count: states[s]})
		}
	}
	for _, g := range sortedKeys(groups) {
		p.Groups = append(p.Groups, choice{Value: g, Label: g, Chosen: p.Group == g, Count: groups[g]})
	}
	slices.SortStableFunc(found, func(a, b *cutoffv1.Device) int {
		return cmp.Or(cmp.Compare(urgency(a), urgency(b)),
			cmp.Compare(strings.ToLower(a.GetHostname()), strings.ToLower(b.GetHostname())),
			cmp.Compare(a.GetDeviceId(), b.GetDeviceId()))
	})
	p.Found = len(found)
	number, _ := strconv.Atoi(q.Get("page"))
	start := min(max(number-1, 0), max(p.Found-1, 0)/devicesAPage) * devicesAPage
	end := min(start+devicesAPage, p.Found)
	p.From, p.To = start+1, end
	if start > 0 {
		p.Previous = pageAddress(q, start/devicesAPage)
	}
	if end < p.Found {
		p.Next = pageAddress(q, start/devicesAPage+2)
	}
	for _, d := range found[start:end] {
		p.Rows = append(p.Rows, rowOf(d, now))
	}
	return p
}

func matches(d *cutoffv1.Device, p devicesPage) bool {
	if p.State != "" && d.GetState() != p.State || p.Group != "" && d.GetGroup() != p.Group {
		return false
	}
	needle := strings.ToLower(p.Query)
	for _, text := range []string{d.GetHostname(), d.GetDeviceId(), d.GetGroup(), d.GetOs(), d.GetPersonId(), d.GetCutId()} {
		if strings.Contains(strings.ToLower(text), needle) {
			return true
		}
	}
	return false
}

// urgency orders devices: those that wait for a person, those under a cut,
// those policy warned, the rest, those retired.
func urgency(d *cutoffv1.Device) int {
	switch {
	case d.GetState() == "pending":
		return 0
	case d.GetState() == "retired":
		return 4
	case d.GetCutId() != "":
		return 1
	case d.GetState() == "warned":
		return 2
	default:
		return 3
	}
}

func pageAddress(q url.Values, number int) string {
	next := url.Values{}
	for _, name := range []string{"q", "state", "group"} {
		if v := q.Get(name); v != "" {
			next.Set(name, v)
		}
	}
	next.Set("page", strconv.Itoa(number))
	return "/devices?" + next.Encode()
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (c *Console) device(w http.ResponseWriter, r request) error {
	data, err := c.loadDevice(r)
	if err != nil {
		return err
	}
	c.show(w, http.StatusOK, "device", r.page(data.Name, "devices", data))
	return nil
}

func (c *Console) decideDevice(w http.ResponseWriter, r request) error {
	if err := c.need(r, "DecideDevice"); err != nil {
		return err
	}
	verdict := r.PostFormValue("verdict")
	if verdict != "admit" && verdict != "refuse" {
		return fault.New(fault.Invalid, "Choose whether to admit the device or to turn it away.")
	}
	id := r.PathValue("id")
	_, err := c.Admin.DecideDevice(r.ctx, &cutoffv1.DecideDeviceRequest{Device: id, Admit: verdict == "admit"})
	if err != nil {
		return err
	}
	http.Redirect(w, r.Request, "/devices/"+url.PathEscape(id), http.StatusSeeOther)
	return nil
}
