// Package outgoing is the one way from the server to a provider: plain HTTP
// with a deadline, a bounded body, verified TLS, a guard against being led to
// private addresses, and a provider's wish to be left alone respected. It does
// not retry (the queue does) and must not put a URL, a header or a body into
// an error: any of them may hold a secret.
package outgoing

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Defaults of what a connector may leave unsaid.
const (
	DefaultTimeout  = 10 * time.Second
	MaxTimeout      = 25 * time.Second
	DefaultParallel = 4
	MaxParallel     = 64
	DefaultRate     = 20
	MaxRate         = 1000
	DefaultBody     = 1 << 20
	MaxBody         = 16 << 20
)

// maxRedirects bounds the redirects of one GET within one host.
const maxRedirects = 3

// Limits bound what one connector does to its provider, and the reverse. Zero
// fields take the defaults.
type Limits struct {
	Timeout   time.Duration
	Parallel  int
	PerSecond float64
	Body      int64
}

// Config is what a Client needs. The zero value is a strict client: public
// addresses only, the system's roots.
type Config struct {
	Limits Limits
	// Allow are the private addresses and hosts that may be reached all the same.
	Allow Allow
	// Roots replaces the system's certificate authorities.
	Roots *x509.CertPool
	// Certificate is this side's of each TLS connection, if the provider asks.
	Certificate *tls.Certificate
	// Proxy finds the proxy of a request; http.ProxyFromEnvironment if nil.
	Proxy func(*http.Request) (*url.URL, error)
	// Resolve looks a host up; the system's resolver if nil.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

// With is c, which a connector's file says, over what the server says: how
// requests get out is the server's, and authorities are the file's if it names
// any.
func (c Config) With(server Config) Config {
	c.Proxy, c.Resolve = server.Proxy, server.Resolve
	if c.Roots == nil {
		c.Roots = server.Roots
	}
	return c
}

// Request is one call. Body may be nil.
type Request struct {
	Method string
	URL    *url.URL
	Header http.Header
	Body   []byte
}

// Response is an answer, whatever its status.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// Client calls one connector's provider. It is safe for many goroutines.
type Client struct {
	http   *http.Client
	limits Limits
	allow  Allow
	look   func(ctx context.Context, host string) ([]netip.Addr, error)
	proxy  func(*http.Request) (*url.URL, error)
	slots  chan struct{}
	rate   *rate.Limiter

	mu    sync.Mutex
	until time.Time // the provider wants no calls before
}

// New makes a client.
func New(config Config) *Client {
	l := config.Limits.orDefaults()
	c := &Client{
		limits: l, allow: config.Allow, look: config.Resolve, proxy: config.Proxy,
		slots: make(chan struct{}, l.Parallel),
		rate:  rate.NewLimiter(rate.Limit(l.PerSecond), max(1, l.Parallel)),
	}
	if c.look == nil {
		c.look = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	if c.proxy == nil {
		c.proxy = http.ProxyFromEnvironment
	}
	secure := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: config.Roots}
	if config.Certificate != nil {
		secure.Certificates = []tls.Certificate{*config.Certificate}
	}
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy:                  c.proxy,
			DialContext:            c.dial,
			ForceAttemptHTTP2:      true,
			TLSClientConfig:        secure,
			TLSHandshakeTimeout:    l.Timeout,
			ResponseHeaderTimeout:  l.Timeout,
			MaxResponseHeaderBytes: 64 << 10,
			MaxConnsPerHost:        l.Parallel,
			MaxIdleConnsPerHost:    l.Parallel,
			IdleConnTimeout:        60 * time.Second,
		},
		CheckRedirect: sameHost,
	}
	return c
}

func (l Limits) orDefaults() Limits {
	if l.Timeout <= 0 {
		l.Timeout = DefaultTimeout
	}
	if l.Parallel <= 0 {
		l.Parallel = DefaultParallel
	}
	if l.PerSecond <= 0 {
		l.PerSecond = DefaultRate
	}
	if l.Body <= 0 {
		l.Body = DefaultBody
	}
	l.Timeout, l.Parallel = min(l.Timeout, MaxTimeout), min(l.Parallel, MaxParallel)
	l.PerSecond, l.Body = min(l.PerSecond, MaxRate), min(l.Body, MaxBody)
	return l
}

// Parallel is how many calls may be under way at once.
func (c *Client) Parallel() int { return c.limits.Parallel }

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Do sends one request and reads its answer. Errors are *Error; an answer of
// any status is not an error, save one that asks to be left alone (429, or 503
// with a time): that is Limited, with the time.
func (c *Client) Do(ctx context.Context, r Request) (Response, error) {
	if r.URL == nil || r.URL.Host == "" || (r.URL.Scheme != "https" && r.URL.Scheme != "http") {
		return Response{}, &Error{Kind: Refused, Detail: "bad-address"}
	}
	if wait := c.paused(); wait > 0 {
		return Response{}, &Error{Kind: Limited, Detail: "rate-limited", Again: wait}
	}
	ctx, cancel := context.WithTimeout(ctx, c.limits.Timeout)
	defer cancel()
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return Response{}, &Error{Kind: Timeout, Detail: "timeout"}
	}
	if err := c.rate.Wait(ctx); err != nil {
		return Response{}, &Error{Kind: Limited, Detail: "own-rate-limit", Again: time.Second}
	}
	if err := c.vet(ctx, r.URL); err != nil {
		return Response{}, classify(ctx, err)
	}
	return c.send(ctx, r)
}

func (c *Client) send(ctx context.Context, r Request) (Response, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL.String(), bytes.NewReader(r.Body))
	if err != nil {
		return Response{}, &Error{Kind: Refused, Detail: "bad-request"}
	}
	if r.Header != nil {
		req.Header = r.Header.Clone()
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", "cutoff")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return Response{}, classify(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	if wait, asked := leaveAlone(res, time.Now()); asked {
		c.pause(wait)
		return Response{}, &Error{Kind: Limited, Detail: "rate-limited", Again: wait, Status: res.StatusCode}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, c.limits.Body+1))
	if err != nil {
		return Response{}, classify(ctx, err)
	}
	if int64(len(body)) > c.limits.Body {
		return Response{}, &Error{Kind: TooLarge, Detail: "answer-too-large", Status: res.StatusCode}
	}
	return Response{Status: res.StatusCode, Header: res.Header, Body: body}, nil
}

// errRedirect stops a redirect away from the host that was asked.
var errRedirect = errors.New("redirect to another host")

// sameHost lets a GET follow redirects within one origin. Anything that acts
// is never repeated elsewhere: its redirect is the answer.
func sameHost(req *http.Request, via []*http.Request) error {
	first := via[0]
	if first.Method != http.MethodGet && first.Method != http.MethodHead {
		return http.ErrUseLastResponse
	}
	if req.URL.Scheme != first.URL.Scheme || !strings.EqualFold(req.URL.Host, first.URL.Host) {
		return errRedirect
	}
	if len(via) > maxRedirects {
		return errRedirect
	}
	return nil
}

func (c *Client) paused() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Until(c.until)
}

func (c *Client) pause(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if until := time.Now().Add(d); until.After(c.until) {
		c.until = until
	}
}

// Kind says what went wrong with a call that has no answer.
type Kind int

// Kinds. The zero value is Failed.
const (
	// Failed: the connection broke, or could not be made.
	Failed Kind = iota
	// Timeout: no answer in time.
	Timeout
	// Refused: this side does not make such a call (an address that is not
	// allowed, a redirect to another host).
	Refused
	// Untrusted: the provider's certificate does not hold.
	Untrusted
	// TooLarge: the answer is longer than the limit.
	TooLarge
	// Limited: the provider (or the connector's own limit) asks to wait.
	Limited
)

// Error is why there is no answer. Detail is one fixed word: nothing of the
// request or of the answer is in it.
type Error struct {
	Kind   Kind
	Detail string
	// Again is when to come back, if the provider said so.
	Again time.Duration
	// Status is the answer's, where there was one.
	Status int
}

// Error is Detail.
func (e *Error) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("%s (status %d)", e.Detail, e.Status)
	}
	return e.Detail
}

// classify drops everything of err but its kind: url.Error carries the URL.
func classify(ctx context.Context, err error) error {
	var (
		ours      *Error
		authority x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		verify    *tls.CertificateVerificationError
		timeout   net.Error
		dns       *net.DNSError
	)
	switch {
	case errors.As(err, &ours):
		return ours
	case errors.Is(err, errRedirect):
		return &Error{Kind: Refused, Detail: "redirect-to-another-host"}
	case errors.As(err, &verify), errors.As(err, &authority), errors.As(err, &name), errors.As(err, &invalid):
		return &Error{Kind: Untrusted, Detail: "certificate-not-trusted"}
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &Error{Kind: Timeout, Detail: "timeout"}
	case errors.As(err, &dns):
		return &Error{Kind: Failed, Detail: "name-not-resolved"}
	default:
		return &Error{Kind: Failed, Detail: "connection-failed"}
	}
}
