package purge_test

import (
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"cutoff/platform/platformtest"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

var update = flag.Bool("update", false, "write the golden files anew")

// before is the home of testdata/before.txtar, with paths in shell style: ~
// in a start-up file stays as it is written there.
func before(t *testing.T, b *bench, u platformtest.User) *txtar.Archive {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/before.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		b.root.File(u, u.Home+"/"+f.Name, string(f.Data))
	}
	return archive
}

// left is what a home holds, as an archive.
func left(t *testing.T, home string) []byte {
	t.Helper()
	archive := &txtar.Archive{Comment: []byte("The home of before.txtar after a purge; written by go test -update.\n\n")}
	err := filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(home, path)
		archive.Files = append(archive.Files, txtar.File{Name: name, Data: data})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return txtar.Format(archive)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile("testdata/"+name, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("not as in testdata/%s; got\n%s", name, got)
	}
}

func TestEveryProductLosesExactlyItsSecrets(t *testing.T) {
	u := user("alice")
	b := newBench(t, u)
	archive := before(t, b, u)
	b.purge()
	after := left(t, b.root.Path(u.Home))
	golden(t, "after.txtar", after)
	if strings.Contains(string(after), "S3CR3T") {
		t.Error("a secret is left")
	}
	kept := strings.Count(string(after), "KEEP")
	for _, f := range archive.Files {
		kept -= strings.Count(string(f.Data), "KEEP")
	}
	if kept != 0 {
		t.Errorf("%d of what must stay is gone", -kept)
	}
}

func TestEveryProductIsNamedWithoutItsSecrets(t *testing.T) {
	u := user("alice")
	b := newBench(t, u)
	before(t, b, u)
	type row struct {
		Product, Path, Action, Regain string
		Until                         string   `json:",omitempty"`
		Identifiers                   []string `json:",omitempty"`
	}
	var rows []row
	for _, i := range b.plan() {
		r := row{Product: i.GetProduct(), Path: i.GetPath(), Action: i.GetAction(), Regain: i.GetRegain(), Until: until(i)}
		for _, id := range i.GetIdentifiers() {
			r.Identifiers = append(r.Identifiers, id.GetKind()+" "+id.GetValue())
		}
		slices.Sort(r.Identifiers)
		rows = append(rows, r)
	}
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", append(text, '\n'))
	if strings.Contains(string(text), "S3CR3T") {
		t.Error("a plan names a secret")
	}
}

func until(i *cutoffv1.Item) string {
	switch {
	case i.GetResidualUntil() != nil:
		return i.GetResidualUntil().AsTime().Format("2006-01-02")
	case i.GetResidualUnbounded():
		return "unbounded"
	}
	return ""
}
