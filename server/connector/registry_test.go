package connector_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"cutoff/server/connector"
	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/revoke"
)

const fine = "use: oauth-admin\nsettings: {base: \"https://login.example.com\"}\n"

func TestRegistryStopsOnlyTheConnectorThatIsOfNoUse(t *testing.T) {
	token := map[string]string{"token": "x"}
	all := []connector.Configured{
		{Name: "works", Kind: "http", Config: fine, Secrets: token},
		{Name: "typo", Kind: "http", Config: strings.Replace(fine, "base", "bse", 1), Secrets: token},
		{Name: "no-secret", Kind: "http", Config: fine},
		{Name: "locked", Kind: "http", Config: fine, Err: errors.New("sealed")},
		{Name: "future", Kind: "quantum", Config: fine},
	}
	var failing error
	r, err := connector.NewRegistry(connector.Config{
		Load:  func(context.Context) ([]connector.Configured, error) { return all, failing },
		Held:  func(context.Context, string) (string, error) { return "", errors.New("none") },
		Lists: noLists{},
		Seen:  func(context.Context, string, string) ([]device.Certificate, bool, error) { return nil, false, nil },
		Now:   time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Changed()
	if want := []string{"future", "locked", "no-secret", "typo", "works"}; !slices.Equal(r.Names(), want) {
		t.Errorf("got names %v, want %v", r.Names(), want)
	}
	for _, name := range r.Names() {
		specs, err := r.Plan(t.Context(), name, alice())
		if err != nil || len(specs) != 1 {
			t.Fatalf("%s: got %v %v, want one step", name, specs, err)
		}
		// One of no use says that its provider is out of reach, for all we know.
		if unusable := name != "works"; specs[0].Unsupported != unusable || specs[0].Residual.Unbounded != unusable {
			t.Errorf("%s: got %+v", name, specs[0])
		}
		if name != "works" && len(r.Problems(name)) == 0 {
			t.Errorf("%s: nothing says why it is of no use", name)
		}
	}
	if res := r.Revoke(t.Context(), revoke.Step{Connector: "typo"}); res.Outcome != revoke.Blocked {
		t.Errorf("a step of a connector of no use is %s, want blocked", res.Outcome)
	}
	if _, err := r.Plan(t.Context(), "gone", alice()); !fault.Is(err, fault.NotFound) {
		t.Errorf("got %v, want not found", err)
	}

	// A database that cannot be read changes nothing.
	failing = errors.New("locked")
	r.Changed()
	if r.Product("works") == "" {
		t.Error("the connector is gone after a reload that failed")
	}
	failing, all = nil, nil
	r.Changed()
	if len(r.Names()) != 0 {
		t.Errorf("got names %v after all were removed", r.Names())
	}
}

func TestRegistryChecksAFileAndTheNamesOfItsSecrets(t *testing.T) {
	b := newBench(t, nil)
	for _, row := range []struct {
		kind, file string
		secrets    []string
		want       string
	}{
		{"http", fine, nil, ""},
		{"http", fine, []string{"token"}, ""},
		{"http", fine, []string{}, `secret "token" is not given`},
		{"http", fine, []string{"token", "tokn"}, `secret "tokn" is given`},
		{"https", fine, nil, `there is no kind of connector "https"`},
		{"oidc", "issuer: https://x.example.com\nclient: {id: a, secret: s}\naccess_token_life: 1h\n", []string{"s"}, ""},
		{"oidc", "issuer: https://x.example.com\nclient: {id: a}\naccess_token_life: 1h\n", nil, "2:9: secret is missing"},
		{"oidc", "client: {id: a, auth: none}\naccess_token_life: 1h\n", nil, "1:1: say issuer"},
		{"oidc", "issuer: https://x.example.com\nclient: {id: a, auth: none}\n", nil, "access_token_life is missing"},
		{"oidc", "issuer: https://x.example.com\nclient: {id: a, auth: magic}\naccess_token_life: soon\n", nil, "3:20: want how long"},
		{"oidc", "", nil, "1:1: the file is empty"},
	} {
		_, problems := b.Check(row.kind, row.file, row.secrets)
		text := ""
		for _, p := range problems {
			text += p.String() + "\n"
		}
		if row.want == "" && text != "" || !strings.Contains(text, row.want) {
			t.Errorf("%s %q %v: got %q, want %q", row.kind, row.file, row.secrets, text, row.want)
		}
	}
}
