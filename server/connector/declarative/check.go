package declarative

import (
	"context"
	"slices"
	"strconv"

	"cutoff/server/connector/config"
	"cutoff/server/connector/outgoing"
	"cutoff/server/revoke"
)

// Check tries what changes nothing: the credentials let us in, and the file's
// own harmless requests, one for each permission, succeed.
func (c *Connector) Check(ctx context.Context) []config.Finding {
	var all []config.Finding
	if c.auth.kept() {
		_, err := c.signIn(ctx, c.authValues())
		f := config.Finding{Name: "sign in", OK: err == nil, Detail: "signed in"}
		if err != nil {
			f.Detail = verdictOf(err).detail
		}
		all = append(all, f)
		if err != nil {
			return all
		}
	}
	v := c.values(revoke.Step{})
	for _, k := range c.spec.check {
		if c.spec.bases[k.call.address.base.variables()[0]] != nil && c.holds(k.when, v) {
			all = append(all, c.try(ctx, k, v))
		}
	}
	if len(all) == 0 {
		all = append(all, config.Finding{Name: "file", OK: true, Detail: "read; it has no request that changes nothing, so none was sent"})
	}
	return all
}

func (c *Connector) try(ctx context.Context, k check, v values) config.Finding {
	f := config.Finding{Name: k.name}
	res, err := c.do(ctx, k.call, v, nil, nil, "check")
	if err != nil {
		f.Detail = verdictOf(err).detail
		return f
	}
	f.Detail = c.checked(k, res, v)
	switch {
	case f.Detail == "":
		f.OK, f.Detail = true, "answered "+strconv.Itoa(res.Status)
	case k.about != "":
		f.Detail += ": needs " + k.about
	}
	return f
}

// checked is what is wrong with the answer to a check.
func (c *Connector) checked(k check, res outgoing.Response, v values) string {
	if !slices.Contains(k.ok, res.Status) {
		return verdictOf(c.bad(res, nil, v)).detail
	}
	if err := c.bad(res, k.ok, v); err != nil {
		return verdictOf(err).detail
	}
	if len(k.says) == 0 {
		return ""
	}
	doc, err := decode(res.Body)
	if err != nil {
		return err.Error()
	}
	if !all(k.says, doc, v) {
		return "answer-says-no"
	}
	return ""
}
