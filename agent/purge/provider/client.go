package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Errors. None of them quotes a value: one may be the token.
var (
	// ErrForeign: the file names a host that is not the provider's.
	ErrForeign = errors.New("host is not the provider's")
	// ErrAddress: an address that no token may go to.
	ErrAddress = errors.New("address is not one for tokens")
	// ErrUnreachable: no answer came.
	ErrUnreachable = errors.New("provider is not reachable")
	// ErrRefused: the provider said no.
	ErrRefused = errors.New("provider refused")
)

// maxAnswer bounds an answer.
const maxAnswer = 256 << 10

// Client asks providers.
type Client struct {
	transport *http.Transport
	// sockets connects to a program of this machine by its socket's path.
	sockets func(ctx context.Context, socket string) (net.Conn, error)
}

// NewClient makes a client; local keeps it on this machine's own addresses, for
// trials. Without sockets no program of this machine is asked.
func NewClient(local bool, sockets func(ctx context.Context, socket string) (net.Conn, error)) *Client {
	dialer := &net.Dialer{}
	if local {
		dialer.ControlContext = loopbackOnly
	}
	return &Client{sockets: sockets,
		transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, ForceAttemptHTTP2: true}}
}

// client is how one call is sent.
func (c *Client) client(call *Call, values map[string]string) (*http.Client, error) {
	transport := c.transport
	if call.Socket != "" {
		if c.sockets == nil {
			return nil, ErrUnreachable
		}
		transport = &http.Transport{DisableKeepAlives: true,
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return c.sockets(ctx, call.Socket) }}
	}
	if call.Sign == signCertificate {
		transport = transport.Clone()
		if err := showCertificate(transport, values); err != nil {
			return nil, err
		}
	}
	return &http.Client{Transport: transport,
		// A token must not be carried on to wherever an answer points.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// answer is what came back.
type answer struct {
	code int
	body any
}

// placeholder is {name} or {name|base64}.
var placeholder = regexp.MustCompile(`\{([a-z]+)\}`)

// fill puts values into text; each is written by how.
func fill(text string, values map[string]string, how func(string) string) (string, error) {
	missing := false
	out := placeholder.ReplaceAllStringFunc(text, func(m string) string {
		v, ok := values[m[1:len(m)-1]]
		missing = missing || !ok || v == ""
		return how(v)
	})
	if missing {
		return "", errors.New("a value is missing")
	}
	return out, nil
}

func plain(s string) string { return s }

// address fills a URL: values in its path and query are escaped, one that it
// begins with is an address itself. Only to a socket nothing need be encrypted.
func (c *Client) address(text string, values map[string]string, socket bool) (*url.URL, error) {
	if name, rest, ok := strings.Cut(strings.TrimPrefix(text, "{"), "}"); ok && strings.HasPrefix(text, "{") {
		text = strings.TrimSuffix(values[name], "/") + rest
	}
	scheme, rest, _ := strings.Cut(text, "://")
	host, tail, _ := strings.Cut(rest, "/")
	host, err := fill(host, values, plain)
	if err != nil {
		return nil, err
	}
	tail, err = fill(tail, values, url.QueryEscape)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(scheme + "://" + host + "/" + tail)
	if err != nil || u.User != nil || u.Hostname() == "" || u.Fragment != "" {
		return nil, ErrAddress
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !socket && !loopback(u.Hostname())) {
		return nil, ErrAddress
	}
	return u, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// do sends one call.
func (c *Client) do(ctx context.Context, call *Call, values map[string]string) (answer, error) {
	request, err := c.request(ctx, call, values)
	if err != nil {
		return answer{}, err
	}
	client, err := c.client(call, values)
	if err != nil {
		return answer{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, ErrUnreachable // its own words hold the address, in which a token may stand
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return answer{}, ErrUnreachable
	}
	got := answer{code: response.StatusCode}
	if json.Unmarshal(data, &got.body) != nil {
		got.body = nil
	}
	return got, nil
}

func (c *Client) request(ctx context.Context, call *Call, values map[string]string) (*http.Request, error) {
	verb, text, _ := strings.Cut(call.Call, " ")
	u, err := c.address(text, values, call.Socket != "")
	if err != nil {
		return nil, err
	}
	body, kind, err := payload(call, values)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, verb, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, ErrAddress
	}
	request.Header.Set("User-Agent", "cutoff-agent")
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	for name, text := range call.Headers {
		value, err := fill(text, values, plain)
		if err != nil || strings.ContainsAny(value, "\r\n\x00") {
			return nil, errors.New("a value does not fit a header")
		}
		request.Header.Set(name, value)
	}
	if call.Sign == "aws" {
		return request, signAWS(ctx, request, body, values)
	}
	return request, nil
}

// payload is the call's body and its type.
func payload(call *Call, values map[string]string) ([]byte, string, error) {
	switch {
	case call.JSON != nil:
		filled, err := fillAll(call.JSON, values)
		if err != nil {
			return nil, "", err
		}
		body, err := json.Marshal(filled)
		return body, "application/json", err
	case len(call.Form) > 0:
		form := url.Values{}
		for name, text := range call.Form {
			value, err := fill(text, values, plain)
			if err != nil {
				return nil, "", err
			}
			form.Set(name, value)
		}
		return []byte(form.Encode()), "application/x-www-form-urlencoded", nil
	}
	return nil, "", nil
}

// fillAll fills the texts of a JSON value.
func fillAll(v any, values map[string]string) (any, error) {
	switch v := v.(type) {
	case string:
		return fill(v, values, plain)
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			filled, err := fillAll(item, values)
			if err != nil {
				return nil, err
			}
			out[i] = filled
		}
		return out, nil
	case map[string]any:
		out := map[string]any{}
		for key, item := range v {
			filled, err := fillAll(item, values)
			if err != nil {
				return nil, err
			}
			out[key] = filled
		}
		return out, nil
	}
	return v, nil
}

// says reports whether the answer has all the values that a yes has.
func (a answer) says(want map[string]string) bool {
	for path, value := range want {
		if a.at(path) != value {
			return false
		}
	}
	return true
}

// at is the value at a dotted path of the answer, as text.
func (a answer) at(path string) string {
	v := a.body
	for key := range strings.SplitSeq(path, ".") {
		switch t := v.(type) {
		case map[string]any:
			v = t[key]
		case []any:
			n, err := strconv.Atoi(key)
			if err != nil || n < 0 || n >= len(t) {
				return ""
			}
			v = t[n]
		default:
			return ""
		}
	}
	switch t := v.(type) {
	case string:
		return t
	case float64:
		return strconv.FormatFloat(t, 'f', -1, 64)
	case bool:
		return strconv.FormatBool(t)
	}
	return ""
}

func (a answer) is(codes []int) bool { return slices.Contains(codes, a.code) }

// refusal says what the provider said, by its code alone.
func (a answer) refusal() error { return fmt.Errorf("%w: status %d", ErrRefused, a.code) }
