package addition_test

import (
	"errors"
	"strings"
	"testing"

	"cutoff/proto/addition"
)

const good = `id: org-acme
product: Acme CLI
credentials:
  - id: org-acme-token
    what: Its token
    danger: 30
    paths:
      linux: [~/.acme/token]
    format: text
    contains: acme_pat_
    action: delete
    regain: sign-in
`

const mixed = `id: org-acme
product: Acme CLI
credentials:
  - id: org-acme-token
    what: Its token
    danger: 30
    paths:
      linux: [~/.acme/*.json]
    format: json
    key: auth.token
    secrets: [auth.token]
    action: edit
    regain: none
    policy: vaults
`

func TestAProductReads(t *testing.T) {
	for _, text := range []string{good, mixed} {
		p, err := addition.Parse("acme.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if p.ID != "org-acme" || len(p.Credentials) != 1 || p.Credentials[0].Confidence != "unconfirmed" {
			t.Errorf("got %+v", p)
		}
	}
}

func TestMistakesAreNamedByLineAndColumn(t *testing.T) {
	cases := []struct{ name, text, from, to, want string }{
		{"an id of the catalogue's own", good, "id: org-acme\n", "id: aws\n", "acme.yaml:1:5: want an id that begins with org-"},
		{"a credential's id of the catalogue's own", good, "org-acme-token", "aws-credentials", "acme.yaml:4:9: want an id"},
		{"an unknown key", good, "danger: 30", "dangr: 30", `acme.yaml:6:5: unknown key "dangr"`},
		{"a repeated key", good, "    danger: 30\n", "    danger: 30\n    danger: 31\n", `acme.yaml:7:5: key "danger" is repeated`},
		{"no content test", good, "    contains: acme_pat_\n", "", "acme.yaml:4:5: a content test is needed"},
		{"a content test that passes always", good, "acme_pat_", "a", "acme.yaml:10:15: want a text of 4 to 128 bytes"},
		{"an unknown test", good, "contains: acme_pat_", "only-if: always", "acme.yaml:10:14: want one of private-key"},
		{"a key of a format without keys", good, "contains: acme_pat_", "key: token", "acme.yaml:4:5: key needs a format that has keys"},
		{"a deep pattern", good, "~/.acme/token", "~/**/token", "acme.yaml:8:15: ** is not allowed"},
		{"a pattern without a format", good, "~/.acme/token", "~/.acme/*", "acme.yaml:8:15: the last component is written out"},
		{"a pattern of everything", mixed, "*.json", "*", "acme.yaml:8:15: the last component matches every file"},
		{"a pattern in the home itself", mixed, "~/.acme/*.json", "~/.*json", "acme.yaml:8:15: a pattern stands in a folder"},
		{"a first folder that is a pattern", mixed, "~/.acme/*.json", "~/*/x.json", "acme.yaml:8:15: the first folder is written out"},
		{"an absolute pattern", mixed, "~/.acme/*.json", "/srv/acme/*.json", "acme.yaml:8:15: an absolute path has no *"},
		{"the system's accounts", good, "~/.acme/token", "/etc/shadow", "nothing below /etc/shadow is ever removed"},
		{"another user's home", good, "~/.acme/token", "/home/bob/.acme", "nothing below /home is ever removed"},
		{"a way up", good, "~/.acme/token", "~/.acme/../.ssh/id", "without empty, . or .. components"},
		{"a way up from the root", good, "~/.acme/token", "/srv/../etc/shadow", "without empty, . or .. components"},
		{"a vault of the user's own", good, "~/.acme/token", "~/a/b/c/d/mine.kdbx", "this file is never removed"},
		{"who may log in", good, "~/.acme/token", "~/.ssh/authorized_keys", "this file is never removed"},
		{"the agent's own state", good, "~/.acme/token", "/var/lib/cutoff-agent/device.key", "nothing below /var/lib/cutoff-agent"},
		{"a variable that leads anywhere", good, "~/.acme/token", "$PATH/token", "want a path in the home"},
		{"a relative path", good, "~/.acme/token", "acme/token", "want a path in the home"},
		{"a whole folder", good, "action: delete", "action: delete-dir", "acme.yaml:11:13: want one of delete, edit"},
		{"a keyring item", good, "action: delete", "action: keyring-delete", "want one of delete, edit"},
		{"an edit of everything", mixed, "secrets: [auth.token]", `secrets: ["*.*"]`, "selects everything"},
		{"a word in two lines", good, "what: Its token", `what: "Its\u001b[2Jtoken"`, "without control characters"},
		{"an unknown policy", mixed, "policy: vaults", "policy: everything", "acme.yaml:14:13: want one of gnupg"},
		{"broken YAML", good, "danger: 30", "danger: [30", "acme.yaml:"},
		{"nothing", good, good, "", "acme.yaml:1:1: file is empty"},
		{"too much", good, "Its token", strings.Repeat("x", addition.MaxFile), "at most 16384"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(c.text, c.from, c.to, 1)
			if text == c.text {
				t.Fatal("the case changes nothing")
			}
			_, err := addition.Parse("acme.yaml", []byte(text))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			problems := addition.Problems(err)
			if len(problems) == 0 || problems[0].Line == 0 || problems[0].Column == 0 || problems[0].File != "acme.yaml" {
				t.Errorf("problems %v carry no place", problems)
			}
		})
	}
}

func TestAnIDBelongsToOneFile(t *testing.T) {
	_, err := addition.ParseAll([]addition.File{{Name: "a.yaml", YAML: good}, {Name: "b.yaml", YAML: good}})
	if err == nil || len(addition.Problems(err)) != 2 || !strings.Contains(err.Error(), "is used in a.yaml already") {
		t.Fatalf("got %v", err)
	}
}

func TestAllFilesTogetherAreBounded(t *testing.T) {
	files := make([]addition.File, addition.MaxFiles+1)
	for i := range files {
		files[i] = addition.File{Name: "x.yaml", YAML: good}
	}
	var problem *addition.Problem
	if _, err := addition.ParseAll(files); !errors.As(err, &problem) {
		t.Errorf("%d files: got %v", len(files), err)
	}
}

func TestChoicesOfAGroupAreNarrow(t *testing.T) {
	for _, bad := range []string{"", "com", "Example.com", "example..com", "@example.com", "-a.com", "*.com"} {
		if addition.WrongAccount(bad) == "" {
			t.Errorf("the account %q was taken", bad)
		}
	}
	for _, bad := range []string{"", "~", "~/", "/", "/srv", "/etc/x", "~/../x", "~/src/../..", "src", "~/*", "$HOME/src", "/home/bob/src"} {
		if addition.WrongTree(bad) == "" {
			t.Errorf("the work tree %q was taken", bad)
		}
	}
	if why := addition.WrongAccount("eu.example.com") + addition.WrongTree("~/src/app") + addition.WrongTree("/srv/code"); why != "" {
		t.Error(why)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte(mixed))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := addition.Parse("f.yaml", data)
		if err != nil {
			return
		}
		for _, c := range p.Credentials {
			if !strings.HasPrefix(c.ID, addition.Prefix) || c.OnlyIf == "" && c.Contains == "" && c.Key == "" {
				t.Fatalf("%+v was taken", c)
			}
			for _, paths := range c.Paths {
				for _, path := range paths {
					if strings.Contains(path, "**") || strings.Contains(path, "/../") {
						t.Fatalf("the path %q was taken", path)
					}
				}
			}
		}
	})
}
