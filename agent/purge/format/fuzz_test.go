package format_test

import (
	"encoding/json"
	"testing"

	"gopkg.in/yaml.v3"

	"cutoff/agent/purge/format"
)

func FuzzINI(f *testing.F)        { fuzz(f, "ini", "password", "*key", "url|userinfo", "auth.token") }
func FuzzNpmrc(f *testing.F)      { fuzz(f, "npmrc", "_authToken", "key") }
func FuzzNetrc(f *testing.F)      { fuzz(f, "netrc", "password", "account") }
func FuzzDotenv(f *testing.F)     { fuzz(f, "dotenv", "*token*", "KEY", "*_URL|userinfo") }
func FuzzProperties(f *testing.F) { fuzz(f, "properties", "*password*", "a:pass word", "url|userinfo") }
func FuzzLines(f *testing.F) {
	fuzz(f, "lines", "AGE-SECRET-KEY-*", "-----BEGIN * ... -----END *", "*|userinfo")
}
func FuzzJSON(f *testing.F) { fuzz(f, "json", "auths.*.auth", "a", "**.url|userinfo", "*.1") }
func FuzzJSONC(f *testing.F) {
	fuzz(f, "jsonc", `github\.token`, "*.env.*", "*password*", "c|path-token")
}
func FuzzYAML(f *testing.F) {
	fuzz(f, "yaml", "users.*.user.token", "k", "a.k", "**.secret*", "channels|userinfo")
}
func FuzzTOML(f *testing.F) {
	fuzz(f, "toml", "registry.token", "registries.*.token", "a", "p.*.token", "index.*.url|userinfo")
}
func FuzzHCL(f *testing.F) { fuzz(f, "hcl", "credentials.*.token", "a", "**.secret", "u|userinfo") }
func FuzzXML(f *testing.F) {
	fuzz(f, "xml", "a.p", "**.Server.Pass", "**.add[key=*Password].@value", "a.url|userinfo")
}

// fuzz holds what must be true of any input: no panic, a result that parses and
// is cut for good, and for the formats that have a reader here, one that this
// reader still takes.
func fuzz(f *testing.F, name string, selectors ...string) {
	for _, c := range cases {
		if c.format == name {
			f.Add(fill(c.in))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 10_000 {
			return
		}
		out, n, err := format.Cut(name, text, selectors)
		if err != nil {
			return
		}
		if n == 0 && string(out) != string(text) {
			t.Fatalf("nothing was cut, and yet %q became %q", text, out)
		}
		again, n, err := format.Cut(name, out, selectors)
		if err != nil {
			t.Fatalf("%q does not parse after the cut: %q: %v", text, out, err)
		}
		if n != 0 {
			t.Fatalf("a second cut of %q found %d more: %q, then %q", text, n, out, again)
		}
		switch name {
		case "json":
			if json.Valid(text) && !json.Valid(out) {
				t.Fatalf("%q is JSON, %q is not", text, out)
			}
		case "yaml":
			var was, is any
			if yaml.Unmarshal(text, &was) == nil && yaml.Unmarshal(out, &is) != nil {
				t.Fatalf("%q is YAML, %q is not", text, out)
			}
		}
	})
}
