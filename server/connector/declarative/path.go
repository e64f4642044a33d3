package declarative

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"cutoff/server/document"
)

// jsonPath names a place in a JSON document: "$", "user.emails.0.value", or
// with any name in brackets: meta["urn:x:2.0"].
type jsonPath []string

func parsePath(n document.Node, text string) jsonPath {
	if text == "$" {
		return jsonPath{}
	}
	var p jsonPath
	rest := strings.TrimPrefix(text, "$.")
	for rest != "" {
		if strings.HasPrefix(rest, `["`) {
			end := strings.Index(rest, `"]`)
			if end < 0 {
				n.Fault("%q: [\" is not closed by \"]", text)
				return nil
			}
			p = append(p, rest[2:end])
			rest = strings.TrimPrefix(rest[end+2:], ".")
			continue
		}
		end := strings.IndexAny(rest, ".[")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 {
			n.Fault("%q is not a path into an answer", text)
			return nil
		}
		p = append(p, rest[:end])
		rest = strings.TrimPrefix(rest[end:], ".")
	}
	if len(p) == 0 || len(p) > 16 {
		n.Fault("%q is not a path into an answer", text)
		return nil
	}
	return p
}

// find walks doc; false if there is no such place.
func (p jsonPath) find(doc any) (any, bool) {
	for _, step := range p {
		switch d := doc.(type) {
		case map[string]any:
			v, ok := d[step]
			if !ok {
				return nil, false
			}
			doc = v
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(d) {
				return nil, false
			}
			doc = d[i]
		default:
			return nil, false
		}
	}
	return doc, true
}

// errAnswer says that an answer is not what the file expects; it never holds
// any of it.
var errAnswer = errors.New("answer-malformed")

// decode reads one JSON document of bounded depth (encoding/json's own limit).
func decode(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var doc any
	if err := d.Decode(&doc); err != nil {
		return nil, errAnswer
	}
	if d.More() {
		return nil, errAnswer
	}
	return doc, nil
}

// scalar is v as text; false if v is an object, a list or absent.
func scalar(v any) (string, bool) {
	switch s := v.(type) {
	case string:
		return s, true
	case json.Number:
		return s.String(), true
	case bool:
		return strconv.FormatBool(s), true
	default:
		return "", false
	}
}

// items returns the list at path.
func (p jsonPath) items(doc any) ([]any, error) {
	got, ok := p.find(doc)
	if !ok {
		return nil, errAnswer
	}
	list, ok := got.([]any)
	if !ok {
		return nil, fmt.Errorf("%w: no list", errAnswer)
	}
	return list, nil
}
