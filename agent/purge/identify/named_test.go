package identify_test

import (
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"testing"
	"time"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/identify"
)

func TestNamesStandWhereTheCatalogueSays(t *testing.T) {
	private := slices.Repeat([]byte{7}, 32)
	key, err := ecdh.X25519().NewPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	github := "gho_" + strings.Repeat("a", 36)
	sum := sha256.Sum256([]byte(github))
	for _, c := range []struct {
		name   string
		format catalogue.Format
		text   string
		names  []catalogue.Name
		want   []string
		until  time.Time
		beside folder
	}{
		{name: "values and keys of JSON with comments", format: "jsonc", text: "{ // " + secret + "\n\"hosts\": {\"a.example\": {\"user\": \"alice\",}, \"b.example\": {}}}",
			names: []catalogue.Name{{Kind: "host", How: "key", Path: "hosts.*"}, {Kind: "user", Path: "hosts.*.user"}},
			want:  []string{"host a.example", "host b.example", "user alice"}},
		{name: "YAML and lists", format: "yaml", text: "contexts:\n- server: https://u:" + secret + "@x.example/a?token=" + secret + "\n  token: " + secret + "\n",
			names: []catalogue.Name{{Kind: "server", Path: "contexts.*.server"}}, want: []string{"server https://x.example/a"}},
		{name: "TOML", format: "toml", text: "[connections.\"a.b\"]\naccount = 'corp' # x\npassword = \"" + secret + "\"\n",
			names: []catalogue.Name{{Kind: "connection", How: "key", Path: "connections.*"}, {Kind: "account", Path: "connections.*.account"}},
			want:  []string{"connection a.b", "account corp"}},
		{name: "INI", format: "ini", text: "[DEFAULT]\nhost = https://x.example\ntoken = " + secret + "\n",
			names: []catalogue.Name{{Kind: "host", How: "host", Path: "*.host"}, {Kind: "profile", How: "key", Path: "*"}}, want: []string{"host x.example", "profile DEFAULT"}},
		{name: "XML", format: "xml", text: "<settings><servers><server><id>corp</id><password>" + secret + "</password></server></servers></settings>",
			names: []catalogue.Name{{Kind: "server", Path: "settings.servers.server.id"}}, want: []string{"server corp"}},
		{name: "names of variables", format: "dotenv", text: "# c\nexport A_TOKEN=" + secret + "\nB='x'\n", names: []catalogue.Name{{Kind: "variable", How: "key", Path: "*"}}, want: []string{"variable A_TOKEN", "variable B"}},
		{name: "claims of a token", format: "json", text: `{"t":{"id_token":"` + token(`{"iss":"https://idp","sub":"alice","aud":["a","b"],"azp":"cli","sid":"s1","jti":"j","exp":1925089445}`) + `"}}`,
			names: []catalogue.Name{{Kind: "claims", How: "claims", Path: "t.id_token"}},
			want:  []string{"jwt-issuer https://idp", "jwt-subject alice", "jwt-id j", "jwt-audience a", "jwt-audience b", "jwt-client cli", "jwt-session s1"}, until: time.Unix(1925089445, 0)},
		{name: "an end in milliseconds", format: "json", text: `{"user":"alice","expires":1925089445000}`,
			names: []catalogue.Name{{Kind: "user", Path: "user"}, {Kind: "expires", How: "expires", Path: "expires"}}, want: []string{"user alice"}, until: time.Unix(1925089445, 0)},
		{name: "an end that a refresh token puts off", format: "json", text: `{"expires":1925089445,"refresh":"` + secret + `"}`,
			names: []catalogue.Name{{Kind: "expires", How: "expires", Path: "expires"}, {Kind: "renews", How: "renews", Path: "refresh"}}},
		{name: "GitHub's own hash of a token", format: "yaml", text: "a: " + github + "\nb: " + secret + "\n",
			names: []catalogue.Name{{Kind: "hash", How: "github-token", Path: "*"}}, want: []string{"hash " + base64.StdEncoding.EncodeToString(sum[:])}},
		{name: "a WireGuard key's public half", format: "ini", text: "[Interface]\nPrivateKey = " + base64.StdEncoding.EncodeToString(private) + "\n",
			names: []catalogue.Name{{Kind: "wireguard", How: "wireguard-key", Path: "Interface.PrivateKey"}}, want: []string{"wireguard " + base64.StdEncoding.EncodeToString(key.PublicKey().Bytes())}},
		{name: "a registry login", format: "json", text: `{"auth":"` + base64.StdEncoding.EncodeToString([]byte("alice:"+secret)) + `"}`,
			names: []catalogue.Name{{Kind: "user", How: "basic-user", Path: "auth"}}, want: []string{"user alice"}},
		{name: "a neighbour and the file's own name", format: "json", text: `{}`, beside: folder{name: "work.json", files: map[string]string{"accounts.json": `{"active":"alice@example.com"}`}},
			names: []catalogue.Name{{Kind: "account", Path: "active", In: "accounts.json"}, {Kind: "file", How: "file"}}, want: []string{"account alice@example.com", "file work"}},
		{name: "a secret in the place of a name", format: "json", text: `{"user":"` + token(`{}`) + `","b":"` + github + `"}`,
			names: []catalogue.Name{{Kind: "user", Path: "user"}, {Kind: "user", Path: "b"}}},
		{name: "a file that does not parse", format: "json", text: `{"user":`, names: []catalogue.Name{{Kind: "user", Path: "user"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := identify.Of(&catalogue.Credential{Format: c.format, Names: c.names}, []byte(c.text), c.beside)
			var names []string
			for _, i := range got.Identifiers {
				names = append(names, i.Kind+" "+i.Value)
				if strings.Contains(i.Value, secret) {
					t.Errorf("%s holds the secret", i.Kind)
				}
			}
			if !slices.Equal(names, c.want) {
				t.Errorf("got  %q\nwant %q", names, c.want)
			}
			if !got.Until.Equal(c.until) {
				t.Errorf("until %v, want %v", got.Until, c.until)
			}
		})
	}
}
