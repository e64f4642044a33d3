package console_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// shots names the folder that a screenshot of every page is written to; unset,
// none is taken.
const shots = "CUTOFF_CONSOLE_SHOTS"

const chromium = "/usr/bin/chromium"

// browser opens a tab. Every word the browser has to say about a page, such as
// a breach of the content policy, fails the test.
func browser(t *testing.T) context.Context {
	t.Helper()
	if _, err := os.Stat(chromium); err != nil {
		t.Fatal("no chromium here (apt-get install chromium): ", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx,
		chromedp.ExecPath(chromium), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Headless, chromedp.NoFirstRun,
		chromedp.IgnoreCertErrors, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1440, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	// The browser lives as long as the context of the first call.
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// complaints collects what the browser logs until the returned func is called.
func complaints(ctx context.Context) (all func() []string) {
	ctx, cancel := context.WithCancel(ctx)
	said := make(chan []string, 1)
	messages := chromedp.Console(ctx)
	go func() {
		var texts []string
		for m, err := range messages {
			if err != nil {
				break
			}
			if !strings.Contains(m.Text, "401") { // a page asked for without a session
				texts = append(texts, m.String())
			}
		}
		said <- texts
	}()
	return func() []string { cancel(); return <-said }
}

func do(t *testing.T, ctx context.Context, what string, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		text, _ := chromedp.Run(ctx, chromedp.Text("body"))
		t.Fatalf("%s: %v; the page says:\n%s", what, err, text)
	}
}

// until waits for a condition on the page.
func until(t *testing.T, ctx context.Context, what, expression string) {
	t.Helper()
	limited, cancel := context.WithTimeout(ctx, 25*time.Second)
	defer cancel()
	_, err := chromedp.Run(limited, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(20*time.Second)))
	for err != nil && strings.Contains(err.Error(), "-32000") && limited.Err() == nil { // the page before it went away
		_, err = chromedp.Run(limited, chromedp.Poll[bool](expression, chromedp.WithPollingTimeout(20*time.Second)))
	}
	if err != nil {
		rest, stop := context.WithTimeout(ctx, 5*time.Second)
		defer stop()
		text, _ := chromedp.Run(rest, chromedp.Text("body"))
		t.Fatalf("%s: %v; the page says:\n%s", what, err, text)
	}
}

func says(selector, text string) string {
	s, _ := json.Marshal(selector)
	w, _ := json.Marshal(text)
	return "(document.querySelector(" + string(s) + ")||{textContent:''}).textContent.includes(" + string(w) + ")"
}

func signIn(t *testing.T, ctx context.Context, s *site, name string) {
	t.Helper()
	do(t, ctx, "sign in",
		chromedp.Navigate(s.URL+"/login"),
		chromedp.SendKeys("#name", name),
		chromedp.SendKeys("#password", password),
		chromedp.Click("main button[type=submit]"),
		chromedp.WaitVisible("#found"))
}

func TestAnOperatorCutsADeviceAndWatchesItHappenWithoutReloading(t *testing.T) {
	s := newSite(t)
	ctx := browser(t)
	said := complaints(ctx)
	signIn(t, ctx, s, "operator-olu")

	do(t, ctx, "search", chromedp.SendKeys("#q", "lap-ada"))
	until(t, ctx, "the list follows the search", `document.querySelectorAll('#found tbody tr').length === 1`)
	do(t, ctx, "open the device", chromedp.Click(`#found a[href="/devices/dev_7f3k2m9q"]`), chromedp.WaitVisible("#reason"))
	do(t, ctx, "preview", chromedp.SendKeys("#reason", "laptop stolen"), chromedp.Click(".dry button"))
	until(t, ctx, "the preview lists the device's items", says("#preview", "9 on the device"))
	until(t, ctx, "the preview is announced", says("#preview-said", "A seal would remove 9 on devices and revoke 5 in the clouds."))
	do(t, ctx, "cut", chromedp.SendKeys("#confirm", "lap-ada"), chromedp.Click(".confirm button"), chromedp.WaitVisible(".cut"))

	until(t, ctx, "the page is live", says("[data-live]", "Live"))
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](`window.notReloaded = true`)); err != nil {
		t.Fatal(err)
	}
	until(t, ctx, "the order waits", says(".verdict", "The device has not taken its order yet"))
	do(t, ctx, "unfold the lift form and type in it", chromedp.Click("#lift-summary"), chromedp.SendKeys("#lift-reason", "found it"))

	id := s.newest()
	s.change(id, func(k *cutoffv1.Cut) {
		k.OrderState, k.OrderDeliveredAt = "delivered", timestamppb.New(s.now)
	})
	until(t, ctx, "the delivery shows", says(".verdict", "its receipt is awaited"))
	s.change(id, func(k *cutoffv1.Cut) {
		k.OrderState, k.ReceiptAt, k.FirstRemovedMs = "done", timestamppb.New(s.now.Add(600*time.Millisecond)), 19
		k.Items, k.Steps = sampleItems("verified", 34), sampleSteps(s.now, true)
		k.Exposure = s.now.Add(2*time.Hour + 14*time.Minute).Format(time.RFC3339)
	})
	until(t, ctx, "the items show", says("#item-aws_cli", "AKIA3SZ5EXAMPLE000"))
	until(t, ctx, "the exposure is a time", `/^02:1\d:\d\d$/.test(document.querySelector('.counter').textContent.trim())`)
	shown, err := chromedp.Run(ctx, chromedp.Text(".counter"))
	if err != nil {
		t.Fatal(err)
	}
	until(t, ctx, "the exposure counts down", `document.querySelector('.counter').textContent.trim() !== `+quoted(shown))
	until(t, ctx, "the time line shows the first removal", says(".timeline", "+19 ms"))

	kept, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.querySelector('#lift-reason').value`))
	if err != nil || kept != "found it" {
		t.Errorf("what was being typed: %q, %v; want it kept", kept, err)
	}
	do(t, ctx, "lift", chromedp.Click(".lift button"))
	until(t, ctx, "the cut is being lifted", says(".verdict", "Lifting"))
	if !s.did("operator-olu LiftCut") {
		t.Error("the lift never reached the API")
	}
	for _, text := range said() {
		t.Errorf("the browser complained: %s", text)
	}
}

// press puts the mouse down on an element without letting it go; release lets it
// go there.
func press(t *testing.T, ctx context.Context, selector string) (release func()) {
	t.Helper()
	s, _ := json.Marshal(selector)
	at, err := chromedp.Run(ctx, chromedp.Evaluate[[]float64](`(() => {
		const box = document.querySelector(`+string(s)+`).getBoundingClientRect();
		return [box.x + box.width / 2, box.y + box.height / 2];
	})()`))
	if err != nil {
		t.Fatal(err)
	}
	mouse := func(what input.DispatchMouseEventType) {
		t.Helper()
		do(t, ctx, string(what), chromedp.MouseEvent(what, at[0], at[1], chromedp.ButtonType(input.MouseButtonLeft), chromedp.ClickCount(1)))
	}
	mouse(input.DispatchMouseEventTypeMousePressed)
	return func() { t.Helper(); mouse(input.DispatchMouseEventTypeMouseReleased) }
}

// counting counts an event of htmx in window.came.
func counting(t *testing.T, ctx context.Context, event string) {
	t.Helper()
	_, err := chromedp.Run(ctx, chromedp.Evaluate[int](
		`window.came = 0, document.body.addEventListener('`+event+`', () => { window.came++; }), 0`))
	if err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsReplacedUnderAPressedPointerKeepsItsClick: the answer to a search, and
// what the stream sends, come between a button's way down and its way up.
func TestWhatIsReplacedUnderAPressedPointerKeepsItsClick(t *testing.T) {
	s := newSite(t)
	ctx := browser(t)
	signIn(t, ctx, s, "operator-olu")

	do(t, ctx, "search", chromedp.SendKeys("#q", "lap-ada"))
	until(t, ctx, "the list follows the search", `document.querySelectorAll('#found tbody tr').length === 1`)
	counting(t, ctx, "htmx:beforeSwap")
	release := press(t, ctx, `#found a[href="/devices/dev_7f3k2m9q"]`)
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[int](`htmx.trigger('form.filter', 'submit'), 0`)); err != nil {
		t.Fatal(err)
	}
	until(t, ctx, "the list is sent again", `window.came > 0`)
	release()
	until(t, ctx, "the device opens", `location.pathname === '/devices/dev_7f3k2m9q'`)

	do(t, ctx, "open a cut", chromedp.Navigate(s.URL+"/cuts/cut_open"), chromedp.WaitVisible("#lift-summary"))
	until(t, ctx, "the page is live", says("[data-live]", "Live"))
	counting(t, ctx, "htmx:sseBeforeMessage")
	release = press(t, ctx, "#lift-summary")
	s.change("cut_open", func(k *cutoffv1.Cut) { k.State, k.Level = "settled", "purge" })
	until(t, ctx, "the stream sends the part", `window.came > 0`)
	release()
	until(t, ctx, "the form unfolds", `document.querySelector('#lift-summary').parentNode.open`)
	until(t, ctx, "the page is brought up to date", says(".verdict", "ettled"))
}

func TestTheLivePageSaysWhenItIsSignedOut(t *testing.T) {
	s := newSite(t)
	ctx := browser(t)
	signIn(t, ctx, s, "viewer-vic")
	do(t, ctx, "open a cut", chromedp.Navigate(s.URL+"/cuts/cut_open"), chromedp.WaitVisible(".cut"))
	until(t, ctx, "the page is live", says("[data-live]", "Live"))
	s.signOutAll()
	s.change("cut_open", func(k *cutoffv1.Cut) { k.Reason = "for nobody's eyes" })
	until(t, ctx, "the page says that it is signed out", says("[data-live]", "Signed out"))
	text, err := chromedp.Run(ctx, chromedp.Text("main"))
	if err != nil || strings.Contains(text, "for nobody's eyes") {
		t.Errorf("after signing out the page shows %q, %v", text, err)
	}
}

func TestAPageWorksByKeyboardAlone(t *testing.T) {
	s := newSite(t)
	ctx := browser(t)
	do(t, ctx, "open", chromedp.Navigate(s.URL+"/login"), chromedp.WaitVisible("#name"))
	do(t, ctx, "type", chromedp.KeyEvent("operator-olu\t"+password+"\r"), chromedp.WaitVisible("#found"))
	do(t, ctx, "first tab", chromedp.KeyEvent("\t"))
	focus, err := chromedp.Run(ctx, chromedp.Evaluate[string](`document.activeElement.textContent`))
	if err != nil || focus != "Skip to the content" {
		t.Errorf("the first tab reaches %q, %v", focus, err)
	}
	do(t, ctx, "skip", chromedp.KeyEvent("\r\t"))
	focus, err = chromedp.Run(ctx, chromedp.Evaluate[string](`document.activeElement.id`))
	if err != nil || focus != "q" {
		t.Errorf("after skipping, tab reaches %q, %v, want the search", focus, err)
	}
	do(t, ctx, "purge by keys alone",
		chromedp.Navigate(s.URL+"/devices/dev_7f3k2m9q"), chromedp.WaitVisible("#reason"),
		chromedp.Focus("[name=level][value=seal]"),
		// Down to purge, the reason, past the preview, tick, confirm, send.
		chromedp.KeyEvent(kb.ArrowDown+"\tlaptop stolen\t\t \tlap-ada\r"), chromedp.WaitVisible(".cut"))
	if !s.did("operator-olu OpenCut purge") {
		t.Error("no purge was asked for")
	}
}

// TestEveryPageFitsAndIsPictured opens every page at two widths: none is wider
// than its window and none makes the browser complain.
func TestEveryPageFitsAndIsPictured(t *testing.T) {
	s := newSite(t)
	ctx := browser(t)
	folder := os.Getenv(shots)
	said := complaints(ctx)
	look := func(name string, dark bool, width int64, act ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		theme := "light"
		if dark {
			theme = "dark"
		}
		do(t, ctx, name, append([]chromedp.Action[chromedp.Void]{
			chromedp.EmulateViewport(width, 900), media(theme),
		}, act...)...)
		wide, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth`))
		if err != nil || int64(wide) > width {
			t.Errorf("%s at %d px is %d px wide, %v", name, width, wide, err)
		}
		if folder == "" {
			return
		}
		png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(folder, strings.Join([]string{name, map[int64]string{1440: "wide", 390: "narrow"}[width], theme}, "-")+".png")
		if err := os.WriteFile(file, png, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pages := []struct{ name, path, wait string }{
		{"devices", "/devices", "#found"},
		{"devices-none", "/devices?q=nothing-like-it", "#found"},
		{"device", "/devices/dev_7f3k2m9q", "#reason"},
		{"device-cut", "/devices/dev_9c1zr5vd", ".standing"},
		{"device-pending", "/devices/dev_pending1", "#reason"},
		{"device-hostile", "/devices/dev_hostile0", "#reason"},
		{"cut-open", "/cuts/cut_open", ".cut"},
		{"cut-held", "/cuts/cut_held", ".cut"},
		{"cut-waiting", "/cuts/cut_waiting", ".cut"},
		{"cut-hostile", "/cuts/cut_settled", ".cut"},
		{"case", "/cuts/case_two", ".list"},
		{"cuts", "/cuts", ".list"},
		{"people", "/people", ".list"},
		{"person", "/people/per_ada", "#reason"},
		{"connectors", "/connectors", ".list"},
		{"tokens", "/tokens", ".list"},
		{"policy", "/policy", ".code"},
		{"catalogue", "/catalogue", ".change"},
	}
	for _, width := range []int64{1440, 390} {
		for _, dark := range []bool{false, true} {
			look("setup", dark, width, chromedp.Navigate(s.URL+"/setup"), chromedp.WaitVisible("#code"))
			look("login", dark, width, chromedp.Navigate(s.URL+"/login"), chromedp.WaitVisible("#name"))
		}
	}
	signIn(t, ctx, s, "admin-ada")
	for _, p := range pages {
		for _, width := range []int64{1440, 390} {
			look(p.name, false, width, chromedp.Navigate(s.URL+p.path), chromedp.WaitVisible(p.wait))
			look(p.name, true, width)
		}
	}
	for _, width := range []int64{1440, 390} {
		look("device-purge", width == 390, width, chromedp.Navigate(s.URL+"/devices/dev_7f3k2m9q"), chromedp.WaitVisible("#reason"),
			chromedp.Click("[name=level][value=purge]"), chromedp.Click(".dry button"), chromedp.WaitVisible(".preview h3"))
		look("device-problem", width == 390, width, chromedp.Navigate(s.URL+"/devices/dev_7f3k2m9q"), chromedp.WaitVisible("#reason"),
			chromedp.SendKeys("#reason", "stolen"), chromedp.SendKeys("#confirm", "lap-linus"), chromedp.Click(".confirm button"), chromedp.WaitVisible(".cutcard .notice.bad"))
		look("token-fresh", width == 390, width, chromedp.Navigate(s.URL+"/tokens"), chromedp.Click(".inline button"), chromedp.WaitVisible("#fresh"))
	}
	for _, text := range said() {
		if !strings.Contains(text, "422") { // the page with a problem
			t.Errorf("the browser complained: %s", text)
		}
	}
	said = complaints(ctx)
	for _, width := range []int64{1440, 390} {
		look("missing", width == 390, width, chromedp.Navigate(s.URL+"/nowhere"), chromedp.WaitVisible(".code-no"))
	}
	said()
}

// media chooses the colour scheme.
func media(theme string) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: theme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
		})
		return chromedp.Void{}, err
	}
}

func quoted(s string) string { q, _ := json.Marshal(strings.TrimSpace(s)); return string(q) }
