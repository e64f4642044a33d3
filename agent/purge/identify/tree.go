package identify

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// leaf is one value of a structured file and the way to it. An empty object or
// list is a leaf without a value.
type leaf struct {
	path  []string
	value string
}

// maxLeaves and maxLevels bound what is looked at in one file.
const (
	maxLeaves = 50_000
	maxLevels = 64
)

// tree reads a file into leaves, leniently: what does not parse has none.
func tree(format string, content []byte) []leaf {
	content = bytes.TrimPrefix(content, []byte("\xEF\xBB\xBF"))
	var out []leaf
	switch format {
	case "json", "jsonc":
		var v any
		d := json.NewDecoder(bytes.NewReader(plainJSON(content)))
		d.UseNumber()
		if d.Decode(&v) == nil {
			out = grow(nil, nil, v)
		}
	case "yaml":
		var v any
		if yaml.Unmarshal(content, &v) == nil {
			out = grow(nil, nil, v)
		}
	case "toml":
		out = tomlTree(content)
	case "xml":
		out = xmlTree(content)
	case "ini":
		for _, s := range sections(content) {
			for _, key := range slices.Sorted(maps.Keys(s.keys)) {
				out = append(out, leaf{[]string{s.name, key}, s.keys[key]})
			}
		}
	case "properties", "dotenv", "npmrc":
		ends := map[string]string{"properties": "=:", "dotenv": "=", "npmrc": "="}[format]
		for raw := range strings.Lines(string(content)) {
			text := strings.TrimPrefix(strings.TrimSpace(raw), "export ")
			if i := strings.IndexAny(text, ends); i > 0 && text[0] != '#' && text[0] != ';' && text[0] != '!' {
				out = append(out, leaf{[]string{strings.TrimSpace(text[:i])}, unquote(text[i+1:])})
			}
		}
	}
	return out
}

// grow turns a decoded value into leaves, keys in order.
func grow(out []leaf, at []string, v any) []leaf {
	if len(out) >= maxLeaves || len(at) > maxLevels {
		return out
	}
	deeper := func(key string, v any) {
		out = grow(out, append(slices.Clip(slices.Clone(at)), key), v)
	}
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			deeper(key, v[key])
		}
		if len(v) > 0 {
			return out
		}
	case map[any]any:
		for key, value := range v {
			deeper(fmt.Sprint(key), value)
		}
		if len(v) > 0 {
			return out
		}
	case []any:
		for i, value := range v {
			deeper(strconv.Itoa(i), value)
		}
		if len(v) > 0 {
			return out
		}
	case string:
		return append(out, leaf{at, v})
	case nil:
	default:
		return append(out, leaf{at, fmt.Sprint(v)})
	}
	return append(out, leaf{path: at})
}

// plainJSON takes comments and commas before an end out of an editor's dialect
// of JSON.
func plainJSON(content []byte) []byte {
	if json.Valid(content) {
		return content
	}
	out := make([]byte, 0, len(content))
	for i := 0; i < len(content); i++ {
		switch rest := content[i:]; {
		case content[i] == '"':
			end := quoteEnd(rest)
			out = append(out, rest[:end]...)
			i += end - 1
		case bytes.HasPrefix(rest, []byte("//")):
			if end := bytes.IndexByte(rest, '\n'); end >= 0 {
				i += end - 1
			} else {
				i = len(content)
			}
		case bytes.HasPrefix(rest, []byte("/*")):
			if end := bytes.Index(rest, []byte("*/")); end >= 0 {
				i += end + 1
			} else {
				i = len(content)
			}
		case content[i] == '}' || content[i] == ']':
			out = append(bytes.TrimSuffix(bytes.TrimRight(out, " \t\r\n"), []byte(",")), content[i])
		default:
			out = append(out, content[i])
		}
	}
	return out
}

// quoteEnd is the length of the quoted text that rest begins with.
func quoteEnd(rest []byte) int {
	for i := 1; i < len(rest); i++ {
		switch rest[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(rest)
}

// tomlTree reads tables and one-line values, which is how tools write their
// credentials; what spans lines it passes over.
func tomlTree(content []byte) []leaf {
	var (
		out   []leaf
		table []string
	)
	for raw := range strings.Lines(string(content)) {
		text := strings.TrimSpace(raw)
		switch {
		case text == "" || text[0] == '#':
		case text[0] == '[':
			inner, _, _ := strings.Cut(strings.TrimLeft(text, "["), "]")
			table = dotted(inner)
		default:
			key, value, ok := strings.Cut(text, "=")
			if ok && len(out) < maxLeaves {
				out = append(out, leaf{append(slices.Clone(table), dotted(key)...), unquote(value)})
			}
		}
	}
	return out
}

// dotted splits a TOML key at dots outside of quotes.
func dotted(key string) []string {
	var (
		out   []string
		part  strings.Builder
		quote rune
	)
	for _, r := range strings.TrimSpace(key) {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote = r
		case quote == 0 && r == '.':
			out = append(out, strings.TrimSpace(part.String()))
			part.Reset()
		default:
			part.WriteRune(r)
		}
	}
	return append(out, strings.TrimSpace(part.String()))
}

// unquote takes a value out of its quotes, or what is before a comment.
func unquote(value string) string {
	value = strings.TrimSpace(value)
	if value != "" && (value[0] == '"' || value[0] == '\'') {
		if end := strings.IndexByte(value[1:], value[0]); end >= 0 {
			return value[1 : 1+end]
		}
	}
	value, _, _ = strings.Cut(value, " #")
	return strings.TrimSpace(value)
}

// xmlTree has a leaf for each text, and for each attribute under its own name.
func xmlTree(content []byte) []leaf {
	var (
		out  []leaf
		path []string
	)
	d := xml.NewDecoder(bytes.NewReader(content))
	for len(out) < maxLeaves {
		token, err := d.Token()
		if err != nil {
			break
		}
		switch t := token.(type) {
		case xml.StartElement:
			if path = append(path, t.Name.Local); len(path) > maxLevels {
				return out
			}
			for _, a := range t.Attr {
				out = append(out, leaf{append(slices.Clone(path), a.Name.Local), a.Value})
			}
			out = append(out, leaf{path: slices.Clone(path)})
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if text := strings.TrimSpace(string(t)); text != "" && len(path) > 0 {
				out = append(out, leaf{slices.Clone(path), text})
			}
		}
	}
	return out
}
