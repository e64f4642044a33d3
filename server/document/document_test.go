package document_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cutoff/server/document"
)

func TestAFileIsReadStrictly(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"good", "name: x\ncount: 3\n", "[]"},
		{"unknown key", "name: x\nnope: 1\n", "2:1: unknown key"},
		{"repeated key", "name: x\nname: y\n", "2:1: key \"name\" is repeated"},
		{"a missing key", "count: 3\n", "1:1: name is missing"},
		{"an empty one", "name:\n", "1:1: name is missing"},
		{"an alias", "name: &a x\ncount: *a\n", "1:7: anchors"},
		{"a merge", "<<: {name: x}\n", "1:1: "},
		{"a second document", "name: x\n---\nname: y\n", "a second document"},
		{"a key that is a map", "{a: b}: c\nname: x\n", "1:1: a key must be a word"},
		{"a map for a text", "name: {a: b}\n", "1:7: want a text, have a map"},
		{"deep nesting", "name: " + strings.Repeat("[", 30) + strings.Repeat("]", 30) + "\n", "nested more than"},
		{"very deep nesting", "name: " + strings.Repeat("[", 20_000) + "\n", ":"},
		{"a bomb", "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "anchors and aliases"},
		{"too long", "name: x\n# " + strings.Repeat("x", 200_000), "1:1: file of"},
		{"not UTF-8", "name: \xff\n", "1:7: not UTF-8"},
		{"a zero byte", "name: \x00\n", ":"},
	}
	for _, c := range cases {
		file := document.Read([]byte(c.text), 100_000)
		fields := file.Root.Map("name", "count")
		file.Root.Need(fields, "name")
		_ = fields["name"].Text()
		_ = fields["count"].Int(0, 10, 0)
		if got := fmt.Sprint(file.Problems()); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %q", c.name, got, c.want)
		}
		for _, p := range file.Problems() {
			if p.Line < 1 || p.Column < 1 {
				t.Errorf("%s: a problem without its place: %v", c.name, p)
			}
		}
	}
}

func TestValuesAreReadByTheirType(t *testing.T) {
	file := document.Read([]byte("text: '3'\nnumber: 3\nyes: true\nwait: 90s\nlist: [a, b]\nnothing: ~\n"), 1000)
	f := file.Root.Map("text", "number", "yes", "wait", "list", "nothing")
	if f["text"].Text() != "3" || f["number"].Int(1, 5, 0) != 3 || !f["yes"].Bool(false) ||
		f["wait"].Duration(0, time.Hour, 0) != 90*time.Second || len(f["list"].List()) != 2 || f["list"].List()[1].Text() != "b" {
		t.Error("a value is not what it says")
	}
	if f["nothing"].Int(1, 5, 4) != 4 || f["absent"].Duration(0, time.Hour, time.Minute) != time.Minute || !f["absent"].Bool(true) ||
		f["absent"].Text() != "" || f["absent"].List() != nil || !f["nothing"].Missing() {
		t.Error("a missing value is not its fallback")
	}
	if problems := file.Problems(); len(problems) > 0 {
		t.Errorf("got %v", problems)
	}
	f["text"].Int(1, 5, 0)
	f["number"].Bool(false)
	f["yes"].Duration(0, time.Hour, 0)
	f["wait"].List()
	f["list"].Text()
	if problems := file.Problems(); len(problems) != 5 {
		t.Errorf("five values of the wrong type: got %v", problems)
	}
}

func TestAPlaceInsideATextIsOneInTheFile(t *testing.T) {
	cases := []struct {
		name, text   string
		line, column int
		want         string
	}{
		{"plain", "a: one two", 1, 4, "1:8"},
		{"quoted", "a: 'one two'", 1, 4, "1:9"},
		{"quoted with escapes", `a: "one\ttwo"`, 1, 4, "1:4"},
		{"a block", "a: |\n  one\n  two", 2, 1, "3:4"},
		{"a block further in", "a:\n  b: |-\n\n      one", 2, 0, "4:7"},
		{"a folded block", "a: >\n  one\n  two", 1, 5, "1:4"},
	}
	for _, c := range cases {
		file := document.Read([]byte(c.text), 1000)
		node := file.Root.Map("a")["a"]
		if node.Form() == document.Map {
			node = node.Map("b")["b"]
		}
		node.FaultAt(c.line, c.column, "here")
		if got := file.Problems(); len(got) != 1 || !strings.HasPrefix(got[0].String(), c.want+": ") {
			t.Errorf("%s: got %v, want %s", c.name, got, c.want)
		}
	}
}

func TestOnlySoManyProblemsAreReported(t *testing.T) {
	file := document.Read([]byte(strings.Repeat("- x\n", 1000)), 100_000)
	for _, n := range file.Root.List() {
		n.Fault("wrong")
	}
	if got := len(file.Problems()); got != 50 {
		t.Errorf("got %d", got)
	}
}
