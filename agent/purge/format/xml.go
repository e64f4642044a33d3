package format

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
)

// cutXML empties the selected elements and attributes. It reads well-formed XML
// without expanding an entity: a document type with declarations of its own is
// ErrSyntax. In a path names are without their prefix, attributes begin with @.
func cutXML(data []byte, all selectors) ([]span, error) {
	x := &xmlScanner{data: data, end: len(data), selectors: all}
	if err := x.content(); err != nil {
		return nil, err
	}
	if !x.root {
		return nil, x.bad("no element")
	}
	return merge(x.out), nil
}

type xmlScanner struct {
	data      []byte
	at, end   int
	root      bool
	comment   bool // in a comment
	selectors selectors
	path      []string
	elements  []element
	out       []span
}

// element is an open one.
type element struct {
	name       string
	attributes map[string]string
	how        strip
	from       int // of its content
}

func (x *xmlScanner) bad(what string) error {
	return fmt.Errorf("%w: offset %d: %s", ErrSyntax, x.at, what)
}

// attribute answers a selector's condition on an open element.
func (x *xmlScanner) attribute(i int, name string) (string, bool) {
	if i >= len(x.elements) {
		return "", false
	}
	value, ok := x.elements[i].attributes[strings.ToLower(name)]
	return value, ok
}

// content reads up to the end of the data.
func (x *xmlScanner) content() error {
	base := len(x.elements)
	for x.at < x.end {
		rest := x.data[x.at:x.end]
		next := bytes.IndexByte(rest, '<')
		switch {
		case next < 0:
			return x.tail(base)
		case next > 0:
			if err := x.text(x.at, x.at+next); err != nil {
				return err
			}
			x.at += next
			continue
		}
		var err error
		switch {
		case bytes.HasPrefix(rest, []byte("<!--")):
			err = x.commented()
		case bytes.HasPrefix(rest, []byte("<![CDATA[")):
			if len(x.elements) == 0 {
				return x.bad("text outside of the document")
			}
			_, err = x.past("<![CDATA[", "]]>")
		case bytes.HasPrefix(rest, []byte("<?")):
			_, err = x.past("<?", "?>")
		case bytes.HasPrefix(rest, []byte("<!DOCTYPE")):
			var declared []byte
			if declared, err = x.past("<!DOCTYPE", ">"); bytes.IndexByte(declared, '[') >= 0 {
				return x.bad("a document type with declarations")
			}
		case bytes.HasPrefix(rest, []byte("</")):
			err = x.close(base)
		default:
			err = x.open()
		}
		if err != nil {
			return err
		}
	}
	return x.tail(base)
}

// tail checks what is after the last tag.
func (x *xmlScanner) tail(base int) error {
	if err := x.text(x.at, x.end); err != nil {
		return err
	}
	if x.at = x.end; len(x.elements) > base {
		return x.bad("element without end")
	}
	return nil
}

func (x *xmlScanner) text(from, to int) error {
	if len(x.elements) == 0 && !x.comment && len(bytes.TrimSpace(x.data[from:to])) > 0 {
		return x.bad("text outside of the document")
	}
	return nil
}

// past passes over what begins and ends so, and returns what is between.
func (x *xmlScanner) past(begin, end string) ([]byte, error) {
	from := x.at + len(begin)
	i := bytes.Index(x.data[min(from, x.end):x.end], []byte(end))
	if i < 0 {
		return nil, x.bad("end is missing")
	}
	x.at = from + i + len(end)
	return x.data[from : from+i], nil
}

var xmlName = regexp.MustCompile(`^[^\s<>/=!?"'&;]+`)

func (x *xmlScanner) name() (string, error) {
	name := xmlName.Find(x.data[x.at:x.end])
	if name == nil {
		return "", x.bad("want a name")
	}
	x.at += len(name)
	return string(name), nil
}

// local is a name without its prefix.
func local(name string) string { return name[strings.IndexByte(name, ':')+1:] }

// open reads a start tag.
func (x *xmlScanner) open() error {
	if x.root && len(x.elements) == 0 && !x.comment {
		return x.bad("a second document")
	}
	if len(x.elements) >= MaxDepth {
		return x.bad("nested too deep")
	}
	x.root = true
	x.at++
	name, err := x.name()
	if err != nil {
		return err
	}
	x.path = append(x.path, local(name))
	values, err := x.attributes(name)
	if err != nil {
		return err
	}
	for _, v := range values {
		path := append(x.path[:len(x.path):len(x.path)], "@"+v.name)
		x.cut(x.selectors.matchExactly(path, x.attribute), v.from, v.to)
	}
	e := &x.elements[len(x.elements)-1]
	if x.data[x.at] == '/' {
		x.at++
		if x.at >= x.end || x.data[x.at] != '>' {
			return x.bad("want >")
		}
		x.at++
		x.pop()
		return nil
	}
	x.at++
	e.from, e.how = x.at, x.selectors.match(x.path, x.attribute)
	return nil
}

// value is where an attribute's value is.
type value struct {
	name     string
	from, to int
}

// attributes reads a start tag's attributes and makes the element an open one.
func (x *xmlScanner) attributes(name string) ([]value, error) {
	e := element{name: name, attributes: map[string]string{}}
	var values []value
	for {
		blank := x.at
		for x.at < x.end && space(x.data[x.at]) {
			x.at++
		}
		if x.at >= x.end {
			return nil, x.bad("tag without end")
		}
		if c := x.data[x.at]; c == '>' || c == '/' {
			x.elements = append(x.elements, e)
			return values, nil
		}
		if blank == x.at {
			return nil, x.bad("want a blank")
		}
		key, err := x.name()
		if err != nil {
			return nil, err
		}
		v, err := x.quoted()
		if err != nil {
			return nil, err
		}
		key = strings.ToLower(local(key))
		v.name = key
		e.attributes[key] = string(x.data[v.from:v.to])
		values = append(values, v)
	}
}

// quoted reads ="value".
func (x *xmlScanner) quoted() (value, error) {
	for x.at < x.end && (space(x.data[x.at]) || x.data[x.at] == '=') {
		if x.at++; x.data[x.at-1] == '=' {
			break
		}
	}
	for x.at < x.end && space(x.data[x.at]) {
		x.at++
	}
	if x.at >= x.end || x.data[x.at] != '"' && x.data[x.at] != '\'' {
		return value{}, x.bad("want a value in quotes")
	}
	from := x.at + 1
	i := bytes.IndexByte(x.data[from:x.end], x.data[x.at])
	if i < 0 || bytes.IndexByte(x.data[from:from+i], '<') >= 0 {
		return value{}, x.bad("value without end")
	}
	x.at = from + i + 1
	return value{from: from, to: from + i}, nil
}

// close reads an end tag.
func (x *xmlScanner) close(base int) error {
	from := x.at
	x.at += 2
	name, err := x.name()
	if err != nil {
		return err
	}
	for x.at < x.end && space(x.data[x.at]) {
		x.at++
	}
	if x.at >= x.end || x.data[x.at] != '>' {
		return x.bad("want >")
	}
	x.at++
	if len(x.elements) <= base || x.elements[len(x.elements)-1].name != name {
		return x.bad("not the element that is open")
	}
	e := x.elements[len(x.elements)-1]
	x.cut(e.how, e.from, from)
	x.pop()
	return nil
}

func (x *xmlScanner) pop() {
	x.elements, x.path = x.elements[:len(x.elements)-1], x.path[:len(x.path)-1]
}

func (x *xmlScanner) cut(how strip, from, to int) {
	switch {
	case how == keep || len(bytes.TrimSpace(x.data[from:to])) == 0:
	case how == whole:
		x.out = append(x.out, span{from: from, to: to})
	default:
		x.out = append(x.out, how.spans(x.data, from, to)...)
	}
}

// commented reads a comment: elements that were switched off are cut as they
// would be without it.
func (x *xmlScanner) commented() error {
	from := x.at + len("<!--")
	text, err := x.past("<!--", "-->")
	if err != nil {
		return err
	}
	within := &xmlScanner{data: x.data, at: from, end: from + len(text), comment: true, selectors: x.selectors,
		path: x.path[:len(x.path):len(x.path)], elements: x.elements[:len(x.elements):len(x.elements)]}
	if within.content() == nil {
		x.out = append(x.out, within.out...)
	} else if x.torn(text) {
		x.out = append(x.out, span{from: from, to: from + len(text)})
	}
	return nil
}

// torn reports whether what does not parse still holds a selected element.
func (x *xmlScanner) torn(comment []byte) bool {
	for _, s := range x.selectors {
		last := s.parts[len(s.parts)-1].key
		if s.strip == whole && !last.wild() && regexp.MustCompile(`(?i)<(?:[\w.-]+:)?`+last.quoted()+`(?:\s[^<>]*)?>\s*[^<\s]`).Match(comment) {
			return true
		}
	}
	return false
}
