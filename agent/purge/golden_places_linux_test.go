package purge_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"cutoff/agent/purge/catalogue"
	"cutoff/platform/platformtest"
)

// places is the home of testdata/places-before.txtar, in a group that names a
// work tree.
func places(t *testing.T) (*bench, platformtest.User, *txtar.Archive) {
	t.Helper()
	u := user("alice")
	b := newBench(t, u)
	b.config.Scope = func() catalogue.Scope { return catalogue.Scope{WorkTrees: []string{"~/src"}} }
	archive, err := txtar.ParseFile("testdata/places-before.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		b.root.File(u, u.Home+"/"+f.Name, string(f.Data))
	}
	runtime := fmt.Sprintf("/run/user/%d/krb5cc", u.UID)
	b.root.Folder(u, "/tmp", 0o777) // as everywhere, but for the sticky bit
	b.root.Folder(u, runtime, 0o777)
	b.root.File(u, fmt.Sprintf("/tmp/krb5cc_%d", u.UID), "S3CR3T")
	b.root.File(u, runtime+"/tkt", "S3CR3T")
	return b, u, archive
}

func TestApplicationsSandboxesAndCopiesLoseExactlyTheirSecrets(t *testing.T) {
	b, u, archive := places(t)
	b.purge()
	after := left(t, b.root.Path(u.Home))
	golden(t, "places-after.txtar", after)
	if strings.Contains(string(after), "S3CR3T") {
		t.Error("a secret is left")
	}
	for _, dir := range []string{"/tmp", "/run"} {
		if strings.Contains(string(left(t, b.root.Path(dir))), "S3CR3T") {
			t.Errorf("a secret is left in %s", dir)
		}
	}
	kept := strings.Count(string(after), "KEEP")
	for _, f := range archive.Files {
		kept -= strings.Count(string(f.Data), "KEEP")
	}
	if kept != 0 {
		t.Errorf("%d of what must stay is gone", -kept)
	}
}

func TestApplicationsSandboxesAndCopiesAreNamedWithoutTheirSecrets(t *testing.T) {
	b, u, _ := places(t)
	var rows []string
	for _, i := range b.plan() {
		row := fmt.Sprintf("%-15s %-10s %-8s %-11s %s", i.GetProduct(), i.GetAction(), i.GetRegain(), i.GetConfidence(), strings.ReplaceAll(i.GetPath(), fmt.Sprint(u.UID), "UID"))
		for _, id := range i.GetIdentifiers() {
			row += " | " + id.GetKind() + " " + id.GetValue()
		}
		rows = append(rows, row)
	}
	slices.Sort(rows)
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "places-plan.json", append(text, '\n'))
	if strings.Contains(string(text), "S3CR3T") {
		t.Error("a plan names a secret")
	}
}

func TestApplicationsSandboxesAndCopiesComeBackAfterASeal(t *testing.T) {
	b, u, _ := places(t)
	b.root.Link(u, u.Home+"/snap/chromium/current", "2890")
	was := platformtest.Take(t, b.root.Dir)
	b.seal()
	b.lift()
	if diff := was.Diff(platformtest.Take(t, b.root.Dir)); len(diff) > 0 {
		t.Errorf("not as it was:\n%s", strings.Join(diff, "\n"))
	}
}
