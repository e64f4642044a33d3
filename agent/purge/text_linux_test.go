package purge_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"cutoff/agent/purge"
	"cutoff/agent/purge/catalogue"
	"cutoff/platform/platformtest"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// token is one that a machine made, as no scanner of this repository is meant
// to find it.
var token = "ghp_" + strings.Repeat("xY7bQ2mN4", 4)

// code is a home with a work tree: what somebody wrote, and secrets in it.
func code(t *testing.T) (*bench, platformtest.User) {
	t.Helper()
	u := user("alice")
	b := newBench(t, u)
	for name, content := range map[string]string{
		"src/app/main.go":                 "package main\n\nconst t = \"" + token + "\"\n",
		"src/app/again.go":                strings.Repeat("// nothing\n", 40) + "var u = \"" + token + "\" // and " + token + "\n",
		"src/app/.env":                    "PORT=1\nAPI_TOKEN=" + token + "\n",
		"src/app/.env.example":            "API_TOKEN=\n",
		"src/app/README.md":               "Nothing to see.\n",
		"src/app/node_modules/x/index.js": "t = '" + token + "'\n",
		"src/app/password.py":             "password = \"q7W3z9Lk2M8x4V6b1N5c\"\n",
		"elsewhere/main.go":               "const t = \"" + token + "\"\n",
	} {
		b.root.File(u, u.Home+"/"+name, content)
	}
	b.config.Scope = func() catalogue.Scope {
		return catalogue.Scope{Version: "1", WorkTrees: []string{"~/src"}, FingerprintKey: make([]byte, 32)}
	}
	return b, u
}

// finds are "path rule" of what was found in text.
func finds(items []*cutoffv1.Item, u platformtest.User) []string {
	var out []string
	for _, i := range items {
		if i.GetProduct() == "text" {
			out = append(out, strings.TrimPrefix(i.GetPath(), u.Home+"/")+" "+valueOf(i, "secret-rule"))
		}
	}
	slices.Sort(out)
	return out
}

func valueOf(i *cutoffv1.Item, kind string) string {
	for _, id := range i.GetIdentifiers() {
		if id.GetKind() == kind {
			return id.GetValue()
		}
	}
	return ""
}

func TestSecretsInTextAreListedWhereTheyStand(t *testing.T) {
	b, u := code(t)
	items := b.plan()
	want := []string{"src/app/again.go:41 github-pat", "src/app/main.go:3 github-pat", "src/app/password.py:1 generic-api-key"}
	if got := finds(items, u); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	h := hmac.New(sha256.New, make([]byte, 32))
	h.Write([]byte(token))
	print := hex.EncodeToString(h.Sum(nil)[:12])
	for _, i := range items {
		if i.GetProduct() != "text" {
			continue
		}
		want := print
		if strings.HasSuffix(i.GetPath(), "password.py:1") {
			want = "" // a password could be guessed from its fingerprint
		}
		if got := valueOf(i, "token-hmac"); got != want {
			t.Errorf("%s: fingerprint %q, want %q", i.GetPath(), got, want)
		}
		if strings.Contains(i.String(), token[8:]) {
			t.Errorf("%s holds the token", i.GetPath())
		}
	}
}

func TestAPurgeTakesOnlyWhatAnEntryNamesOutOfWorkTrees(t *testing.T) {
	b, u := code(t)
	before := platformtest.Take(t, b.root.Dir)
	r := b.purge()
	if got := finds(r.Items, u); len(got) > 0 {
		t.Errorf("the first answer waited for a search: %q", got)
	}
	after := platformtest.Take(t, b.root.Dir)
	for _, name := range []string{"src/app/main.go", "src/app/password.py", "src/app/.env.example", "elsewhere/main.go"} {
		if key := strings.TrimPrefix(u.Home, "/") + "/" + name; before[key] != after[key] {
			t.Errorf("%s changed: %s, was %s", name, after[key], before[key])
		}
	}
	env, err := os.ReadFile(b.root.Path(u.Home + "/src/app/.env"))
	if err != nil || string(env) != "PORT=1\nAPI_TOKEN=\n" {
		t.Errorf(".env is %q, %v", env, err)
	}
}

// .env.* names the swap file of .env.prod as well, from which nothing can be cut.
func TestASwapFileGoesWholeWhereAPatternNamesItAsTheFile(t *testing.T) {
	b, u := code(t)
	for _, name := range []string{"/.env.prod.swp", "/src/app/.env.prod.swp"} {
		b.root.File(u, u.Home+name, "b0VIM 9.0\x00\x01API_TOKEN="+token+"\x00")
	}
	items := b.purge().Items
	for _, name := range []string{"/.env.prod.swp", "/src/app/.env.prod.swp"} {
		want(t, only(t, items, u.Home+name), "delete", verified, "deleted")
	}
}

func TestAnInventoryDoesNotSearchAllCodeEachTime(t *testing.T) {
	b, u := code(t)
	b.config.Names = &purge.Names{}
	now := time.Hour
	b.config.Boot = func() time.Duration { return now }
	first := finds(b.plan(), u)
	b.root.File(u, u.Home+"/src/new.go", "const v = \""+token+"\"\n")
	if again := finds(b.plan(), u); !slices.Equal(again, first) {
		t.Errorf("found %q, want what was found before: %q", again, first)
	}
	now += 7 * time.Hour
	if later := finds(b.plan(), u); len(later) != len(first)+1 {
		t.Errorf("found %q after hours, want the new file too", later)
	}
}
