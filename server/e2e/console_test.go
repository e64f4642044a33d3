package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// shots names a folder for screenshots of the console with real data.
const shots = "CUTOFF_CONSOLE_SHOTS"

// tab opens a browser whose window is width pixels wide.
func tab(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx,
		chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.Headless, chromedp.NoFirstRun,
		chromedp.IgnoreCertErrors, chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1440, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true))
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
		t.Fatal("start /usr/bin/chromium (apt-get install chromium): ", err)
	}
	return ctx
}

func press(t *testing.T, ctx context.Context, what string, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		text, _ := chromedp.Run(ctx, chromedp.Text("body"))
		t.Fatalf("%s: %v; the page says:\n%s", what, err, text)
	}
}

// shows waits until the page shows text.
func shows(t *testing.T, ctx context.Context, text string) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	var body string
	for time.Now().Before(deadline) {
		body, _ = chromedp.Run(ctx, chromedp.Text("body"))
		if strings.Contains(body, text) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatalf("the page does not show %q; it says:\n%s", text, body)
}

func resize(t *testing.T, ctx context.Context, width int64) {
	t.Helper()
	press(t, ctx, "resize", func(ctx context.Context, target *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, target, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
			Width: width, Height: 900, DeviceScaleFactor: 1, Mobile: width < 500,
		})
		return chromedp.Void{}, err
	})
}

func shoot(t *testing.T, ctx context.Context, name string) {
	t.Helper()
	dir := os.Getenv(shots)
	if dir == "" {
		return
	}
	for _, width := range []int64{1440, 390} {
		resize(t, ctx, width)
		png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, name+map[bool]string{true: "-390.png", false: "-1440.png"}[width < 500])
		if err := os.WriteFile(file, png, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	resize(t, ctx, 1440)
}

func TestAFirstAdministratorCutsARealDeviceInTheBrowserAndLiftsIt(t *testing.T) {
	w := newWorld(t)
	code, err := os.ReadFile(filepath.Join(w.server.Data, "setup-code"))
	if err != nil {
		t.Fatal(err)
	}
	ctx := tab(t)
	console := w.server.Console
	const password = "a long pass phrase 7"
	press(t, ctx, "make the first admin",
		chromedp.Navigate(console+"/setup"),
		chromedp.SendKeys("#code", strings.TrimSpace(string(code))), chromedp.SendKeys("#name", "nora"),
		chromedp.SendKeys("#password", password), chromedp.SendKeys("#password_again", password),
		chromedp.Click("main button[type=submit]"))
	w.until("the first admin is made", func() bool {
		u, _ := chromedp.Run(ctx, chromedp.Location())
		return u != "" && !strings.HasSuffix(u, "/setup")
	})
	if u, _ := chromedp.Run(ctx, chromedp.Location()); strings.HasSuffix(u, "/login") {
		press(t, ctx, "sign in", chromedp.SendKeys("#name", "nora"), chromedp.SendKeys("#password", password),
			chromedp.Click("main button[type=submit]"), chromedp.WaitVisible("#found"))
	}
	press(t, ctx, "devices", chromedp.Navigate(console+"/devices"), chromedp.WaitVisible("#found"))
	shows(t, ctx, "alice-laptop")
	shoot(t, ctx, "devices")
	press(t, ctx, "the device", chromedp.Click("#found a[href^='/devices/dev_']"), chromedp.WaitVisible("#reason"))
	shoot(t, ctx, "device")
	press(t, ctx, "cut", chromedp.Click("input[name=level][value=seal]"), chromedp.SendKeys("#reason", "left in a taxi"),
		chromedp.SendKeys("#confirm", "alice-laptop"), chromedp.Click(".confirm button"), chromedp.WaitVisible(".verdict"))
	w.until("the seal", func() bool { return len(w.laptop.Live(w.laptop.Root)) == 0 })
	shows(t, ctx, "settled")
	shoot(t, ctx, "cut-settled")
	press(t, ctx, "lift", chromedp.Click("#lift-summary"), chromedp.SendKeys("#lift-reason", "found"), chromedp.Click("#lift form button[type=submit]"))
	w.until("trusted again", func() bool { return w.device().State == "trusted" })
	shows(t, ctx, "The cut has ended")
	shoot(t, ctx, "cut-lifted")
	for _, path := range w.laptop.Same(w.before) {
		t.Errorf("%s is not as it was", path)
	}
	for _, page := range []string{"cuts", "people", "tokens", "connectors", "policy"} {
		press(t, ctx, page, chromedp.Navigate(console+"/"+page), chromedp.WaitVisible("main"))
		shoot(t, ctx, page)
	}
}
