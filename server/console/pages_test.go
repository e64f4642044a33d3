package console_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
)

func wantText(t *testing.T, what string, a answer, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("%s lacks %q", what, text)
		}
	}
}

func TestTheDevicesListSaysWhatMatters(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("viewer-vic")
	all := v.get("/devices")
	wantText(t, "the list", all, "7 enrolled, 2 connected", "1 under a cut", "1 rule broken", "2 unknown", "ran out 2 min ago", "2 d 22 h left", "connected")
	if first, second := strings.Index(all.body, "dev_pending1"), strings.Index(all.body, "dev_7f3k2m9q"); first > second {
		t.Error("a device that waits for a person is not first")
	}
	found := v.get("/devices?q=LAP-&state=trusted&group=default")
	if n := strings.Count(found.body, `<th scope="row"`); n != 1 || !strings.Contains(found.body, "dev_4h6yp8sj") {
		t.Errorf("%d rows found, want lap-linus alone", n)
	}
	wantText(t, "nothing found", v.get("/devices?q=zzz"), "No device matches")
}

func TestAListOfTenThousandDevicesIsPaged(t *testing.T) {
	s := newSite(t)
	s.devices = nil
	for i := range 10_000 {
		s.devices = append(s.devices, &cutoffv1.Device{DeviceId: fmt.Sprintf("dev_%05d", i), Hostname: fmt.Sprintf("host-%05d", i), State: "trusted", Group: "default"})
	}
	v := s.visitor().signIn("viewer-vic")
	first := v.get("/devices")
	if n := strings.Count(first.body, `<th scope="row"`); n != 100 {
		t.Errorf("%d rows on a page", n)
	}
	wantText(t, "the first page", first, "1–100 of 10000", "page=2")
	wantText(t, "the last page", v.get("/devices?page=100"), "host-09999", "page=99")
	wantText(t, "a page past the end", v.get("/devices?page=5000"), "host-09999")
}

func TestUnknownPostureIsNeitherGoodNorBad(t *testing.T) {
	s := newSite(t)
	body := s.visitor().signIn("viewer-vic").get("/devices/dev_7f3k2m9q").body
	for name, want := range map[string]string{"Firewall on": "bad", "Disk encrypted": "good", "Serial": "unknown", "Screen lock": "unknown", "Boot time": "plain", "OS version": "plain"} {
		row := regexp.MustCompile(`<tr class="([a-z]+)"><th scope="row">` + name).FindStringSubmatch(body)
		if row == nil || row[1] != want {
			t.Errorf("%s: %q, want %s", name, row, want)
		}
	}
	for _, text := range []string{"not readable without root", "20 Nov 2026 08:12:44 UTC", "firewall_on is false, must be true", "does not hold", "Ada Okafor", "no connector reaches it"} {
		if !strings.Contains(body, text) {
			t.Errorf("the device's page lacks %q", text)
		}
	}
}

func TestACutNeedsItsReasonItsNameAndForAPurgeItsTick(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("operator-olu")
	const path = "/devices/dev_7f3k2m9q"
	for what, fields := range map[string][]string{
		"no reason":           {"level", "seal", "confirm", "lap-ada"},
		"blank reason":        {"level", "seal", "reason", "  ", "confirm", "lap-ada"},
		"wrong name":          {"level", "seal", "reason", "stolen", "confirm", "lap-linus"},
		"no name":             {"level", "seal", "reason", "stolen"},
		"no level":            {"reason", "stolen", "confirm", "lap-ada"},
		"a level of its own":  {"level", "erase", "reason", "stolen", "confirm", "lap-ada"},
		"purge without tick":  {"level", "purge", "reason", "stolen", "confirm", "lap-ada"},
		"a novel as a reason": {"level", "seal", "reason", strings.Repeat("x", 1001), "confirm", "lap-ada"},
	} {
		a := v.submit(path, path+"/cut", fields...)
		wantStatus(t, what, a, http.StatusUnprocessableEntity)
		if !strings.Contains(a.body, `role="alert"`) {
			t.Errorf("%s: the page does not say what is wrong", what)
		}
	}
	if s.did("operator-olu OpenCut seal") || s.did("operator-olu OpenCut purge") {
		t.Fatal("an incomplete form cut a device")
	}
	kept := v.submit(path, path+"/cut", "level", "purge", "reason", "left in a taxi", "confirm", "lap-ada")
	wantText(t, "the form once more", kept, `value="left in a taxi"`, `value="purge" checked`)
	a := v.submit(path, path+"/cut", "level", "purge", "reason", "stolen", "confirm", " LAP-ADA ", "final", "yes")
	wantStatus(t, "a whole form", a, http.StatusSeeOther)
	if !strings.HasPrefix(a.Header.Get("Location"), "/cuts/cut_") {
		t.Errorf("leads to %q", a.Header.Get("Location"))
	}
}

func TestADeviceWhoseNameNobodyCanTypeIsConfirmedByItsID(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("operator-olu")
	wantText(t, "the form", v.get("/devices/dev_hostile0"), "type <code>dev_hostile0</code>")
	a := v.submit("/devices/dev_hostile0", "/devices/dev_hostile0/cut", "level", "seal", "reason", "x", "confirm", "dev_hostile0")
	wantStatus(t, "cut", a, http.StatusSeeOther)
}

func TestThePreviewWorksWithAndWithoutScripts(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("operator-olu")
	const path = "/devices/dev_7f3k2m9q"
	whole := v.submit(path, path+"/preview", "level", "purge", "reason", "half written")
	wantText(t, "the whole page", whole, "<title>", "A purge would do this", "9 on the device", "5 in the clouds", `value="half written"`)
	part := v.form(path+"/preview", "form_token", v.token(path), "level", "seal")
	part.Header.Set("HX-Request", "true")
	got := v.send(part)
	wantText(t, "the part", got, "A seal would do this")
	if strings.Contains(got.body, "<title>") {
		t.Error("htmx got a whole page")
	}
	s.answer = &cutoffv1.PreviewDevice{DeviceId: "dev_1", Hostname: "lap-ada", Error: "no answer within 10 s"}
	silent := v.submit(path, path+"/preview", "level", "seal")
	wantText(t, "a device that does not answer", silent, "did not answer", "No answer within 10 s.", "What it holds is not known")
	s.preview = fault.New(fault.Unavailable, "the device is not connected")
	wantText(t, "without the device", v.submit(path, path+"/preview", "level", "seal"), "No preview now: The device is not connected.", "would still be delivered")
	if s.did("operator-olu OpenCut seal") {
		t.Error("a preview cut")
	}
}

func TestHostileTextStaysText(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("admin-ada")
	for _, path := range []string{"/devices", "/devices/dev_hostile0", "/cuts", "/cuts/cut_settled", "/devices?q=" + "%22%3E%3Cscript%3E", "/login?next=%22%3E%3Cscript%3E"} {
		body := v.get(path).body
		for _, bad := range []string{"<script>alert", "<img src=x", "\u202e", "\x00"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s holds %q", path, bad)
			}
		}
	}
}

func TestACutOfTwoThousandItemsIsQuickAndShort(t *testing.T) {
	s := newSite(t)
	s.change("cut_open", func(k *cutoffv1.Cut) { k.Items = sampleItems("verified", 2000) })
	v := s.visitor().signIn("viewer-vic")
	start := time.Now()
	a := v.get("/cuts/cut_open")
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("the page took %v", took)
	}
	if len(a.body) > 400<<10 {
		t.Errorf("the page is %d KB", len(a.body)>>10)
	}
	wantText(t, "the page", a, "<b>2000</b>", "360 more of SSH keys not shown", "?all=1", "link-outside")
	all := v.get("/cuts/cut_open?all=1")
	if n := strings.Count(all.body, `class="row-ids"`); n != 2000 {
		t.Errorf("all of them: %d rows", n)
	}
}

func TestACutSaysWhatWasProvedAndNoMore(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("operator-olu")
	wantText(t, "open", v.get("/cuts/cut_open"), "4 things are not proved dead yet", "data-countdown", "kubectl user prod-admin, 10.0.3.1:6443", "L2 · tried, and refused", "No connector reaches these", "21 ms")
	wantText(t, "waiting", v.get("/cuts/cut_waiting"), "No known end", "has not taken its order yet", "delivered at its next contact")
	wantText(t, "held", v.get("/cuts/cut_held"), "Held. Nothing has been sent", "the limit is 3.", "Not cut", "No step runs until somebody approves")
	wantText(t, "settled", v.get("/cuts/cut_settled"), "All 2 things proved dead", "Nothing of this cut is known to work any more")
	s.change("cut_settled", func(k *cutoffv1.Cut) { k.Steps[0].Outcome = "accepted" })
	wantText(t, "settled on a promise", v.get("/cuts/cut_settled"), "1 thing proved dead, 1 was accepted without proof")
	s.change("cut_settled", func(k *cutoffv1.Cut) { k.Items[0].Outcome = "blocked" })
	wantText(t, "settled but blocked", v.get("/cuts/cut_settled"), "1 of 2 things could not be proved dead")
	s.change("cut_settled", func(k *cutoffv1.Cut) { k.Items, k.Steps = nil, nil })
	wantText(t, "settled without anything", v.get("/cuts/cut_settled"), "Nothing was found to end", "it holds nothing to remove")
	s.change("cut_settled", func(k *cutoffv1.Cut) { k.Exposure = "gibberish" })
	wantText(t, "an exposure nobody understands", v.get("/cuts/cut_settled"), "No known end")
	wantText(t, "a case", v.get("/cuts/case_two"), "One case, 2 cuts", "cut_case_a", "cut_case_b")
}

func TestHeldCutsAreDecidedAndOpenOnesLifted(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("admin-ada")
	wantStatus(t, "refuse without a reason", v.submit("/cuts/cut_held", "/cuts/cut_held/refuse"), http.StatusUnprocessableEntity)
	wantStatus(t, "approve", v.submit("/cuts/cut_held", "/cuts/cut_held/approve"), http.StatusSeeOther)
	again := v.submit("/cuts/cut_held", "/cuts/cut_held/approve")
	wantStatus(t, "approve again", again, http.StatusConflict)
	wantText(t, "approve again", again, "The cut is open.")
	wantStatus(t, "lift without a reason", v.submit("/cuts/cut_open", "/cuts/cut_open/lift"), http.StatusUnprocessableEntity)
	wantStatus(t, "lift", v.submit("/cuts/cut_open", "/cuts/cut_open/lift", "reason", "found"), http.StatusSeeOther)
	wantText(t, "lifting", v.get("/cuts/cut_open"), "Lifting", "found")
}

func TestALiftsDeliveryIsNotShownAsTheCuts(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("operator-olu")
	s.change("cut_settled", func(k *cutoffv1.Cut) {
		k.State, k.LiftReason = "lifting", "found"
		later := k.GetSettledAt().AsTime().Add(time.Minute)
		k.OrderDeliveredAt = timestamppb.New(later)
	})
	page := v.get("/cuts/cut_settled")
	wantText(t, "lifting", page, "Lift delivered", "Lift answered")
	if strings.Contains(page.body, "First removed") {
		t.Error("what the lift did is shown as what the cut did")
	}
}

func TestEvidenceIsAFile(t *testing.T) {
	s := newSite(t)
	a := s.visitor().signIn("viewer-vic").get("/cuts/cut_open/evidence")
	if a.body != "evidence of cut_open" || a.Header.Get("Content-Disposition") != `attachment; filename="cut_open.evidence.jsonl"` {
		t.Errorf("got %q, %q", a.body, a.Header.Get("Content-Disposition"))
	}
}

func TestATokenIsShownOnce(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("operator-olu")
	for _, bad := range [][]string{{"uses", "0", "hours", "1"}, {"uses", "1", "hours", "NaN"}, {"uses", "one", "hours", "1"}, {"uses", "1", "hours", "1e99"}} {
		wantStatus(t, strings.Join(bad, " "), v.submit("/tokens", "/tokens", bad...), http.StatusUnprocessableEntity)
	}
	made := v.submit("/tokens", "/tokens", "group", "finance", "uses", "3", "hours", "1.5")
	wantText(t, "the answer", made, "cutoff1.", "Group finance, 3 uses")
	if !s.did("operator-olu CreateToken finance 3 5400000") {
		t.Errorf("calls: %q", s.calls)
	}
	if strings.Contains(v.get("/tokens").body, "cutoff1.") {
		t.Error("the token is shown again")
	}
	wantStatus(t, "revoke", v.submit("/tokens", "/tokens/tok_a81f/revoke"), http.StatusSeeOther)
	wantText(t, "the list", v.get("/tokens"), "revoked")
}

func TestAPendingDeviceIsAdmittedOrTurnedAway(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("operator-olu")
	const path = "/devices/dev_pending1"
	wantText(t, "the page", v.get(path), "Waiting to be admitted")
	wantStatus(t, "no verdict", v.submit(path, path+"/decide"), http.StatusUnprocessableEntity)
	wantStatus(t, "admit", v.submit(path, path+"/decide", "verdict", "admit"), http.StatusSeeOther)
	if !s.did("operator-olu DecideDevice true") {
		t.Error("the verdict never reached the API")
	}
}

func TestWhatIsNotThereSaysSo(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("viewer-vic")
	for _, path := range []string{"/nowhere", "/devices/none", "/cuts/none", "/people/none", "/static/0000/console.css", "/static/0000/../layout.html"} {
		a := v.get(path)
		if a.StatusCode != http.StatusNotFound && a.StatusCode != http.StatusTemporaryRedirect && a.StatusCode != http.StatusMovedPermanently {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
	s.policy = nil
	wantText(t, "no policy", v.get("/policy"), "every report passes")
}

func TestTheVendoredScriptsAreTheOnesNamed(t *testing.T) {
	notes, err := os.ReadFile("assets/vendor/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"htmx-2.0.8.min.js", "htmx-ext-sse-2.2.4.min.js"} {
		body, err := os.ReadFile("assets/vendor/" + name)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(body)
		if line := "| " + name; !strings.Contains(string(notes), line) || !strings.Contains(string(notes), hex.EncodeToString(sum[:])) {
			t.Errorf("%s is not the file that README.md names", name)
		}
	}
}

func TestStaticFilesAreKeptByBrowsers(t *testing.T) {
	s := newSite(t)
	v := s.visitor()
	address := regexp.MustCompile(`/static/[0-9a-f]{16}/console\.css`).FindString(v.get("/login").body)
	a := v.get(address)
	wantStatus(t, address, a, http.StatusOK)
	if !strings.Contains(a.Header.Get("Cache-Control"), "immutable") || !strings.HasPrefix(a.Header.Get("Content-Type"), "text/css") {
		t.Errorf("headers: %v", a.Header)
	}
}
