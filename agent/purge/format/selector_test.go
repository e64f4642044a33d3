package format

import (
	"strings"
	"testing"
)

func TestWhatASelectorSelects(t *testing.T) {
	const attribute = "k" // of every path's element, "Password"
	cases := []struct {
		format, selector, path string
		want                   strip
	}{
		{"json", "a.b", "a b", whole},
		{"json", "a.b", "a", keep},
		{"json", "a.b", "a b c", whole},
		{"json", "a.b", "b", keep},
		{"json", "a.*.b", "a x b", whole},
		{"json", "a.*.b", "a b", keep},
		{"json", "a.0", "a 0", whole},
		{"json", "a.0", "a 1", keep},
		{"json", "**.b", "b", whole},
		{"json", "**.b", "x 0 y b", whole},
		{"json", "a.**.b", "a b", whole},
		{"json", "a.**.b", "a x b", whole},
		{"json", "a.**.b", "x a b", keep},
		{"json", "a.**.b.**.c", "a b x b c", whole},
		{"json", "*pass*", "MyPassword", whole},
		{"json", "*pass*", "compass", whole},
		{"json", "*pass*word", "pass", keep},
		{"json", "a*b*c", "abcbc", whole},
		{"json", "aa*aa", "aaa", keep},
		{"json", "Token", "tOKEN", whole},
		{"json", `git\.token`, "git.token", whole},
		{"json", `git\.token`, "git token", keep},
		{"json", `a\*`, "a*", whole},
		{"json", `a\*`, "ab", keep},
		{"json", `a\|userinfo`, "a|userinfo", whole},
		{"yaml", "urls.*|userinfo", "urls 3", userinfo},
		{"yaml", "urls | userinfo", "urls 3", userinfo},
		{"yaml", "channels|path-token", "channels", segment},
		{"xml", "a.b.@p", "a b @p", whole},
		{"xml", "a.add[k=*word].@value", "a add @value", whole},
		{"xml", "a.add[k=user].@value", "a add @value", keep},
		{"xml", "a.add[other=*word].@value", "a add @value", keep},
		{"properties", "*.pass*", "systemProp.http.password", whole},
		{"dotenv", "*", "ANY", whole},
		{"lines", "AGE-SECRET-KEY-*", "AGE-SECRET-KEY-1QQ", whole},
		{"lines", "AGE-SECRET-KEY-*", "# AGE-SECRET-KEY-1QQ", keep},
		{"ini", "default.key", "default key", whole},
	}
	of := func(_ int, name string) (string, bool) { return "Password", name == attribute }
	for _, c := range cases {
		all, err := parse(grammars[c.format], []string{c.selector})
		if err != nil {
			t.Errorf("%s %s: %v", c.format, c.selector, err)
			continue
		}
		if got := all.match(strings.Fields(strings.ReplaceAll(c.path, "# ", "#")), of); got != c.want {
			t.Errorf("%s: %q on %q: got %d, want %d", c.format, c.selector, c.path, got, c.want)
		}
	}
}

func TestTheFirstToTakeAllDecides(t *testing.T) {
	all, err := parse(grammars["json"], []string{"*|userinfo", "a"})
	if err != nil {
		t.Fatal(err)
	}
	if got := all.match([]string{"a"}, nil); got != whole {
		t.Errorf("got %d", got)
	}
}

func TestAKeyOfAnySectionIsNoSection(t *testing.T) {
	all, err := parse(grammars["ini"], []string{"token", "auth.key"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		section, key string
		want         strip
	}{{"a", "token", whole}, {"token", "a", keep}, {"auth", "key", whole}, {"b", "key", keep}} {
		if got := all.inSection(c.section, c.key); got != c.want {
			t.Errorf("[%s] %s: got %d", c.section, c.key, got)
		}
	}
}

func TestWhatNoSelectorMayBe(t *testing.T) {
	for _, c := range []struct{ format, selector, want string }{
		{"plist", "a", "unsupported"},
		{"json", "", "empty part"},
		{"json", "a..b", "empty part"},
		{"json", "a.**", "everything"},
		{"json", "a|lower", "unknown word"},
		{"json", "a[b=c]", "no conditions"},
		{"ini", "a.b.c", "at most 2"},
		{"ini", "**.b", "no **"},
		{"xml", "a[b]", "want [name=pattern]"},
		{"xml", "a[=b]", "want [name=pattern]"},
		{"lines", "*", "everything"},
		{"lines", "", "everything"},
		{"lines", "a ... ", "block"},
		{"lines", "a ... b|userinfo", "block"},
		{"sqlite", "ItemTable", "rows, never a whole table"},
		{"sqlite", "ItemTable[key=*]", "rows, never a whole table"},
		{"sqlite", "ItemTable[key=a].value", "at most 1"},
		{"sqlite", "ItemTable[key=a]|userinfo", "unknown word"},
	} {
		err := Check(c.format, []string{c.selector})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: got %v, want %q", c.format, c.selector, err, c.want)
		}
	}
	for format, selector := range map[string]string{
		"sqlite": "ItemTable[key=secret://*]", "xml": "FileZilla3.**.Server.Pass", "lines": "-----BEGIN *KEY----- ... -----END *KEY-----",
	} {
		if err := Check(format, []string{selector}); err != nil {
			t.Errorf("%s %s: %v", format, selector, err)
		}
	}
}
