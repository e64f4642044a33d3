package sqlite

import (
	"slices"
	"strings"
)

// object is a row of the schema.
type object struct {
	kind, name, table string
	root              uint32
	sql               string
}

// schema reads and claims the first tree.
func (m *image) schema() ([]object, error) {
	var out []object
	err := m.walk(1, true, func(_ node, c cell) error {
		p, err := m.all(c)
		if err != nil {
			return err
		}
		fields, err := record(p)
		if err != nil || len(fields) < 5 {
			return bad("schema")
		}
		var texts [5]string
		for i, f := range fields[:5] {
			texts[i], _ = f.text(m.encodedIn())
		}
		root, _ := fields[3].integer()
		if root < 0 || root > int64(m.pages) {
			return bad("schema")
		}
		out = append(out, object{kind: texts[0], name: texts[1], table: texts[2], root: uint32(root), sql: texts[4]})
		return nil
	}, func(node, uint32) error { return nil })
	return out, err
}

// column finds a column's place in the records of a table by its statement.
func (o object) column(name string) (int, error) {
	t := tokens(o.sql)
	for len(t) > 0 && t[0] != "(" {
		t = t[1:]
	}
	if len(t) == 0 {
		return 0, bad("table %s", "without columns")
	}
	at, place := 0, -1
	depth := 0
	var def []string
	for i, w := range t {
		switch w {
		case "(":
			if depth++; depth == 1 {
				continue
			}
		case ")":
			depth--
		}
		if depth == 0 || depth == 1 && w == "," {
			stored, constraint := defines(def)
			if !constraint && len(def) > 0 && stored {
				if strings.EqualFold(bare(def[0]), name) {
					place = at
				}
				at++
			}
			def = nil
			if depth > 0 {
				continue
			}
			if slices.ContainsFunc(t[i:], func(w string) bool { return strings.EqualFold(w, "without") }) {
				return 0, bad("a table without row numbers")
			}
			return place, nil
		}
		def = append(def, w)
	}
	return 0, bad("table without end")
}

// defines tells a stored column from a computed one and from a constraint.
func defines(def []string) (stored, constraint bool) {
	if len(def) == 0 {
		return false, false
	}
	switch strings.ToUpper(def[0]) {
	case "CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN":
		return false, true
	}
	for i, w := range def {
		if i > 0 && strings.EqualFold(w, "as") && i+1 < len(def) && def[i+1] == "(" {
			return slices.ContainsFunc(def[i:], func(w string) bool { return strings.EqualFold(w, "stored") }), false
		}
	}
	return true, false
}

// bare is a name without its quotes.
func bare(w string) string {
	if len(w) >= 2 && strings.IndexByte("\"`['", w[0]) >= 0 {
		end := w[len(w)-1:]
		return strings.ReplaceAll(w[1:len(w)-1], end+end, end)
	}
	return w
}

// tokens splits a statement into words, quoted names and marks.
func tokens(sql string) []string {
	var out []string
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case strings.IndexByte(" \t\n\r\f", c) >= 0:
			i++
		case strings.HasPrefix(sql[i:], "--"):
			i += ended(sql[i:], "\n", 2)
		case strings.HasPrefix(sql[i:], "/*"):
			i += ended(sql[i:], "*/", 2)
		case strings.IndexByte("\"`'", c) >= 0:
			n := 1
			for {
				n = ended(sql[i:], string(c), n)
				if i+n >= len(sql) || sql[i+n] != c {
					break
				}
				n++
			}
			out = append(out, sql[i:i+n])
			i += n
		case c == '[':
			n := ended(sql[i:], "]", 1)
			out = append(out, sql[i:i+n])
			i += n
		case word(c):
			n := 1
			for i+n < len(sql) && word(sql[i+n]) {
				n++
			}
			out = append(out, sql[i:i+n])
			i += n
		default:
			out = append(out, string(c))
			i++
		}
	}
	return out
}

func word(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// ended is the length of text up to the end of the first mark after from.
func ended(text, mark string, from int) int {
	if i := strings.Index(text[min(from, len(text)):], mark); i >= 0 {
		return from + i + len(mark)
	}
	return len(text)
}
