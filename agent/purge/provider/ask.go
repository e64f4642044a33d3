package provider

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Result says what became of a token.
type Result struct {
	// Outcome says how far it was proved.
	Outcome Outcome
	// Host is who was asked, or should have been.
	Host string
}

// Outcome is how far it was proved.
type Outcome int

// Outcomes. The zero value is no answer.
const (
	Unreachable Outcome = iota
	// Refused: the provider said no, or the token is not its own.
	Refused
	// NotValid: the provider does not know the token, or not as one of its kind.
	NotValid
	// Accepted: the provider said yes.
	Accepted
	// Dead: a call that only a live token may make was refused afterwards.
	Dead
)

// hostPattern is a name and perhaps a port.
var hostPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?(:[0-9]{1,5})?$`)

// prepare holds the values against the provider and finds its addresses.
func (c *Client) prepare(ctx context.Context, p *Provider, values map[string]string) (map[string]string, error) {
	host, given := values["host"]
	if given && (!hostPattern.MatchString(host) || !p.serves(host)) {
		return nil, ErrForeign
	}
	if p.Discover == nil {
		return values, nil
	}
	got, err := c.do(ctx, p.Discover, values)
	if err != nil {
		return nil, err
	}
	if !got.is(p.Discover.OK) || !got.says(p.Discover.Says) {
		return nil, got.refusal()
	}
	values = maps.Clone(values)
	for name, path := range p.Discover.Take {
		values[name] = got.at(path)
	}
	return values, nil
}

// probeWait is how long a provider may take until all its parts know; a probe
// that finds the token alive is made again until then, or ctx ends.
const probeWait = 150 * time.Millisecond

// Revoke asks the provider to end a token, and probes that it did. values hold
// the token and what else the provider's calls name.
func (c *Client) Revoke(ctx context.Context, p *Provider, values map[string]string) Result {
	r := Result{Host: values["host"]}
	if r.Host == "" && p.Revoke != nil {
		r.Host = c.hostOf(p, values)
	}
	values, err := c.prepare(ctx, p, values)
	if err != nil || p.Revoke == nil {
		r.Outcome = outcomeOf(err)
		return r
	}
	got, err := c.do(ctx, p.Revoke, values)
	switch {
	case err != nil:
		r.Outcome = outcomeOf(err)
	case slices.Contains(p.Revoke.Already, got.code):
		r.Outcome = NotValid // a no to a token of another kind looks the same: nothing is proved
	case !got.is(p.Revoke.OK) || !got.says(p.Revoke.Says):
		r.Outcome = Refused
	default:
		r.Outcome = Accepted
	}
	if r.Outcome == Accepted && p.Probe != nil && c.dead(ctx, p.Probe, values) {
		r.Outcome = Dead
	}
	return r
}

// dead probes until the token is dead or ctx ends.
func (c *Client) dead(ctx context.Context, probe *Call, values map[string]string) bool {
	for {
		got, err := c.do(ctx, probe, values)
		if err != nil {
			return false
		}
		if got.is(probe.Dead) && got.says(probe.Says) {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(probeWait):
		}
	}
}

// Names asks for a token's names that are not secret, by kind.
func (c *Client) Names(ctx context.Context, p *Provider, values map[string]string) (map[string]string, error) {
	if p.Enrich == nil {
		return nil, nil
	}
	values, err := c.prepare(ctx, p, values)
	if err != nil {
		return nil, err
	}
	got, err := c.do(ctx, p.Enrich, values)
	if err != nil {
		return nil, err
	}
	if !got.is(p.Enrich.OK) || !got.says(p.Enrich.Says) {
		return nil, got.refusal()
	}
	names := map[string]string{}
	for kind, path := range p.Enrich.Take {
		// What a provider answers is a stranger's text: short, and never the
		// token's own.
		if name := got.at(path); name != "" && len(name) <= maxName && !repeats(name, values) {
			names[kind] = name
		}
	}
	return names, nil
}

const maxName = 256

func (c *Client) hostOf(p *Provider, values map[string]string) string {
	call := p.Revoke
	if p.Discover != nil {
		call = p.Discover
	}
	request, err := c.request(context.Background(), call, values)
	if err != nil {
		return ""
	}
	return request.URL.Host
}

func outcomeOf(err error) Outcome {
	if err == ErrUnreachable { //nolint:errorlint // it comes as it is
		return Unreachable
	}
	return Refused
}

// repeats reports whether a name has one of the secrets in it that were sent.
func repeats(name string, values map[string]string) bool {
	for _, secret := range []string{values["token"], values["session"]} {
		if secret != "" && strings.Contains(name, secret) {
			return true
		}
	}
	return false
}
