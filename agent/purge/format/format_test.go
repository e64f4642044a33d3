package format_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"cutoff/agent/purge/format"
)

const secret = "s3cr3tByTe"

// S in a case stands for the secret.
var cases = []struct {
	name, format string
	selectors    []string
	in, out      string
}{
	{"ini loses the line", "ini", []string{"password"}, "# c\r\n[a]\r\nuser = x\r\npassword = S\r\nhost: y\r\n", "# c\r\n[a]\r\nuser = x\r\nhost: y\r\n"},
	{"ini loses lines that go on", "ini", []string{"key"}, "[a]\nkey = S\n  S\n\tS\nb = 1\n", "[a]\nb = 1\n"},
	{"ini loses a key hidden in another's value", "ini", []string{"key"}, "[a]\nb = 1\n  key = S\n  c\n", "[a]\nb = 1\n  c\n"},
	{"ini loses what was switched off", "ini", []string{"key"}, "[a]\n#key = S\n; key: S\n# key facts\n", "[a]\n# key facts\n"},
	{"ini keeps the byte order mark", "ini", []string{"key"}, "\uFEFF[a]\nKEY=S\nx=1", "\uFEFF[a]\nx=1"},
	{"ini keeps a key without value", "ini", []string{"key"}, "[a]\nkey =\nx=1", "[a]\nkey =\nx=1"},
	{"ini without last line end", "ini", []string{"key"}, "[a]\nx=1\nkey=S", "[a]\nx=1\n"},
	{"npmrc by registry", "npmrc", []string{"_authToken", "_password"}, "a=b\n//r/:_authToken=S\n; x\n//q/:_password = \"S\"\n//q/:username=u\n", "a=b\n; x\n//q/:username=u\n"},
	{"npmrc keeps a variable", "npmrc", []string{"_authToken"}, "//r/:_authToken=${NPM_TOKEN}\n", "//r/:_authToken=${NPM_TOKEN}\n"},
	{"npmrc loses what was switched off", "npmrc", []string{"_authToken"}, "#//r/:_authToken=S\nx=1\n", "x=1\n"},
	{"netrc on one line", "netrc", []string{"password", "account"}, "machine a login b password S\nmachine c login d account S password S # S? no\n", "machine a login b\nmachine c login d # S? no\n"},
	{"netrc on lines of its own", "netrc", []string{"password"}, "machine a\n\tlogin b\n\tpassword S\n\nmachine c login d password \"S x\"\n", "machine a\n\tlogin b\n\nmachine c login d\n"},
	{"netrc keeps macros", "netrc", []string{"password"}, "machine a password S\nmacdef init\npassword stays\n\ndefault login b password S\n", "machine a\nmacdef init\npassword stays\n\ndefault login b\n"},
	{"netrc loses what was switched off", "netrc", []string{"password"}, "# machine a login b password S\nmachine c\n", "machine c\n"},
	{"netrc password that looks like a comment", "netrc", []string{"password"}, "machine a password #S\nlogin b\n", "machine a\nlogin b\n"},
	{"json", "json", []string{"auths.*.auth", "HttpHeaders"}, "{\n\t\"auths\": {\"r\" : { \"auth\":\"S\", \"email\": \"e\"}},\n\t\"HttpHeaders\": {\"X\": \"S\"}, \"n\": [1, 2]\n}\n", "{\n\t\"auths\": {\"r\" : { \"auth\":\"\", \"email\": \"e\"}},\n\t\"HttpHeaders\": {}, \"n\": [1, 2]\n}\n"},
	{"json with comments and trailing commas", "json", []string{"a"}, "// x\n{ /* y */ \"a\": \"S\", // \"a\": \"S\"\n \"b\": [1,], }\n", "// x\n{ /* y */ \"a\": \"\", //\n \"b\": [1,], }\n"},
	{"json with escapes in key and value", "json", []string{"auth"}, `{"\u0061uth": "S\"S\\"}`, `{"\u0061uth": ""}`},
	{"json key twice", "json", []string{"a"}, `{"a":"S","a":"S"}`, `{"a":"","a":""}`},
	{"yaml", "yaml", []string{"users.*.user.token", "users.*.user.password"}, "# top\nusers:\n- name: a # who\n  user:\n    token: S   # mine\n    other: 1\n- name: b\n  user: {token: 'S''S', password: \"S\\\"S\"}\n", "# top\nusers:\n- name: a # who\n  user:\n    token: \"\"   # mine\n    other: 1\n- name: b\n  user: {token: \"\", password: \"\"}\n"},
	{"yaml block scalars", "yaml", []string{"k", "f"}, "k: |\n  S\n\n  S\nx: 1\nf: >-\n    S\n    S\n# end\ny: 2\n", "k: \"\"\nx: 1\nf: \"\"\n# end\ny: 2\n"},
	{"yaml over several lines", "yaml", []string{"k"}, "k: S\n  and S\n\n  S\nx: 1\n", "k: \"\"\nx: 1\n"},
	{"yaml anchor and alias", "yaml", []string{"k"}, "a: &x S\nk: *x\n", "a: &x \"\"\nk: *x\n"},
	{"yaml merge", "yaml", []string{"u.token"}, "base: &b\n  token: S\nu:\n  <<: *b\n  n: 1\n", "base: &b\n  token: \"\"\nu:\n  <<: *b\n  n: 1\n"},
	{"yaml line ends and wide characters", "yaml", []string{"a.k"}, "a: {ä: ü, k: S}\r\nb: 1\r\n", "a: {ä: ü, k: \"\"}\r\nb: 1\r\n"},
	{"yaml documents", "yaml", []string{"k"}, "k: S\n---\nk: S\n", "k: \"\"\n---\nk: \"\"\n"},
	{"yaml that is json", "yaml", []string{"users.*.user.token"}, `{"users":[{"user":{"token":"S"},"name":"x"}]}`, `{"users":[{"user":{"token":""},"name":"x"}]}`},
	{"yaml what was switched off", "yaml", []string{"a.token"}, "a:\n  # token: S\n  token: S\n  # tokens are short\n", "a:\n  token: \"\"\n  # tokens are short\n"},
	{"yaml text that looks switched off stays", "yaml", []string{"token"}, "t: |\n  # token: abc\nx: 1\n", "t: |\n  # token: abc\nx: 1\n"},
	{"yaml number", "yaml", []string{"k"}, "k: 12345\n", "k: \"\"\n"},
	{"toml", "toml", []string{"registry.token", "registries.*.token"}, "a = 1\n[registry]\ntoken = \"S\" # c\n[registries.\"x.y\"]\nindex = 'i'\ntoken = '''\nS'''\n", "a = 1\n[registry]\ntoken = \"\" # c\n[registries.\"x.y\"]\nindex = 'i'\ntoken = \"\"\n"},
	{"toml inline and dotted", "toml", []string{"registries.*.token"}, "registries.a = { index = \"i\", token = \"S\" }\nregistries.b.token = \"S\"\n[x]\ny = [ 1,\n 2, # z\n]\n", "registries.a = { index = \"i\", token = \"\" }\nregistries.b.token = \"\"\n[x]\ny = [ 1,\n 2, # z\n]\n"},
	{"toml what was switched off", "toml", []string{"registry.token"}, "[registry]\n# token = \"S\"\nx = \"# token = 1\"\n", "[registry]\n#\nx = \"# token = 1\"\n"},
	{"hcl", "hcl", []string{"credentials.*.token"}, "a = \"b\"\n\n/* c */ credentials \"h\" {\n  token = \"S\" // d\n}\ncredentials \"i\" { token = \"S\" }\nhost \"h\" { services = { x = \"y\" } }\n", "a = \"b\"\n\n/* c */ credentials \"h\" {\n  token = \"\" // d\n}\ncredentials \"i\" { token = \"\" }\nhost \"h\" { services = { x = \"y\" } }\n"},
	{"hcl heredoc", "hcl", []string{"credentials.*.token"}, "credentials \"h\" {\n  token = <<EOT\nS\nEOT\n}\n", "credentials \"h\" {\n  token = \"\"\n}\n"},
}

func fill(text string) []byte { return []byte(strings.ReplaceAll(text, "S", secret)) }

func TestOnlySecretsAreCut(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			// S? stands for a question, not for the secret.
			in := bytes.ReplaceAll(fill(c.in), []byte(secret+"?"), []byte("S?"))
			got, n, err := format.Cut(c.format, in, c.selectors)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != c.out {
				t.Fatalf("got  %q\nwant %q", got, c.out)
			}
			if (n > 0) != (c.in != c.out) {
				t.Errorf("%d cut", n)
			}
			again, n, err := format.Cut(c.format, got, c.selectors)
			if err != nil || n != 0 || !bytes.Equal(again, got) {
				t.Errorf("a second cut found %d more in %q: %v", n, again, err)
			}
		})
	}
}

func TestWhatDoesNotParseIsNotCut(t *testing.T) {
	for _, c := range []struct{ format, in string }{
		{"ini", "password = x\n"}, {"ini", "[a\nb=1\n"}, {"ini", "[a]\njust words\n"}, {"ini", "# Encrypted rclone configuration File\n\nRCLONE_ENCRYPT_V0:\nabc=\n"},
		{"json", `{"a": "x"`}, {"json", `{"a" "x"}`}, {"json", `{"a": tru}`}, {"json", `{"a":"x"} more`}, {"json", ``}, {"json", strings.Repeat("[", 5000)},
		{"yaml", "a: [1\n"}, {"yaml", "a: b: c\n"}, {"yaml", "\tx: 1\n"}, {"toml", "a = \n"}, {"toml", "[a\nb=1\n"}, {"toml", "a = \"x\n"}, {"toml", "a = 1 b = 2\n"},
		{"hcl", "credentials \"x\" {\n token = \"y\"\n"}, {"hcl", "= 1\n"}, {"netrc", "machine\n"}, {"netrc", "hello world\n"}, {"npmrc", "a=\x00b"},
	} {
		out, n, err := format.Cut(c.format, []byte(c.in), []string{"a", "password"})
		if !errors.Is(err, format.ErrSyntax) || out != nil || n != 0 {
			t.Errorf("%s %.40q: got %d cuts, %v", c.format, c.in, n, err)
		}
		if err != nil && strings.Contains(err.Error(), "words") {
			t.Errorf("%s: the error quotes the file: %v", c.format, err)
		}
	}
}

func TestAnUnknownFormatIsRefused(t *testing.T) {
	if _, _, err := format.Cut("plist", []byte("<a/>"), []string{"a"}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

// FuzzCut holds what must be true of any input: no panic, a result that is cut
// for good, shorter or equal lines around it, and for the formats that have a
// reader of their own, the same tree but for what was cut.
func FuzzCut(f *testing.F) {
	for _, c := range cases {
		f.Add(c.format, string(fill(c.in)))
	}
	selectors := map[string][]string{
		"ini": {"password", "key"}, "npmrc": {"_authToken", "key"}, "netrc": {"password", "account"}, "json": {"auths.*.auth", "a", "auth"},
		"yaml": {"users.*.user.token", "k", "a.k", "*.token"}, "toml": {"registry.token", "registries.*.token", "a"}, "hcl": {"credentials.*.token", "a"},
	}
	f.Fuzz(func(t *testing.T, name, text string) {
		wanted, ok := selectors[name]
		if !ok || len(text) > 10_000 {
			return
		}
		out, n, err := format.Cut(name, []byte(text), wanted)
		if err != nil {
			return
		}
		if n == 0 && string(out) != text {
			t.Fatalf("nothing was cut, and yet %q became %q", text, out)
		}
		again, n, err := format.Cut(name, out, wanted)
		if err != nil {
			t.Fatalf("%q does not parse after the cut: %q: %v", text, out, err)
		}
		if n != 0 {
			t.Fatalf("a second cut of %q found %d more: %q", out, n, again)
		}
		if name == "json" && json.Valid([]byte(text)) && !json.Valid(out) {
			t.Fatalf("%q is JSON, %q is not", text, out)
		}
		if name == "yaml" {
			var was, is any
			if yaml.Unmarshal([]byte(text), &was) == nil && yaml.Unmarshal(out, &is) != nil {
				t.Fatalf("%q is YAML, %q is not", text, out)
			}
		}
	})
}

// Property: a kubeconfig of any size loses exactly its secrets.
func TestAKubeconfigOfAnySizeKeepsItsShape(t *testing.T) {
	for n := 1; n < 40; n++ {
		var in, expect strings.Builder
		write := func(text, instead string) { in.WriteString(text); expect.WriteString(instead) }
		both := func(text string) { write(text, text) }
		both("apiVersion: v1\nusers:\n")
		for u := range n {
			both(fmt.Sprintf("- name: user-%d # %d\n  user:\n", u, u))
			switch u % 4 {
			case 0:
				both("    token: ")
				write(secret+fmt.Sprint(u), `""`)
				both("\n")
			case 1:
				both("    client-key-data: ")
				write("|\n      "+secret+"\n      "+secret, `""`)
				both("\n    client-certificate-data: abc\n")
			case 2:
				both("    exec: {command: aws, env: [{name: A, value: ")
				write(secret, `""`)
				both("}]}\n")
			default:
				both("    {}\n")
			}
		}
		got, _, err := format.Cut("yaml", []byte(in.String()), []string{"users.*.user.token", "users.*.user.client-key-data", "users.*.user.exec.env.*.value"})
		if err != nil {
			t.Fatalf("%d users: %v", n, err)
		}
		if string(got) != expect.String() {
			t.Fatalf("%d users: got\n%s\nwant\n%s", n, got, expect.String())
		}
	}
}
