package catalogue_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"cutoff/agent/purge/catalogue"
)

const browser = `id: fast
product: Fast Browser
confidence: unconfirmed
holders: [fast]
flatpak: [org.example.Fast]
snap: [fast]
engines:
  - engine: chromium
    bases:
      linux: [$XDG_CONFIG_HOME/fast]
      windows: [$LOCALAPPDATA/Fast]
`

func TestAProductOfAnEngineIsItsFoldersAndNothingMore(t *testing.T) {
	from := fstest.MapFS{"product/fast.yaml": {Data: []byte(browser)}}
	all, err := catalogue.LoadFrom(from, "linux")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(c catalogue.Credential) bool { return c.ID == "fast-cookies" })
	if i < 0 {
		t.Fatalf("no cookies among %d credentials", len(all))
	}
	c := all[i]
	if c.Product != "fast" || c.Confidence != "unconfirmed" || !slices.Equal(c.Holders, []string{"fast"}) {
		t.Errorf("got %s %s %v", c.Product, c.Confidence, c.Holders)
	}
	for _, want := range []string{"$XDG_CONFIG_HOME/fast/*/Cookies", "$XDG_CONFIG_HOME/fast/*/Network/Cookies"} {
		if !slices.Contains(c.Paths, want) {
			t.Errorf("%s is not among %v", want, c.Paths)
		}
	}
	for _, want := range []string{"~/.var/app/org.example.Fast/config/fast/*/Cookies", "~/snap/fast/*/.config/fast/*/Cookies", "~/snap/fast/common/fast/*/Cookies"} {
		if !slices.Contains(c.Elsewhere(everywhere), want) {
			t.Errorf("%s is not among %v", want, c.Elsewhere(everywhere))
		}
	}
	if slices.ContainsFunc(all, func(c catalogue.Credential) bool { return c.ID == "fast-key" }) {
		t.Error("a file of Windows is looked for on Linux")
	}
}

func TestMistakesWithEnginesAreNamed(t *testing.T) {
	for _, c := range []struct{ name, from, to, want string }{
		{"an engine that is none", "engine: chromium", "engine: steam", `no engine "steam"`},
		{"an engine without bases", "    bases:\n      linux: [$XDG_CONFIG_HOME/fast]\n      windows: [$LOCALAPPDATA/Fast]\n", "", `key "bases" is missing`},
		{"a base from nowhere", "[$XDG_CONFIG_HOME/fast]", "[fast]", "want a path that begins with"},
		{"a sandbox that leads out", "snap: [fast]", "snap: [../fast]", "want the id or name of an application"},
		{"neither engines nor credentials", browser[strings.Index(browser, "engines:"):], "", `key "credentials" is missing`},
		{"files of a product", "engines:", "credentials:\n  - {id: x, what: X, danger: 3, files: [a], action: delete, regain: none}\nengines:", "files are an engine's"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := catalogue.Parse("fast.yaml", []byte(strings.Replace(browser, c.from, c.to, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestTwoProductsOfOneEngineShareNoID(t *testing.T) {
	from := fstest.MapFS{"product/a.yaml": {Data: []byte(browser)}, "product/b.yaml": {Data: []byte(browser)}}
	if _, err := catalogue.LoadFrom(from, "linux"); err == nil || !strings.Contains(err.Error(), "is used in a.yaml already") {
		t.Errorf("got %v", err)
	}
}
