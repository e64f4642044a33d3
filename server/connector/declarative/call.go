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
	c.method, c.address = method, f.address(m["call"], rest, len(method)+1)
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

// address reads an address that begins with one of the settings.
func (f *file) address(n document.Node, text string, at int) address {
	if text == "" {
		return address{}
	}
	a := parseAddress(n, text, at)
	if base := a.base.variables(); len(base) == 1 && f.spec.bases[base[0]] == nil {
		if text, left := f.spec.settings[base[0]]; !left || text != "" {
			n.FaultAt(1, at, "there is no address {%s} among the settings", base[0])
		}
	}
	f.vet(a.templates()...)
	return a
}

// templates are all of the request's but its base.
func (c call) templates() []template {
	list := c.address.templates()
	for _, t := range append(c.headers, c.form...) {
		list = append(list, t.value)
	}
	if c.json != nil {
		list = append(list, c.json.templates()...)
	}
	return list
}

func validHeader(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		letter := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		return !letter && r != '-' && r != '_'
	})
}

// request renders the call, for the next part of a list if more or at say so;
// an error is errUnsafe.
func (c call) request(s *spec, v values, more url.Values, at *nextAddress) (outgoing.Request, error) {
	inForm := len(c.form) > 0
	var query url.Values
	if !inForm {
		query = more
	}
	u, err := c.address.url(s, v, query)
	if err == nil && at != nil {
		u, err = at.from(u)
	}
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
	case inForm:
		form := url.Values{}
		for _, t := range c.form {
			text, skip, err := s.field(t.value, v)
			if err != nil {
				return outgoing.Request{}, err
			}
			if !skip {
				form.Set(t.name, text)
			}
		}
		for k := range more {
			form.Set(k, more.Get(k))
		}
		r.Body = []byte(form.Encode())
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, t := range c.headers {
		text, err := t.value.header(v)
		if err != nil {
			return outgoing.Request{}, err
		}
		if text != "" { // of a setting that was left out
			r.Header.Set(t.name, text)
		}
	}
	return r, nil
}

// field renders a parameter of a query or a form. One that stands for a
// setting that was left out is left out, too; any other that is empty is
// refused: a filter for nobody finds everybody.
func (s *spec) field(t template, v values) (text string, skip bool, err error) {
	for _, p := range t.parts {
		if p.variable == "" || p.value(v) != "" {
			continue
		}
		if _, setting := s.settings[p.variable]; setting {
			return "", true, nil
		}
		return "", false, errUnsafe{p.variable, "empty-value"}
	}
	return t.render(v), false, nil
}
