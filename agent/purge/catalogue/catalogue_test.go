package catalogue_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"cutoff/agent/purge/catalogue"
	"cutoff/proto/addition"
)

func TestEverySystemsCatalogueReads(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		all, err := catalogue.Load(goos)
		if err != nil {
			t.Fatalf("%s: %v", goos, err)
		}
		if len(all) < 20 {
			t.Errorf("%s: %d credentials, want at least 20", goos, len(all))
		}
		for i := 1; i < len(all); i++ {
			if all[i-1].Last == all[i].Last && all[i-1].Danger > all[i].Danger || all[i-1].Last && !all[i].Last {
				t.Errorf("%s: %s (danger %d) comes before %s (%d)", goos, all[i-1].ID, all[i-1].Danger, all[i].ID, all[i].Danger)
			}
		}
	}
}

func TestTheMostDangerousCredentialIsTheFirst(t *testing.T) {
	all, err := catalogue.Load("linux")
	if err != nil {
		t.Fatal(err)
	}
	if all[0].ID != "aws-credentials" {
		t.Errorf("first is %s, want aws-credentials", all[0].ID)
	}
}

func TestProductsOfTheMainJobAreThere(t *testing.T) {
	all, err := catalogue.Load("linux")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, c := range all {
		have[c.Product] = true
	}
	for _, want := range []string{"aws", "gcloud", "azure", "kubernetes", "docker", "terraform", "vault", "gh", "git", "netrc", "npm", "pypi", "cargo", "postgresql", "rclone", "ssh", "history"} {
		if !have[want] {
			t.Errorf("no credentials of %s", want)
		}
	}
}

const good = `id: thing
product: Thing
confidence: confirmed
credentials:
  - id: thing-token
    what: Its token
    danger: 3
    paths:
      linux: [~/.thing]
    format: ini
    secrets: [token]
    unreadable: leave
    action: edit
    regain: sign-in
`

func TestMistakesAreNamedByLineAndColumn(t *testing.T) {
	cases := []struct{ name, from, to, want string }{
		{"a misspelt key", "danger: 3", "dangr: 3", `thing.yaml:7:5: unknown key "dangr"`},
		{"a missing key", "    what: Its token\n", "", `thing.yaml:5:5: key "what" is missing`},
		{"a repeated key", "    danger: 3\n", "    danger: 3\n    danger: 4\n", `thing.yaml:8:5: key "danger" is repeated`},
		{"an unknown action", "action: edit", "action: erase", "thing.yaml:13:13: want one of delete"},
		{"a danger that is no number", "danger: 3", "danger: high", "thing.yaml:7:13: want a number"},
		{"a path from nowhere", "[~/.thing]", "[.thing]", "thing.yaml:9:15: want a path"},
		{"an edit without secrets", "    secrets: [token]\n", "", "thing.yaml:5:5: action edit needs secrets"},
		{"an edit of an unknown format", "format: ini", "format: plist", "thing.yaml:10:13: want one of dotenv, hcl, ini"},
		{"a selector its format cannot have", "[token]", "[a.b.token]", `thing.yaml:5:5: selector "a.b.token": want at most 2 parts`},
		{"an unknown system", "linux:", "linus:", `thing.yaml:9:7: unknown key "linus"`},
		{"broken YAML", "danger: 3", "danger: [3", "thing.yaml:"},
		{"nothing at all", good, "", "thing.yaml:1:1: file is empty"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := catalogue.Parse("thing.yaml", []byte(strings.Replace(good, c.from, c.to, 1)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			var problem *catalogue.Problem
			if !errors.As(err, &problem) || problem.Line == 0 || problem.Column == 0 {
				t.Errorf("%v carries no line and column", err)
			}
		})
	}
}

func TestNothingIsTakenOfACatalogueWithOneMistake(t *testing.T) {
	from := fstest.MapFS{
		"product/a.yaml": {Data: []byte(good)},
		"product/b.yaml": {Data: []byte(strings.ReplaceAll(good, "danger: 3", "danger: 0"))},
	}
	all, err := catalogue.LoadFrom(from, "linux")
	if err == nil || len(all) != 0 {
		t.Fatalf("got %d credentials and %v, want none and an error", len(all), err)
	}
}

func TestAnIDBelongsToOneCredential(t *testing.T) {
	from := fstest.MapFS{"product/a.yaml": {Data: []byte(good)}, "product/b.yaml": {Data: []byte(good)}}
	_, err := catalogue.LoadFrom(from, "linux")
	if err == nil || !strings.Contains(err.Error(), `b.yaml:5:5: id "thing-token" is used in a.yaml already`) {
		t.Fatalf("got %v", err)
	}
}

func TestAKeyringMatchOfEverythingIsRefused(t *testing.T) {
	for _, match := range []string{`- {}`, `- {service: "*"}`} {
		text := strings.Replace(good, "    paths:\n      linux: [~/.thing]\n    format: ini\n    secrets: [token]\n    unreadable: leave\n    action: edit",
			"    keyring:\n      linux:\n        "+match+"\n    action: keyring-delete", 1)
		if _, err := catalogue.Parse("thing.yaml", []byte(text)); err == nil {
			t.Errorf("%s was taken", match)
		}
	}
}

// What administrators add can never take the place of what is there, and says
// nothing that this agent does not know.
func TestTheWordsOfAddedEntriesAreThoseOfTheCatalogue(t *testing.T) {
	for _, goos := range []string{"linux", "darwin", "windows"} {
		all, err := catalogue.Load(goos)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if strings.HasPrefix(c.ID, addition.Prefix) || strings.HasPrefix(c.Product, addition.Prefix) || c.Added {
				t.Errorf("%s is called as if an administrator had added it", c.ID)
			}
		}
	}
	for _, word := range addition.Tests() {
		if !slices.Contains(catalogue.Tests(), word) {
			t.Errorf("no test is called %q", word)
		}
	}
	for _, word := range addition.Formats() {
		text := strings.ReplaceAll(strings.ReplaceAll(good, "format: ini", "format: "+word), "action: edit", "action: delete")
		text = strings.ReplaceAll(text, "    secrets: [token]\n", "")
		if _, err := catalogue.Parse("thing.yaml", []byte(text)); err != nil {
			t.Errorf("no format is called %q: %v", word, err)
		}
	}
}
