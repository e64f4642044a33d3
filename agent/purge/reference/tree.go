package reference

import (
	"fmt"
	"slices"
	"strings"
)

// node is a value of a document with nesting: a text, a list or a table.
type node struct {
	text  string
	keys  []string
	under map[string]*node
	list  bool
}

// tree makes a document's values: one for each selector, and others beside
// them that no selector has. lists: a star may stand for a place in a list.
func (d *document) tree(lists bool) *node {
	root := &node{under: map[string]*node{}}
	root.put([]string{"comment"}, d.stay())
	d.each(func(selector, value string) {
		at := root
		parts := split(selector)
		for i, p := range parts {
			last := i == len(parts)-1
			switch {
			case at.under == nil:
				return // another selector's text stands here
			case p == "**":
				for range d.m.rand.IntN(3) {
					if at = at.table(d.m.word(), false); at == nil {
						return
					}
				}
				continue
			case p == "*" && len(at.keys) == 0 && lists && d.m.rand.IntN(2) == 0:
				at.list = true
			}
			key := d.flat(p)
			if one := at.tables(); p == "*" && len(one) > 0 && !at.list && d.m.rand.IntN(2) == 0 {
				key = one[d.m.rand.IntN(len(one))]
			}
			if at.list {
				key = fmt.Sprint(len(at.keys))
				if p != "*" {
					return
				}
			}
			if last {
				at.put([]string{key}, value)
				return
			}
			if at = at.table(key, false); at == nil {
				return
			}
		}
	})
	d.beside(root, nil)
	return root
}

// beside puts what stays into every table.
func (d *document) beside(n *node, at []string) {
	for _, k := range n.keys {
		if below := n.under[k]; below.under != nil {
			d.beside(below, append(at[:len(at):len(at)], k))
		}
	}
	name := []string{"region", "created", "label", "mode"}[d.m.rand.IntN(4)]
	if !n.list && !d.selected(append(at[:len(at):len(at)], name)) {
		n.put([]string{name}, d.stay())
	}
}

// tables are the keys of what is nested.
func (n *node) tables() []string {
	return slices.DeleteFunc(slices.Clone(n.keys), func(k string) bool { return n.under[k].under == nil })
}

func (n *node) table(key string, list bool) *node {
	if n.under[key] == nil {
		n.keys = append(n.keys, key)
		n.under[key] = &node{under: map[string]*node{}, list: list}
	}
	if n.under[key].under == nil {
		return nil
	}
	return n.under[key]
}

func (n *node) put(at []string, text string) {
	if n.under[at[0]] == nil {
		n.keys = append(n.keys, at[0])
		n.under[at[0]] = &node{text: text}
	}
}

func writeJSON(comments bool) func(*document) string {
	return func(d *document) string {
		indent := []string{"", "  ", "\t"}[d.m.rand.IntN(3)]
		var b strings.Builder
		if comments {
			b.WriteString("// mine\n")
		}
		jsonNode(&b, d.tree(true), indent, "\n", comments)
		if d.m.rand.IntN(2) == 0 {
			b.WriteByte('\n')
		}
		return b.String()
	}
}

func jsonNode(b *strings.Builder, n *node, indent, line string, comments bool) {
	if n.under == nil {
		fmt.Fprintf(b, "%q", n.text)
		return
	}
	open, shut := "{", "}"
	if n.list {
		open, shut = "[", "]"
	}
	inner := line + indent
	if indent == "" {
		line, inner = "", ""
	}
	b.WriteString(open)
	for i, k := range n.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(inner)
		if !n.list {
			fmt.Fprintf(b, "%q: ", k)
		}
		jsonNode(b, n.under[k], indent, inner, comments)
		if comments && indent != "" {
			b.WriteString(" /* set by hand */")
		}
	}
	b.WriteString(line + shut)
}

func writeYAML(d *document) string {
	var b strings.Builder
	b.WriteString("# set by hand\n")
	yamlNode(&b, d, d.tree(true), "")
	return b.String()
}

func yamlNode(b *strings.Builder, d *document, n *node, indent string) {
	for _, k := range n.keys {
		v := n.under[k]
		head := indent + fmt.Sprintf("%q:", k)
		if plain(k) {
			head = indent + k + ":"
		}
		if n.list {
			head = indent + "-"
		}
		switch {
		case v.under == nil && d.m.rand.IntN(2) == 0:
			fmt.Fprintf(b, "%s %q # a note\n", head, v.text)
		case v.under == nil:
			fmt.Fprintf(b, "%s %s\n", head, v.text)
		case len(v.keys) == 0:
			fmt.Fprintf(b, "%s {}\n", head)
		case n.list && !v.list: // "- first: …" and the others below it
			var inner strings.Builder
			yamlNode(&inner, d, v, indent+"  ")
			b.WriteString(head + " " + strings.TrimPrefix(inner.String(), indent+"  "))
		default:
			b.WriteString(head + "\n")
			yamlNode(b, d, v, indent+"  ")
		}
	}
}

func plain(key string) bool {
	return key != "" && strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == "" && key[0] > '9'
}

func writeTOML(d *document) string {
	var b strings.Builder
	b.WriteString("# set by hand\n")
	tomlNode(&b, d.tree(false), "")
	return b.String()
}

func tomlNode(b *strings.Builder, n *node, at string) {
	for _, k := range n.keys {
		if v := n.under[k]; v.under == nil {
			fmt.Fprintf(b, "%s = %q\n", tomlKey(k), v.text)
		}
	}
	for _, k := range n.keys {
		if v := n.under[k]; v.under != nil {
			name := tomlKey(k)
			if at != "" {
				name = at + "." + name
			}
			fmt.Fprintf(b, "\n[%s]\n", name)
			tomlNode(b, v, name)
		}
	}
}

func tomlKey(k string) string {
	if plain(k) {
		return k
	}
	return fmt.Sprintf("%q", k)
}
