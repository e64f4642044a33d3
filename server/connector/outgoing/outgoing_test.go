package outgoing_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cutoff/server/connector/outgoing"
)

func allow(t *testing.T, entries ...string) outgoing.Allow {
	t.Helper()
	a, err := outgoing.ParseAllow(entries)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func at(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func direct(*http.Request) (*url.URL, error) { return nil, nil }

// refusal returns the kind and word of an error of Do.
func refusal(t *testing.T, err error) *outgoing.Error {
	t.Helper()
	var e *outgoing.Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want one of this package", err)
	}
	return e
}

func get(t *testing.T, c *outgoing.Client, address string) (outgoing.Response, error) {
	t.Helper()
	return c.Do(t.Context(), outgoing.Request{Method: "GET", URL: at(t, address)})
}

func TestGuardRefusesEveryAddressThatIsNotPublic(t *testing.T) {
	c := outgoing.New(outgoing.Config{Proxy: direct})
	for _, host := range []string{
		"127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "0.1.2.3",
		"224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1", "[::1]", "[::]", "[fd00:ec2::254]", "[fe80::1]",
		"[::ffff:127.0.0.1]", "[::ffff:169.254.169.254]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]", "[ff02::1]",
	} {
		_, err := get(t, c, "http://"+host+":1/")
		if e := refusal(t, err); e.Kind != outgoing.Refused || e.Detail != "address-not-allowed" {
			t.Errorf("%s: got %v %q, want refused", host, e.Kind, e.Detail)
		}
	}
}

func TestGuardReachesAPrivateAddressThatIsAllowed(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	for _, entry := range []string{"127.0.0.1", "127.0.0.0/8", "::ffff:127.0.0.1"} {
		res, err := get(t, outgoing.New(outgoing.Config{Proxy: direct, Allow: allow(t, entry)}), s.URL)
		if err != nil || res.Status != 404 {
			t.Errorf("%s: got %d %v, want 404", entry, res.Status, err)
		}
	}
	if _, err := outgoing.ParseAllow([]string{"no host!"}); err == nil {
		t.Error("a bad entry was taken")
	}
}

func TestGuardChecksTheAddressItDials(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	port := at(t, s.URL).Port()
	answers := func(ips ...string) func(context.Context, string) ([]netip.Addr, error) {
		return func(context.Context, string) ([]netip.Addr, error) {
			var all []netip.Addr
			for _, ip := range ips {
				all = append(all, netip.MustParseAddr(ip))
			}
			return all, nil
		}
	}
	t.Run("a public name with a private address is refused", func(t *testing.T) {
		c := outgoing.New(outgoing.Config{Proxy: direct, Resolve: answers("127.0.0.1")})
		_, err := get(t, c, "http://login.example.com:"+port)
		if refusal(t, err).Kind != outgoing.Refused {
			t.Errorf("got %v, want refused", err)
		}
	})
	t.Run("one private address among public ones refuses all", func(t *testing.T) {
		c := outgoing.New(outgoing.Config{Proxy: direct, Resolve: answers("93.184.215.14", "127.0.0.1")})
		_, err := get(t, c, "http://login.example.com:"+port)
		if refusal(t, err).Kind != outgoing.Refused {
			t.Errorf("got %v, want refused", err)
		}
	})
	t.Run("a name is looked up once and its address pinned", func(t *testing.T) {
		var n atomic.Int32
		c := outgoing.New(outgoing.Config{Proxy: direct, Allow: allow(t, "127.0.0.2"), Resolve: func(context.Context, string) ([]netip.Addr, error) {
			if n.Add(1) == 1 {
				return []netip.Addr{netip.MustParseAddr("127.0.0.2")}, nil
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}})
		_, err := get(t, c, "http://rebind.example.com:"+port)
		if e := refusal(t, err); e.Kind != outgoing.Failed || n.Load() != 1 {
			t.Errorf("got %v after %d look-ups, want no connection to 127.0.0.2 after one", e, n.Load())
		}
	})
	t.Run("a host that is allowed by name may be private", func(t *testing.T) {
		c := outgoing.New(outgoing.Config{Proxy: direct, Allow: allow(t, "login.internal"), Resolve: answers("127.0.0.1")})
		if res, err := get(t, c, "http://LOGIN.internal:"+port); err != nil || res.Status != 404 {
			t.Errorf("got %d %v, want 404", res.Status, err)
		}
	})
}

func TestRedirects(t *testing.T) {
	var stolen atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen.Add(1) }))
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/there", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "here") })
	mux.HandleFunc("/same", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/there", http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/round", http.StatusTemporaryRedirect)
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	c := outgoing.New(outgoing.Config{Proxy: direct, Allow: allow(t, "127.0.0.1")})
	if res, err := get(t, c, s.URL+"/same"); err != nil || string(res.Body) != "here" {
		t.Errorf("a GET within one host: got %q %v, want it followed", res.Body, err)
	}
	for _, path := range []string{"/away", "/round"} {
		_, err := get(t, c, s.URL+path)
		if e := refusal(t, err); e.Kind != outgoing.Refused {
			t.Errorf("%s: got %v, want refused", path, e)
		}
	}
	res, err := c.Do(t.Context(), outgoing.Request{Method: "POST", URL: at(t, s.URL+"/same"), Body: []byte("x")})
	if err != nil || res.Status != http.StatusTemporaryRedirect {
		t.Errorf("a POST: got %d %v, want its redirect as the answer", res.Status, err)
	}
	if stolen.Load() != 0 {
		t.Error("a redirect led to another host")
	}
}

func TestAnswersAreBoundedInSizeAndTime(t *testing.T) {
	release := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 5000)) })
	mux.HandleFunc("/hang", func(http.ResponseWriter, *http.Request) { <-release })
	mux.HandleFunc("/drip", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(200)
		_ = http.NewResponseController(w).Flush()
		<-release
	})
	s := httptest.NewServer(mux)
	defer s.Close()
	defer close(release)
	c := outgoing.New(outgoing.Config{
		Proxy: direct, Allow: allow(t, "127.0.0.1"), Limits: outgoing.Limits{Timeout: 200 * time.Millisecond, Body: 4096},
	})
	for path, kind := range map[string]outgoing.Kind{"/huge": outgoing.TooLarge, "/hang": outgoing.Timeout, "/drip": outgoing.Timeout} {
		_, err := get(t, c, s.URL+path)
		if e := refusal(t, err); e.Kind != kind {
			t.Errorf("%s: got %v %q, want kind %v", path, e.Kind, e.Detail, kind)
		}
	}
}

func TestErrorsHoldNothingOfTheRequest(t *testing.T) {
	const secret = "s3cr3t-value"
	tlsServer := httptest.NewTLSServer(http.NotFoundHandler())
	defer tlsServer.Close()
	c := outgoing.New(outgoing.Config{Proxy: direct, Allow: allow(t, "127.0.0.1"), Limits: outgoing.Limits{Timeout: time.Second}})
	for name, address := range map[string]string{
		"no listener": "http://127.0.0.1:1/", "not trusted": tlsServer.URL + "/", "no name": "http://cutoff-no-such-host.invalid/", "bad port": "http://127.0.0.1:99999/",
	} {
		_, err := c.Do(t.Context(), outgoing.Request{
			Method: "POST", URL: at(t, address+secret+"?q="+secret), Header: http.Header{"Authorization": {"Bearer " + secret}}, Body: []byte(secret),
		})
		if err == nil || strings.Contains(err.Error(), secret) || strings.Contains(fmt.Sprintf("%+v", err), secret) {
			t.Errorf("%s: got %v, want an error without the secret", name, err)
		}
		if name == "not trusted" && refusal(t, err).Kind != outgoing.Untrusted {
			t.Errorf("got %v, want untrusted", err)
		}
	}
	// A header no request may have.
	_, err := c.Do(t.Context(), outgoing.Request{Method: "GET", URL: at(t, tlsServer.URL), Header: http.Header{"X": {secret + "\r\nY: 1"}}})
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("bad header: got %v, want an error without the secret", err)
	}
}

func TestProviderThatAsksToWaitIsLeftAlone(t *testing.T) {
	var calls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		w.Header().Set("Retry-After", "30")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer s.Close()
	c := outgoing.New(outgoing.Config{Proxy: direct, Allow: allow(t, "127.0.0.1")})
	for range 3 {
		_, err := get(t, c, s.URL)
		if e := refusal(t, err); e.Kind != outgoing.Limited || e.Again < 29*time.Second || e.Again > 31*time.Second {
			t.Errorf("got %v again in %s, want limited, 30s", e, e.Again)
		}
	}
	if calls.Load() != 1 {
		t.Errorf("it was called %d times, want once", calls.Load())
	}
}

func TestNoMoreCallsAtOnceThanTheLimit(t *testing.T) {
	var now, most atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		n := now.Add(1)
		for {
			m := most.Load()
			if n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		<-time.After(20 * time.Millisecond)
		now.Add(-1)
	}))
	defer s.Close()
	c := outgoing.New(outgoing.Config{Proxy: direct, Allow: allow(t, "127.0.0.1"), Limits: outgoing.Limits{Parallel: 2, PerSecond: 1000}})
	done := make(chan error)
	for range 10 {
		go func() {
			_, err := c.Do(context.Background(), outgoing.Request{Method: "GET", URL: at(t, s.URL)})
			done <- err
		}()
	}
	for range 10 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if most.Load() > 2 {
		t.Errorf("%d calls at once, want at most 2", most.Load())
	}
}

func TestProxyIsUsedAndAPrivateTargetRefusedBeforeIt(t *testing.T) {
	var asked atomic.Int32
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		fmt.Fprint(w, "by proxy to "+r.URL.Host)
	}))
	defer proxy.Close()
	c := outgoing.New(outgoing.Config{
		Proxy: func(*http.Request) (*url.URL, error) { return at(t, proxy.URL), nil },
		Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			if host == "inside.example.com" {
				return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
			}
			return nil, errors.New("only the proxy knows names")
		},
	})
	res, err := get(t, c, "http://login.example.com/")
	if err != nil || string(res.Body) != "by proxy to login.example.com" {
		t.Errorf("got %q %v, want the proxy's answer", res.Body, err)
	}
	for _, target := range []string{"http://169.254.169.254/latest", "http://127.0.0.1:1/", "http://inside.example.com/"} {
		_, err := get(t, c, target)
		if refusal(t, err).Kind != outgoing.Refused {
			t.Errorf("%s: got %v, want refused", target, err)
		}
	}
	if asked.Load() != 1 {
		t.Errorf("the proxy was asked %d times, want once", asked.Load())
	}
}

func TestRetryAfterIsReadInEveryForm(t *testing.T) {
	now := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	for name, row := range map[string]struct {
		header http.Header
		want   time.Duration
		none   bool
	}{
		"seconds":                         {header("Retry-After", "17"), 17 * time.Second, false},
		"a date":                          {header("Retry-After", now.Add(90*time.Second).Format(http.TimeFormat)), 90 * time.Second, false},
		"a date by the answer's clock":    {header("Retry-After", now.Add(time.Hour).Format(http.TimeFormat), "Date", now.Add(time.Hour-40*time.Second).Format(http.TimeFormat)), 40 * time.Second, false},
		"a date that is over":             {header("Retry-After", now.Add(-time.Hour).Format(http.TimeFormat)), time.Second, false},
		"a reset as a time":               {header("X-RateLimit-Reset", fmt.Sprint(now.Unix()+20)), 21 * time.Second, false},
		"a reset in milliseconds":         {header("X-RateLimit-Reset", fmt.Sprint((now.Unix()+20)*1000)), 21 * time.Second, false},
		"okta's spelling":                 {header("X-Rate-Limit-Reset", fmt.Sprint(now.Unix()+5)), 6 * time.Second, false},
		"a reset as a while":              {header("RateLimit-Reset", "9"), 9 * time.Second, false},
		"docker's spelling":               {header("X-Retry-After", fmt.Sprint(now.Unix()+3)), 4 * time.Second, false},
		"retry-after before reset":        {header("Retry-After", "2", "RateLimit-Reset", "50"), 2 * time.Second, false},
		"nothing":                         {header(), 0, true},
		"garbage":                         {header("Retry-After", "soon", "RateLimit-Reset", "later"), 0, true},
		"negative":                        {header("Retry-After", "-5"), 0, true},
		"for ever":                        {header("Retry-After", "99999999999999999999"), time.Hour, false},
		"not a number that parses as one": {header("Retry-After", "NaN", "RateLimit-Reset", "NaN"), 0, true},
	} {
		got, ok := outgoing.RetryAfter(row.header, now)
		if ok == row.none || got != row.want {
			t.Errorf("%s: got %s %v, want %s", name, got, ok, row.want)
		}
	}
}
