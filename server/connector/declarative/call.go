package declarative

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"cutoff/server/connector/outgoing"
	"cutoff/server/document"
)

// call is one request as the file writes it.
type call struct {
	method  string
	address address
	headers []namedTemplate
	form    []namedTemplate
	json    *body
}

type namedTemplate struct {
	name  string
	value template
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}

// call reads the keys of a request from m, which stands at n.
func (f *file) call(n document.Node, m map[string]document.Node) call {
	var c call
	text := m["call"].Text()
	if text == "" {
		return c
	}
	method, rest, ok := strings.Cut(text, " ")
	if !ok || !slices.Contains(methods, method) {
		m["call"].Fault("want a method and an address, like GET {base}/users (methods: %s)", strings.Join(methods, ", "))
		return c
	}
	c.method = method
	c.address = parseAddress(m["call"], rest, len(method)+1)
	if base := c.address.base.variables(); len(base) == 1 && f.spec.bases[base[0]] == nil {
		if text, left := f.spec.settings[base[0]]; !left || text != "" {
			m["call"].FaultAt(1, len(method)+1, "there is no address {%s} among the settings", base[0])
		}
	}
	f.vet(c.address.templates()...)
	for _, e := range m["headers"].Entries() {
		if !validHeader(e.Key) {
			e.At.Fault("%q is not a header's name", e.Key)
		}
		c.headers = append(c.headers, namedTemplate{e.Key, f.template(e.Value)})
	}
	for _, e := range m["form"].Entries() {
		c.form = append(c.form, namedTemplate{e.Key, f.template(e.Value)})
	}
	if j := m["json"]; j.Form() != document.Absent {
		b := parseBody(j)
		f.vet(b.templates()...)
		c.json = &b
		if len(c.form) > 0 {
			j.Fault("a request has one body: json or form")
		}
	}
	return c
}

func validHeader(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		letter := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !letter && r != '-' && r != '_'
	})
}

// request renders the call; an error is errUnsafe.
func (c call) request(bases map[string]*url.URL, v values, more url.Values) (outgoing.Request, error) {
	u, err := c.address.url(bases, v, more)
	if err != nil {
		return outgoing.Request{}, err
	}
	r := outgoing.Request{Method: c.method, URL: u, Header: http.Header{"Accept": {"application/json"}}}
	switch {
	case c.json != nil:
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(c.json.value(v)); err != nil {
			return outgoing.Request{}, errUnsafe{"json", "unsafe-value"}
		}
		r.Body = bytes.TrimSuffix(b.Bytes(), []byte("\n"))
		r.Header.Set("Content-Type", "application/json")
	case len(c.form) > 0:
		form := url.Values{}
		for _, t := range c.form {
			form.Set(t.name, t.value.render(v))
		}
		r.Body = []byte(form.Encode())
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, t := range c.headers {
		s, err := t.value.header(v)
		if err != nil {
			return outgoing.Request{}, err
		}
		r.Header.Set(t.name, s)
	}
	return r, nil
}
