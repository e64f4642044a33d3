package format_test

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

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
	{"ini keeps its neighbours, however indented", "ini", []string{"extraHeader"}, "[http]\n\textraHeader = AUTHORIZATION: basic S\n\tproxy = p\n[core]\n\tbare\n\teditor = vi\n", "[http]\n\tproxy = p\n[core]\n\tbare\n\teditor = vi\n"},
	{"ini by section", "ini", []string{"auth.token"}, "[auth]\ntoken=S\n[other]\ntoken=t\n", "[auth]\n[other]\ntoken=t\n"},
	{"ini by a pattern of section and key", "ini", []string{"http*.extra*"}, "[http \"https://h/\"]\n extraHeader = S\n[https]\n extra = S\n[x]\n extra = 1\n", "[http \"https://h/\"]\n[https]\n[x]\n extra = 1\n"},
	{"ini value that a backslash goes on with", "ini", []string{"token"}, "[a]\ntoken = S\\\nS\nb = 1\n", "[a]\nb = 1\n"},
	{"ini value that ends in a backslash", "ini", []string{"token"}, "[a]\ntoken = S\\\nb = 1\n", "[a]\nb = 1\n"},
	{"ini value below its key", "ini", []string{"key"}, "[a]\nkey =\n  S\n  S\nb = 1\n", "[a]\nkey =\nb = 1\n"},
	{"ini URL", "ini", []string{"*index-url|userinfo"}, "[global]\nindex-url = https://u:S@h/simple\nextra-index-url =\n  https://S:@a/x?y=u:p@z\n  https://b/\n# index-url = https://u:S@c/\n", "[global]\nindex-url = https://h/simple\nextra-index-url =\n  https://a/x?y=u:p@z\n  https://b/\n# index-url = https://c/\n"},
	{"ini remotes of git", "ini", []string{"remote*.*url|userinfo"}, "[remote \"o\"]\n\turl = https://u:S@h/r\n\tpushurl = ssh://git@h/r\n[remote \"p\"]\n\turl = ssh://git:S@h/r\n\turl = git@h:r\n\turl = https://org@h/r\n", "[remote \"o\"]\n\turl = https://h/r\n\tpushurl = ssh://git@h/r\n[remote \"p\"]\n\turl = ssh://git@h/r\n\turl = git@h:r\n\turl = https://org@h/r\n"},
	{"ini token that is the URL's user", "ini", []string{"url|userinfo"}, "[a]\nurl = https://ghp_0123456789-S@h/r\n", "[a]\nurl = https://h/r\n"},
	{"ini URL with variables", "ini", []string{"url|userinfo"}, "[a]\nurl = https://${U}:${P}@h/r\n", "[a]\nurl = https://${U}:${P}@h/r\n"},
	{"npmrc byte order mark and line ends", "npmrc", []string{"_authToken"}, "\uFEFFa=b\r\n//r/:_authToken=S\r\nc=d\r\n", "\uFEFFa=b\r\nc=d\r\n"},
	{"netrc byte order mark and line ends", "netrc", []string{"password"}, "\uFEFFmachine a\r\n  login b\r\n  password S\r\n", "\uFEFFmachine a\r\n  login b\r\n"},
	{"jsonc as editors write it", "jsonc", []string{`github\.token`, "*.env.*", "*password*"}, "\uFEFF{\r\n\t// one\r\n\t\"github.token\": \"S\", /* two */\r\n\t\"mcp\": {\"env\": {\"A\": \"S\", \"B\": 12}},\r\n\t\"db.Password.main\": \"S\",\r\n\t//\"password\": \"S\"\r\n\t\"x\": [1, 2,],\r\n}\r\n", "\uFEFF{\r\n\t// one\r\n\t\"github.token\": \"\", /* two */\r\n\t\"mcp\": {\"env\": {\"A\": \"\", \"B\": null}},\r\n\t\"db.Password.main\": \"\",\r\n\t//\r\n\t\"x\": [1, 2,],\r\n}\r\n"},
	{"json elements of a list", "json", []string{"a.1", "b.*.k"}, `{"a":["x","S"],"b":[{"k":"S","n":"y"},{"k":["S"]}]}`, `{"a":["x",""],"b":[{"k":"","n":"y"},{"k":[]}]}`},
	{"json URL", "json", []string{"**.url|userinfo"}, `{"a":{"url":"https:\/\/u:S@h\/x"},"b":[{"url":"https://u:S\u0040h"}],"c":"https://u:p@h"}`, `{"a":{"url":"https:\/\/h\/x"},"b":[{"url":"https://h"}],"c":"https://u:p@h"}`},
	{"yaml URLs of channels", "yaml", []string{"channels|userinfo", "channels|path-token", "proxy|userinfo"}, "channels:\n  - https://u:S@h/c # one\n  - \"https://conda.anaconda.org/t/S/c\"\n  - defaults\nproxy: http://u:S@p:1\nx: https://u:p@h\n# - https://u:S@old/\n", "channels:\n  - https://h/c # one\n  - \"https://conda.anaconda.org/c\"\n  - defaults\nproxy: http://p:1\nx: https://u:p@h\n# - https://old/\n"},
	{"yaml elements and any depth", "yaml", []string{"**.secret*", "l.1"}, "a:\n- secretKey: S\n  b: {x: {SECRET: 'S'}}\nl: [a, S]\n", "a:\n- secretKey: \"\"\n  b: {x: {SECRET: \"\"}}\nl: [a, \"\"]\n"},
	{"yaml byte order mark and line ends", "yaml", []string{"k"}, "\uFEFFa: 1\r\nk: |\r\n  S\r\n  S\r\nb: 2\r\n", "\uFEFFa: 1\r\nk: \"\"\r\nb: 2\r\n"},
	{"toml lists of tables", "toml", []string{"p.*.token", "q.1.key"}, "\uFEFF[[p]]\r\nname = \"a\"\r\ntoken = \"S\"\r\n[[p]]\r\ntoken = 'S'\r\n[p.sub]\r\ntoken = \"t\"\r\n[[q]]\r\nkey = \"a\"\r\n[[q]]\r\nkey = \"S\"\r\n", "\uFEFF[[p]]\r\nname = \"a\"\r\ntoken = \"\"\r\n[[p]]\r\ntoken = \"\"\r\n[p.sub]\r\ntoken = \"t\"\r\n[[q]]\r\nkey = \"a\"\r\n[[q]]\r\nkey = \"\"\r\n"},
	{"toml whole tables, lists, numbers, URLs", "toml", []string{"auth", "pin", "index.*.url|userinfo"}, "pin = 123456 # c\nwhen = 2020-01-01\n[auth]\na = \"S\"\nb = [ \"S\", 1 ]\n[[index]]\nurl = \"https://u:S@h/\"\n", "pin = 0 # c\nwhen = 2020-01-01\n[auth]\na = \"\"\nb = [ \"\", 1 ]\n[[index]]\nurl = \"https://h/\"\n"},
	{"hcl expressions and lists", "hcl", []string{"**.secret", "l.1"}, "\uFEFFa {\r\n  secret = join(\",\", [\"S\", \"S\"])\r\n  b = var.x == \"y\" ? 1 : 2 // c\r\n  secret = var.s\r\n}\r\nl = [\"a\", \"S\"]\r\n", "\uFEFFa {\r\n  secret = \"\"\r\n  b = var.x == \"y\" ? 1 : 2 // c\r\n  secret = var.s\r\n}\r\nl = [\"a\", \"\"]\r\n"},
	{"dotenv", "dotenv", []string{"*token*", "db_pass"}, "\uFEFF# c\r\nexport API_TOKEN=S\r\nDB_PASS = 'S S' # mine\r\nHOST=h # token=S\r\nTOKEN=\"S\\\"S\"\r\nTOKEN2=\r\n", "\uFEFF# c\r\nexport API_TOKEN=\r\nDB_PASS = '' # mine\r\nHOST=h # token=\r\nTOKEN=\"\"\r\nTOKEN2=\r\n"},
	{"dotenv over several lines", "dotenv", []string{"KEY"}, "A=1\nKEY=\"-----BEGIN\nS\n-----END\"\nB='x\nKEY=y'\n", "A=1\nKEY=\"\"\nB='x\nKEY=y'\n"},
	{"dotenv keeps what names another", "dotenv", []string{"*"}, "A=${B}\nC=$D\nE=$(pass show x)\nF=S#S\nG=S # g\n", "A=${B}\nC=$D\nE=$(pass show x)\nF=\nG=\"\" # g\n"},
	{"dotenv loses what was switched off", "dotenv", []string{"TOKEN"}, "# TOKEN=S\n#export TOKEN='S'\n# TOKENS are fine\n# it's TOKEN\n", "# TOKEN=\n#export TOKEN=''\n# TOKENS are fine\n# it's TOKEN\n"},
	{"dotenv that is a script", "dotenv", []string{"TOKEN"}, "use flake\nexport A=1 TOKEN=S\nA=\"x\" TOKEN=\"S S\"; export TOKEN\nif true; then\nfi\n", "use flake\nexport A=1 TOKEN=\nA=\"x\" TOKEN=\"\"; export TOKEN\nif true; then\nfi\n"},
	{"dotenv URL", "dotenv", []string{"*_URL|userinfo"}, "DB_URL=\"postgres://u:S@h/d?x=1\"\nX=1\n", "DB_URL=\"postgres://h/d?x=1\"\nX=1\n"},
	{"properties", "properties", []string{"*password*", "*token"}, "\uFEFF# c\r\nsystemProp.http.proxyPassword=S\r\n! d\r\nhost: h\r\nnexusToken S\r\nsigning.Password = S\\\r\n   S\r\nz=1\r\n", "\uFEFF# c\r\nsystemProp.http.proxyPassword=\r\n! d\r\nhost: h\r\nnexusToken \r\nsigning.Password = \r\nz=1\r\n"},
	{"properties with escapes in the key", "properties", []string{"a:pass word"}, "a\\:pa\\u0073s\\ word = S\nb\\=pass=x\n", "a\\:pa\\u0073s\\ word = \nb\\=pass=x\n"},
	{"properties key over two lines", "properties", []string{"password"}, "pass\\\n  word = S\nx = 1\n", "pass\\\n  word = \nx = 1\n"},
	{"properties switched off", "properties", []string{"password"}, "#password=S\n# password is secret\nx=1\n", "#password=\n# password is secret\nx=1\n"},
	{"properties comment that ends in a backslash", "properties", []string{"password"}, "# c\\\npassword=S\n", "# c\\\npassword=\n"},
	{"lines", "lines", []string{"AGE-SECRET-KEY-*", "PrivateKey*=*"}, "\uFEFF# public key: age1\r\nAGE-SECRET-KEY-1-S\r\n[Interface]\r\n PrivateKey = S\r\nAddress = a\r\n", "\uFEFF# public key: age1\r\n[Interface]\r\nAddress = a\r\n"},
	{"lines of a block", "lines", []string{"-----BEGIN *PRIVATE KEY----- ... -----END *", "<auth-user-pass> ... </auth-user-pass>"}, "client\n-----BEGIN RSA PRIVATE KEY-----\nS\n-----END RSA PRIVATE KEY-----\n<auth-user-pass>\nS\n</auth-user-pass>\nremote h\n", "client\nremote h\n"},
	{"lines with URLs", "lines", []string{"*|userinfo"}, "a https://u:S@h/ b\nc\n", "a https://h/ b\nc\n"},
	{"xml of Maven", "xml", []string{"settings.servers.server.password", "settings.servers.server.passphrase", "settings.proxies.proxy.password"}, "\uFEFF<?xml version=\"1.0\"?>\r\n<!DOCTYPE settings>\r\n<settings xmlns=\"http://m\">\r\n <servers>\r\n  <server><id>a</id><username>u</username><password>S &amp; S</password><passphrase/></server>\r\n  <!-- <server><password>S</password></server> -->\r\n </servers>\r\n <password>p</password>\r\n</settings>\r\n", "\uFEFF<?xml version=\"1.0\"?>\r\n<!DOCTYPE settings>\r\n<settings xmlns=\"http://m\">\r\n <servers>\r\n  <server><id>a</id><username>u</username><password></password><passphrase/></server>\r\n  <!-- <server><password></password></server> -->\r\n </servers>\r\n <password>p</password>\r\n</settings>\r\n"},
	{"xml of NuGet", "xml", []string{"configuration.packageSourceCredentials.*.add[key=*Password].@value", "configuration.apikeys.add.@value"}, "<configuration>\n <packageSourceCredentials>\n  <src_x0020_1>\n   <add key=\"Username\" value=\"u\" />\n   <add value='S' key='ClearTextPassword'/>\n   <add key=\"Password\" value=\"S\" />\n  </src_x0020_1>\n </packageSourceCredentials>\n <apikeys><add key=\"https://h\" value=\"S\"></add></apikeys>\n</configuration>", "<configuration>\n <packageSourceCredentials>\n  <src_x0020_1>\n   <add key=\"Username\" value=\"u\" />\n   <add value='' key='ClearTextPassword'/>\n   <add key=\"Password\" value=\"\" />\n  </src_x0020_1>\n </packageSourceCredentials>\n <apikeys><add key=\"https://h\" value=\"\"></add></apikeys>\n</configuration>"},
	{"xml of FileZilla, at any depth", "xml", []string{"FileZilla3.**.Server.Pass"}, "<FileZilla3><Servers><Folder>f<Server><Host>h</Host><Pass encoding=\"base64\">S</Pass></Server></Folder><Server><Pass><![CDATA[S]]></Pass></Server></Servers></FileZilla3>\n", "<FileZilla3><Servers><Folder>f<Server><Host>h</Host><Pass encoding=\"base64\"></Pass></Server></Folder><Server><Pass></Pass></Server></Servers></FileZilla3>\n"},
	{"xml comment that is torn", "xml", []string{"a.p"}, "<a><!-- <b> <p>S</p> --><x/></a>", "<a><!----><x/></a>"},
	{"xml URLs and prefixes", "xml", []string{"a.url|userinfo", "a.b.@href|userinfo"}, "<n:a xmlns:n='x'><n:url>https://u:S@h/?a=1&amp;b</n:url><b n:href=\"https://u:S@h/\"/></n:a>", "<n:a xmlns:n='x'><n:url>https://h/?a=1&amp;b</n:url><b n:href=\"https://h/\"/></n:a>"},
	{"hcl heredoc", "hcl", []string{"credentials.*.token"}, "credentials \"h\" {\n  token = <<EOT\nS\nEOT\n}\n", "credentials \"h\" {\n  token = \"\"\n}\n"},
}

func fill(text string) []byte { return []byte(standIn.ReplaceAllString(text, secret)) }

// S where it is a word of its own.
var standIn = regexp.MustCompile(`\bS\b`)

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
		{"dotenv", "password=\"x\n"}, {"properties", "a\\u12=x\n"}, {"properties", "a\\uzzzz=x\n"},
		{"xml", "<a>"}, {"xml", "<a></b>"}, {"xml", "words"}, {"xml", "<a/><b/>"}, {"xml", "<a b=c/>"}, {"xml", "<a b='c/>"}, {"xml", "<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>"},
		{"xml", strings.Repeat("<a>", 5000)}, {"xml", "<a><![CDATA[</a>"}, {"xml", "<a><!-- </a>"}, {"xml", ""}, {"jsonc", "{/* }"}, {"hcl", "a = f(\"x\"\n"},
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
