package purge_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cutoff/agent/purge/catalogue"
	"cutoff/platform/paths"
	"cutoff/platform/platformtest"
)

// concrete makes a path out of a pattern of the catalogue; "" when only a
// variable says where it is.
func concrete(p string, u platformtest.User) string {
	p = strings.ReplaceAll(strings.ReplaceAll(p, "{uid}", fmt.Sprint(u.UID)), "*", "x1")
	if name, rest, _, ok := paths.Variable(p); ok {
		base, known := paths.Base(name)
		switch {
		case name == "XDG_RUNTIME_DIR":
			return paths.Runtime(fmt.Sprint(u.UID)) + "/" + rest
		case !known:
			return ""
		}
		p = "~/" + base + "/" + rest
	}
	if rest, ok := paths.InHome(p); ok {
		return u.Home + "/" + strings.TrimPrefix(rest, "/")
	}
	return p
}

// planted makes the file, or a file in the folder, of a credential's place.
// Where another credential's place is in the way there is nothing to make.
func planted(t *testing.T, b *bench, u platformtest.User, c *catalogue.Credential, name string) string {
	t.Helper()
	content := "S3CR3T"
	switch c.OnlyIf {
	case "gcp-credential":
		content = `{"type":"service_account","private_key":"S3CR3T"}`
	case "private-key", "private-key-inside":
		content = "-----BEGIN PRIVATE KEY-----\nS3CR3T\n-----END PRIVATE KEY-----\n"
	}
	if c.Action == catalogue.DeleteDir {
		name += "/inside"
	}
	at := b.root.Path(name)
	for folder := filepath.Dir(at); folder != b.root.Dir; folder = filepath.Dir(folder) {
		if i, err := os.Lstat(folder); err == nil && !i.IsDir() {
			return ""
		}
	}
	if _, err := os.Lstat(at); !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	if !strings.HasPrefix(name, u.Home+"/") && !c.System {
		b.root.Folder(u, filepath.Dir(name), 0o777)
		if c.Action == catalogue.DeleteDir && os.Geteuid() == 0 {
			if err := os.Lchown(filepath.Dir(at), u.UID, u.GID); err != nil {
				t.Fatal(err)
			}
		}
	}
	return b.root.File(u, name, content)
}

// sandboxes picks one place for each root of a sandbox.
func sandboxes(places []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, p := range places {
		parts := strings.SplitN(p, "/", 6)
		root := strings.Join(parts[:min(5, len(parts)-1)], "/")
		if !seen[root] {
			out = append(out, p)
		}
		seen[root] = true
	}
	return out
}

// TestEveryPlaceOfTheCatalogueIsFound holds that each place which the catalogue
// names, in each sandbox, loses what is there, whoever wrote the entry. Mixed
// files, and what is told by its content, are the golden tests'.
func TestEveryPlaceOfTheCatalogueIsFound(t *testing.T) {
	all, err := catalogue.Load("linux")
	if err != nil {
		t.Fatal(err)
	}
	u := user("alice")
	b := newBench(t, platformtest.Users()...)
	b.config.Scope = func() catalogue.Scope { return catalogue.Scope{Policies: catalogue.Policies()} }
	machine := user("root")
	where := map[string]string{}
	count := map[string]int{}
	for i := range all {
		c := &all[i]
		if c.Action != catalogue.Delete && c.Action != catalogue.DeleteDir || c.Contains != "" || c.Key != "" {
			continue
		}
		owner := u
		if c.System {
			if machine.Name != "root" {
				continue // who is not root does not work on the machine
			}
			owner = machine
		}
		for _, p := range slices.Concat(c.Paths, sandboxes(c.Elsewhere(everywhere))) {
			if name := concrete(p, owner); name != "" {
				if at := planted(t, b, owner, c, name); at != "" {
					where[at] = c.ID
					count[c.ID]++
				}
			}
		}
		if len(c.Paths) > 0 && count[c.ID] == 0 && concrete(c.Paths[0], owner) != "" {
			t.Errorf("%s: no place of it could be made", c.ID)
		}
	}
	r := b.purgeAndSweep("cut_1")
	for at, id := range where {
		if _, err := os.Lstat(at); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %s is left", id, strings.TrimPrefix(at, b.root.Dir))
		}
	}
	t.Logf("%d places of %d credentials, %d items", len(where), len(count), len(r.Items))
}

func everywhere(string) bool { return true }
