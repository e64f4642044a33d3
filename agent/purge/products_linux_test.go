package purge_test

import (
	"database/sql"
	"encoding/json"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	_ "modernc.org/sqlite" // what editors keep their state in

	"cutoff/agent/purge"
	"cutoff/agent/purge/catalogue"
	"cutoff/platform/platformtest"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// families are the golden files beside before.txtar: each holds what the
// products of one kind keep in a home and, with names that begin with /, on the
// machine.
var families = []string{"clouds", "infrastructure", "source", "registries", "assistants", "services", "access"}

func family(t *testing.T, name string) *txtar.Archive {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/" + name + ".before.txtar")
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// lay puts an archive into a trial root.
func lay(t *testing.T, archive *txtar.Archive) (*bench, platformtest.User) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs files of two owners, which only root can make")
	}
	root, alice := platformtest.User{Name: "root", Home: "/root"}, user("alice")
	b := newBench(t, root, alice)
	for _, f := range archive.Files {
		if strings.HasPrefix(f.Name, "/") {
			b.root.File(platformtest.User{}, f.Name, string(f.Data))
			continue
		}
		name := b.root.File(alice, alice.Home+"/"+f.Name, string(f.Data))
		if strings.HasSuffix(name, ".vscdb") {
			writeTable(t, name, string(f.Data))
		}
	}
	return b, alice
}

// writeTable makes an editor's database out of lines "key value".
func writeTable(t *testing.T, name, text string) {
	t.Helper()
	if err := os.Truncate(name, 0); err != nil {
		t.Fatal(err)
	}
	db := table(t, name)
	if _, err := db.Exec("CREATE TABLE ItemTable (key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB)"); err != nil {
		t.Fatal(err)
	}
	for raw := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(raw), " ")
		if _, err := db.Exec("INSERT INTO ItemTable (key, value) VALUES (?, ?)", key, value); err != nil {
			t.Fatal(err)
		}
	}
}

func readTable(t *testing.T, name string) []byte {
	t.Helper()
	rows, err := table(t, name).Query("SELECT key, value FROM ItemTable ORDER BY key")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out strings.Builder
	for rows.Next() {
		var key, value string
		if err := rows.Scan(&key, &value); err != nil {
			t.Fatal(err)
		}
		out.WriteString(key + " " + value + "\n")
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return []byte(out.String())
}

func table(t *testing.T, name string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// throughout holds a run to have come to its end in every home.
func throughout(t *testing.T, r purge.Result) {
	t.Helper()
	for _, i := range r.Items {
		if i.GetProduct() == "home" {
			t.Fatalf("%s: %s", i.GetPath(), i.GetDetail())
		}
	}
}

// rest is what is left of an archive's files.
func rest(t *testing.T, b *bench, home string, before *txtar.Archive) *txtar.Archive {
	t.Helper()
	after := &txtar.Archive{Comment: []byte("What is left after a purge; written by go test -update.\n\n")}
	for _, f := range before.Files {
		name := f.Name
		if !strings.HasPrefix(name, "/") {
			name = home + "/" + name
		}
		data, err := os.ReadFile(b.root.Path(name))
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, ".vscdb") {
			data = readTable(t, b.root.Path(name))
		}
		after.Files = append(after.Files, txtar.File{Name: f.Name, Data: data})
	}
	return after
}

func TestEveryFamilyOfProductsLosesExactlyItsSecrets(t *testing.T) {
	for _, name := range families {
		t.Run(name, func(t *testing.T) {
			before := family(t, name)
			b, alice := lay(t, before)
			throughout(t, b.purge())
			after := rest(t, b, alice.Home, before)
			golden(t, name+".after.txtar", txtar.Format(after))
			for _, f := range after.Files {
				if strings.Contains(string(f.Data), "S3CR3T") {
					t.Errorf("%s: a secret is left:\n%s", f.Name, f.Data)
				}
			}
			for _, f := range before.Files {
				kept := strings.Count(string(f.Data), "KEEP")
				i := slices.IndexFunc(after.Files, func(g txtar.File) bool { return g.Name == f.Name })
				if i >= 0 {
					kept -= strings.Count(string(after.Files[i].Data), "KEEP")
				}
				if kept != 0 {
					t.Errorf("%s: %d of what must stay is gone", f.Name, kept)
				}
			}
		})
	}
}

// What waits for a policy goes once the group allows it, and only that.
func TestWhatAPolicyAllowsGoes(t *testing.T) {
	for _, name := range []string{"access", "assistants", "infrastructure", "services", "source"} {
		t.Run(name, func(t *testing.T) {
			before := family(t, name)
			b, alice := lay(t, before)
			b.config.Scope = func() catalogue.Scope { return catalogue.Scope{Policies: catalogue.Policies()} }
			throughout(t, b.purgeAndSweep("cut_1"))
			after := rest(t, b, alice.Home, before)
			golden(t, name+".allowed.txtar", txtar.Format(after))
			for _, f := range after.Files {
				if strings.Contains(string(f.Data), "a policy must allow it") || strings.Contains(string(f.Data), "S3CR3T") {
					t.Errorf("%s is left", f.Name)
				}
			}
		})
	}
}

func TestEveryFamilyOfProductsIsNamedWithoutItsSecrets(t *testing.T) {
	for _, name := range families {
		t.Run(name, func(t *testing.T) {
			b, _ := lay(t, family(t, name))
			var rows []planned
			for _, i := range b.plan() {
				rows = append(rows, plannedOf(i))
			}
			text, err := json.MarshalIndent(rows, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".plan.json", append(text, '\n'))
			if strings.Contains(string(text), "S3CR3T") {
				t.Error("a plan names a secret")
			}
		})
	}
}

// planned is an item of a plan as a golden file has it.
type planned struct {
	Product, Path, Action, Detail, Regain, Confidence string
	Until                                             string   `json:",omitempty"`
	Identifiers                                       []string `json:",omitempty"`
}

func plannedOf(i *cutoffv1.Item) planned {
	p := planned{Product: i.GetProduct(), Path: i.GetPath(), Action: i.GetAction(), Detail: i.GetDetail(), Regain: i.GetRegain(),
		Confidence: i.GetConfidence(), Until: until(i)}
	for _, id := range i.GetIdentifiers() {
		p.Identifiers = append(p.Identifiers, id.GetKind()+" "+id.GetValue())
	}
	slices.Sort(p.Identifiers)
	return p
}

// A product that is in the golden files is there with everything it has: a new
// place of it needs a line there.
func TestEveryCredentialOfTheFamiliesIsExercised(t *testing.T) {
	all, err := catalogue.Load("linux")
	if err != nil {
		t.Fatal(err)
	}
	products := map[string]bool{}
	hit := map[string]bool{}
	for _, name := range families {
		for _, f := range family(t, name).Files {
			for _, c := range all {
				if slices.ContainsFunc(c.Paths, func(p string) bool { return usuallyAt(p, f.Name) }) {
					hit[c.ID], products[c.Product] = true, true
				}
			}
		}
	}
	for _, c := range all {
		if products[c.Product] && !others[c.Product] && !hit[c.ID] && len(c.Paths) > 0 && !earlier[c.ID] && c.Action != catalogue.AgentClear {
			t.Errorf("%s: none of its places is in a golden file: %v", c.ID, c.Paths)
		}
	}
}

// earlier are exercised by before.txtar and the home it describes, or lie where
// a golden file cannot put them.
var earlier = map[string]bool{
	"aws-credentials": true, "aws-config": true, "kubeconfig": true, "docker-config": true, "docker-legacy": true, "docker-client-keys": true,
	"vault-token": true, "gcp-adc": true, "podman-root-auth": true,
}

// others are products whose patterns are wider than these files: they have
// tests of their own.
var others = map[string]bool{"vscode": true, "vscode-forks": true, "dotenv": true, "certificates": true}

// usuallyAt reports whether a catalogue path is that of a file, or of a folder
// above it, where no variable moves it.
func usuallyAt(p, name string) bool {
	for from, to := range map[string]string{"~/": "", "$XDG_CONFIG_HOME/": ".config/", "$XDG_DATA_HOME/": ".local/share/",
		"$XDG_CACHE_HOME/": ".cache/", "$XDG_STATE_HOME/": ".local/state/", "/": "/"} {
		rest, ok := strings.CutPrefix(p, from)
		if !ok {
			continue
		}
		pattern := to + rest
		for at := name; at != "." && at != "/"; at = path.Dir(at) {
			if matched, err := path.Match(pattern, at); err == nil && matched {
				return true
			}
		}
	}
	return false
}
