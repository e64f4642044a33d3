package declarative

import (
	"net/url"
	"slices"
	"strings"

	"cutoff/server/connector/outgoing"
	"cutoff/server/revoke"
)

// hidden stands for a secret where requests are printed.
const hidden = "***"

// Requests prints the requests a step would send, in order, without sending
// any. What a look-up would find stands as <name.variable>, secrets as ***.
func (c *Connector) Requests(s revoke.Step) []string {
	st := c.find(s)
	if st == nil {
		return nil
	}
	v := c.values(s)
	lines := c.printAuth()
	look := func(list []lookUp) {
		for _, l := range list {
			lines = append(lines, "look up "+l.name+": "+c.print(l.call, v, l.page))
			for _, t := range l.take {
				v[t.variable] = "<" + t.variable + ">"
			}
		}
	}
	if v[paramFind] != "" && c.spec.people != nil {
		look(c.spec.people.lookUps)
		v["account"] = c.spec.people.account.render(v)
	}
	look(st.lookUps)
	for _, a := range st.acts {
		word := "act: "
		if len(st.acts) > 1 || len(a.cond.given)+len(a.cond.tests) > 0 {
			word = "act, where its if holds: "
		}
		lines = append(lines, word+c.print(a.call, v, nil))
	}
	if st.confirm != nil && c.holds(st.confirm.cond, v) {
		lines = append(lines, "confirm: "+c.print(st.confirm.call, v, st.confirm.page))
	}
	return lines
}

// printAuth is the request that signs in, where there is one.
func (c *Connector) printAuth() []string {
	masked := c.masked()
	var (
		r   outgoing.Request
		err error
	)
	switch c.auth.kind {
	case "login":
		r, err = c.auth.call.request(c.spec, masked, nil, nil)
	case "oauth2", "jwt-bearer", "app-jwt":
		r, err = c.tokenRequest(masked)
	default:
		return nil
	}
	if err != nil {
		return []string{"sign in: (not sent: " + err.Error() + ")"}
	}
	return []string{"sign in: " + printed(r, "")}
}

// masked are the values of a sign-in with all secrets hidden.
func (c *Connector) masked() values {
	v := c.authValues()
	for name := range v {
		if strings.HasPrefix(name, "secret.") {
			v[name] = hidden
		}
	}
	return v
}

func (c *Connector) print(k call, v values, p *page) string {
	var more url.Values
	if p != nil {
		w := walk{page: p}
		more = w.more()
	}
	r, err := k.request(c.spec, v, more, nil)
	if err != nil {
		return k.method + " (not sent: " + err.Error() + ")"
	}
	return printed(r, c.proofLine())
}

// proofLine is the header by which a request shows who asks, without it.
func (c *Connector) proofLine() string {
	switch a := c.auth; a.kind {
	case "basic":
		return "Authorization: Basic " + hidden
	case "header":
		return a.name.render(c.masked()) + ": " + a.value.render(c.masked())
	case "login":
		return "Cookie: " + hidden
	case "standard-webhooks":
		return "Webhook-Id, Webhook-Timestamp, Webhook-Signature: " + hidden
	case "none":
		return ""
	}
	return "Authorization: Bearer " + hidden
}

func printed(r outgoing.Request, proof string) string {
	line := r.Method + " " + r.URL.String()
	var names []string
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		value := r.Header.Get(name)
		if name == "Authorization" { // only a sign-in has one here
			scheme, _, _ := strings.Cut(value, " ")
			value = scheme + " " + hidden
		}
		line += "\n    " + name + ": " + value
	}
	if proof != "" {
		line += "\n    " + proof
	}
	if len(r.Body) > 0 {
		line += "\n\n    " + string(r.Body)
	}
	return line
}
