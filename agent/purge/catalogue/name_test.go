package catalogue_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"cutoff/agent/purge/catalogue"
)

const named = `id: thing
product: Thing
confidence: unconfirmed
credentials:
  - id: thing-token
    what: Its token
    danger: 3
    confidence: confirmed
    paths:
      linux: [~/.thing]
    format: json
    action: delete
    regain: sign-in
    identify:
      thing-host: [key hosts.*, "server in other.json"]
      claims: id_token
  - id: thing-keyring
    what: The same
    danger: 3
    keyring:
      darwin: [{service: "thing:*"}]
      windows: [{target: "thing:*"}]
    action: keyring-delete
    regain: sign-in
`

func TestAFileSaysWhereItsNamesStand(t *testing.T) {
	all, err := catalogue.LoadFrom(fstest.MapFS{"product/thing.yaml": {Data: []byte(named)}}, "linux")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || all[0].Confidence != "confirmed" || len(all[0].Names) != 3 {
		t.Fatalf("got %+v", all)
	}
	if got := all[0].Names[1]; got != (catalogue.Name{Kind: "thing-host", Path: "server", In: "other.json"}) {
		t.Errorf("got %+v", got)
	}
}

func TestAKeyringOfOtherSystemsIsLoadedThere(t *testing.T) {
	for _, goos := range []string{"darwin", "windows"} {
		all, err := catalogue.LoadFrom(fstest.MapFS{"product/thing.yaml": {Data: []byte(named)}}, goos)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != 1 || all[0].ID != "thing-keyring" || all[0].Confidence != "unconfirmed" || len(all[0].Keyring) != 1 {
			t.Errorf("%s: got %+v", goos, all)
		}
	}
}

func TestNoSecretIsTakenForAName(t *testing.T) {
	for _, bad := range []string{"thing-host: access_token", "thing-host: a.password", "thing-host: client_secret in x.json", "Thing: a", "thing-host: x in /etc/shadow"} {
		text := strings.Replace(named, "claims: id_token", bad, 1)
		if _, err := catalogue.Parse("thing.yaml", []byte(text)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestAKeyringMatchHasItsSystemsWords(t *testing.T) {
	for _, bad := range []string{`{target: "thing:*"}`, `{service: "thing:*", schema: x}`} {
		text := strings.Replace(named, `{service: "thing:*"}`, bad, 1)
		if _, err := catalogue.Parse("thing.yaml", []byte(text)); err == nil {
			t.Errorf("%q was taken for macOS", bad)
		}
	}
}

// What is only on another system is there, though nothing of it runs here.
func TestRowsOfOneSystemAreLoadedForIt(t *testing.T) {
	for goos, ids := range map[string][]string{
		"darwin":  {"claude-code-keyring", "chatgpt-data", "aws-vault-keychain", "macos-vpn", "tailscale-keyring", "wireguard-keychain", "globalprotect-keyring"},
		"windows": {"windows-vpn", "windows-machine-vpn", "wireguard-windows", "gh-keyring", "docker-keyring", "heroku-keyring"},
	} {
		all, err := catalogue.Load(goos)
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]catalogue.Credential{}
		for _, c := range all {
			have[c.ID] = c
		}
		for _, id := range ids {
			if c, ok := have[id]; !ok || len(c.Paths)+len(c.Keyring) == 0 {
				t.Errorf("%s: %s is not there", goos, id)
			}
		}
		for _, c := range all {
			if c.Action == catalogue.KeyringDelete && len(c.Keyring) == 0 {
				t.Errorf("%s: %s matches nothing in the keyring", goos, c.ID)
			}
		}
	}
}
