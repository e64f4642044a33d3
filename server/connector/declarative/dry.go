package declarative

import (
	"net/url"
	"slices"
	"strings"

	"cutoff/server/revoke"
)

// Requests prints the requests a step would send, in order, without sending
// any. What a look-up would find stands as <name.variable>, the connector's
// own credentials as <auth>.
func (c *Connector) Requests(s revoke.Step) []string {
	st := c.find(s)
	if st == nil {
		return nil
	}
	v := c.values(s)
	var lines []string
	if c.spec.auth.kind == "login" {
		lines = append(lines, "sign in: "+c.spec.auth.call.method+" "+c.print(c.spec.auth.call, c.authValues(), nil))
	}
	for _, l := range st.lookUps {
		lines = append(lines, "look up "+l.name+": "+l.call.method+" "+c.print(l.call, v, l.page))
		for _, t := range l.take {
			v[t.variable] = "<" + t.variable + ">"
		}
	}
	lines = append(lines, "act: "+st.act.call.method+" "+c.print(st.act.call, v, nil))
	if st.confirm != nil && c.spec.has(st.confirm.unless) {
		lines = append(lines, "confirm: "+st.confirm.call.method+" "+c.print(st.confirm.call, v, st.confirm.page))
	}
	return lines
}

func (c *Connector) print(k call, v values, p *page) string {
	var more url.Values
	if p != nil {
		more = url.Values{p.from: {"0"}, p.size: {"…"}}
	}
	r, err := k.request(c.spec.bases, v, more)
	if err != nil {
		return "(not sent: " + err.Error() + ")"
	}
	line := r.URL.String()
	var names []string
	for name := range r.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		line += "\n    " + name + ": " + r.Header.Get(name)
	}
	if a := c.spec.auth.kind; a != "none" && a != "login" {
		line += "\n    <auth: " + a + ">"
	}
	if len(r.Body) > 0 {
		text := string(r.Body)
		for _, secret := range c.secrets {
			text = strings.ReplaceAll(text, secret, "<secret>")
		}
		line += "\n\n    " + text
	}
	return line
}
