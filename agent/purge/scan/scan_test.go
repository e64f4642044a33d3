package scan

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Values no scanner of this repository is meant to find.
var (
	pat    = "ghp_" + strings.Repeat("aB3dE6gH9", 4)
	pem    = "-----BEGIN " + "RSA PRIVATE KEY-----\n" + strings.Repeat("MIIEowIBAAKCAQEA7bq98+/x\n", 20) + "-----END RSA PRIVATE KEY-----"
	apiKey = "q7W3z9Lk2M8x4V6b1N5c"
)

func TestScan(t *testing.T) {
	for _, c := range []struct {
		name, file, text string
		want             []string // rule:line
	}{
		{"a token in code", "main.go", "package main\n\nvar t = \"" + pat + "\"\n", []string{"github-pat:3"}},
		{"a token beyond the first kilobytes", "a.txt", strings.Repeat("nothing here\n", 5000) + pat + "\n", []string{"github-pat:5001"}},
		{"a key over several lines", "id", "x\n" + pem + "\n", []string{"private-key:2"}},
		{"a setting of some service", "app.env", "API_KEY=" + apiKey + "\n", []string{"generic-api-key:1"}},
		{"a token in base64", "c.yaml", "a: 1\nt: " + base64.StdEncoding.EncodeToString([]byte("token="+pat)) + "\n", []string{"github-pat:2"}},
		{"a token in base64 in hexadecimal", "c.yaml", hex.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte("is "+pat+" ok")))) + "\n", []string{"github-pat:1"}},
		{"a percent-encoded token", "u.txt", "https://h/?t=%67%68%70_" + strings.TrimPrefix(pat, "ghp_") + "%20\n", []string{"github-pat:1"}},
		{"an escaped token", "u.json", `"\u0067\u0068\u0070` + strings.TrimPrefix(pat, "ghp") + `"`, []string{"github-pat:1"}},
		{"a key store, by its name", "deploy/app.p12", "", []string{"pkcs12-file:0"}},
		{"a line whose author knows", "main.go", "t = \"" + pat + "\" // gitleaks:allow\n", nil},
		{"a placeholder", "app.env", "API_KEY=${API_KEY}\nTOKEN=xxxxxxxxxxxxxxxxxxxxxxxx\n", nil},
		{"a name that is not random enough", "a.go", "key = \"aaaaaaaaaaaaaaaaaaab\"\n", nil},
		{"a lock file", "package-lock.json", "\"t\": \"" + pat + "\"\n", nil},
		{"other people's code", "node_modules/x/i.js", "t = '" + pat + "'\n", nil},
		{"no text", "a.out", "\x7fELF\x00\x00" + pat, nil},
		{"more than anybody wrote", "dump.sql", pat + "\n" + strings.Repeat("x", MaxText), nil},
		{"nothing", "empty", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, f := range New().Scan(context.Background(), c.file, []byte(c.text)) {
				got = append(got, fmt.Sprintf("%s:%d", f.Rule, f.Line))
			}
			slices.Sort(got)
			if got = slices.Compact(got); !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
		})
	}
}

func TestWhatAPersonMayHaveThoughtOfIsNotGenerated(t *testing.T) {
	found := New().Scan(context.Background(), "app.env", []byte("GH="+pat+"\npassword = \""+apiKey+"\"\n"))
	for _, f := range found {
		if want := f.Rule == "github-pat"; f.Generated != want {
			t.Errorf("%s: generated is %v", f.Rule, f.Generated)
		}
	}
	if len(found) != 2 {
		t.Errorf("%d findings, want 2: %v", len(found), found)
	}
}

func TestTheSecretIsTheValueAlone(t *testing.T) {
	found := New().Scan(context.Background(), "a.yaml", []byte("token: '"+pat+"' # mine\n"))
	if len(found) != 1 || string(found[0].Secret) != pat {
		t.Errorf("found %v, want the token alone", found)
	}
}

func TestAnEndedScanSaysWhatItFound(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if found := New().Scan(ctx, "a", []byte(strings.Repeat(pat+"\n", 1000))); len(found) > 2 {
		t.Errorf("%d findings after the end", len(found))
	}
}

// A value that is longer than any bound of a window must not hide the next.
func TestALongLineHidesNothing(t *testing.T) {
	text := "key=" + strings.Repeat("aZ09", 20_000) + " token=\"" + pat + "\";" + strings.Repeat("b", 9000)
	found := New().Scan(context.Background(), "min.js", []byte(text))
	if !slices.ContainsFunc(found, func(f Finding) bool { return string(f.Secret) == pat }) {
		t.Errorf("the token is not found; found %d others", len(found))
	}
}

// A hostile text must not cost more than its size: many keywords, many encoded
// values, nested ones.
func TestHostileTextsEnd(t *testing.T) {
	s := New()
	nested := []byte(pat + " is it")
	for range 12 {
		nested = []byte(base64.StdEncoding.EncodeToString(nested))
	}
	for name, text := range map[string][]byte{
		"keywords": bytes.Repeat([]byte("api_key=token=secret:"), 20_000),
		"base64":   bytes.Repeat([]byte("YWFhYWFhYWFhYWFhYWFhYWFhYQ== "), 10_000),
		"one line": bytes.Repeat([]byte("curl -u a:b "), 20_000),
		"percent":  bytes.Repeat([]byte("%41"), 100_000),
		"nested":   nested,
		"begin":    bytes.Repeat([]byte("-----BEGIN PRIVATE KEY-----"), 2_000),
	} {
		t.Run(name, func(*testing.T) { s.Scan(context.Background(), "a.txt", text) })
	}
}

func TestEveryRuleCompiles(t *testing.T) {
	s := New()
	for _, r := range s.rules {
		if r.Regex != "" {
			r.regex()
			r.reach()
		}
		if r.Path != "" {
			r.path()
		}
		for _, k := range r.Keywords {
			if k != strings.ToLower(k) || k == "" {
				t.Errorf("%s: keyword %q", r.ID, k)
			}
		}
	}
	for _, id := range typed {
		if !slices.ContainsFunc(s.rules, func(r *rule) bool { return r.ID == id }) {
			t.Errorf("no rule is called %q", id)
		}
	}
}

func FuzzScan(f *testing.F) {
	f.Add("a.txt", []byte("token: "+pat))
	f.Add("a.yaml", []byte("kind: Secret\ndata:\n  a: Z2hwX2FC\n"))
	f.Add("u", []byte(`\u0041\\u0042 U+0041 %41%zz 414141414141414141414141414141414141`))
	s := New()
	f.Fuzz(func(t *testing.T, name string, text []byte) {
		before := bytes.Clone(text)
		for _, found := range s.Scan(context.Background(), name, text) {
			if found.Line < 0 || found.Line > bytes.Count(text, []byte("\n"))+1 {
				t.Errorf("line %d of %d", found.Line, bytes.Count(text, []byte("\n"))+1)
			}
		}
		if !bytes.Equal(before, text) {
			t.Error("the text was changed")
		}
	})
}
