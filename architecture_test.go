package cutoff_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// arrows say what each folder may import of ours: a folder or a whole subtree
// ("/..."). A folder that is not listed may import nothing; the longest match
// counts. Tests may import more (see testArrows).
var arrows = map[string][]string{
	"proto/cutoff/v1":         {},
	"proto/cutoff/v1/gateway": {"proto/cutoff/v1"},
	"proto/signed":            {"proto/cutoff/v1"},
	"proto/addition":          {},
	"proto/extension":         {},

	"platform": {"platform/..."},

	"agent":         {"agent/...", "platform/...", "proto/..."},
	"agent/daemon":  {"agent/flow", "agent/control", "agent/mirror", "agent/uplink", "agent/enroll", "agent/report", "agent/lease", "agent/purge/...", "agent/scope", "agent/journal", "agent/order", "agent/config", "platform/...", "proto/..."},
	"agent/flow":    {"agent/lease", "agent/scope", "agent/purge/...", "agent/journal", "agent/order", "agent/report", "agent/config", "platform/...", "proto/..."},
	"agent/purge":   {"agent/purge/...", "agent/journal", "agent/order", "platform/...", "proto/..."},
	"agent/scope":   {"agent/purge/...", "agent/config", "platform/...", "proto/..."},
	"agent/lease":   {"platform/...", "proto/..."},
	"agent/journal": {"agent/order", "platform/...", "proto/..."},
	"agent/order":   {"agent/lease", "platform/...", "proto/..."},
	"agent/uplink":  {"agent/config", "agent/enroll", "platform/...", "proto/..."},
	"agent/enroll":  {"agent/config", "agent/uplink", "platform/...", "proto/..."},
	"agent/control": {},
	"agent/mirror":  {"proto/..."},
	"agent/report":  {"platform/...", "proto/..."},
	"agent/config":  {"platform/...", "proto/..."},

	"server":          {"server/command", "server/daemon", "proto/..."},
	"server/command":  {"server/daemon", "server/config", "server/evidence", "server/loadtest", "server/fault", "proto/..."},
	"server/loadtest": {"proto/..."},
	"server/daemon":   {"server/...", "proto/..."},
	"server/config":   {"server/fault", "server/document"},
	"server/fault":    {},

	// adapters: flow and the domain below it, never each other
	"server/ca":        {"server/flow", "domain", "proto/..."},
	"server/store":     {"server/flow", "domain", "proto/..."},
	"server/queue":     {"server/flow", "domain", "proto/..."},
	"server/api":       {"server/flow", "domain", "proto/..."},
	"server/console":   {"server/flow", "domain", "proto/..."},
	"server/connector": {"server/connector/...", "domain"},

	"server/flow": {"domain", "proto/..."},

	// the domain
	"server/device":   {"domain", "proto/..."},
	"server/person":   {"domain", "proto/..."},
	"server/posture":  {"domain", "proto/..."},
	"server/policy":   {"domain", "proto/..."},
	"server/decision": {"domain", "proto/..."},
	"server/order":    {"domain", "proto/..."},
	"server/lease":    {"domain", "proto/..."},
	"server/cut":      {"domain", "proto/..."},
	"server/revoke":   {"domain", "proto/..."},
	"server/escrow":   {"domain", "proto/..."},
	"server/operator": {"domain", "proto/..."},
	"server/evidence": {"domain", "proto/..."},

	"server/catalogue": {"domain", "proto/..."},
	"server/document":  {"server/fault"},

	"server/e2e": {"server/e2e/...", "proto/..."},
}

// domain is what "domain" stands for above.
var domain = []string{
	"server/device", "server/person", "server/posture", "server/policy", "server/decision", "server/order",
	"server/lease", "server/cut", "server/revoke", "server/escrow", "server/operator", "server/evidence", "server/catalogue", "server/document", "server/fault",
}

// only says which folders may import what others must not.
var only = map[string][]string{
	"os/exec":                            {"platform/command", "server/e2e", "server/loadtest"},
	"database/sql":                       {"server/store", "server/queue"},
	"github.com/jackc/pgx/v5":            {"server/store"},
	"github.com/riverqueue/river":        {"server/queue"},
	"html/template":                      {"server/console"},
	"cutoff/platform/secrets":            {"agent/purge", "agent/daemon"},
	"cutoff/platform/session":            {"agent/purge", "agent/daemon"},
	"cutoff/platform/process":            {"agent/purge", "platform/session"},
	"google.golang.org/grpc/credentials": {"agent/uplink", "agent/enroll", "server/api", "server/command", "server/daemon", "server/loadtest", "server/e2e"},
	"testing":                            {"platform/platformtest"},
}

// clocks are the folders that may ask what time it is; all others are told.
var clocks = []string{
	"server/daemon", "server/flow", "server/queue", "server/api", "server/command", "server/loadtest", "server/e2e",
	"server/connector/outgoing", "agent", "agent/control", "agent/daemon", "agent/flow", "agent/uplink", "agent/purge", "platform/clock",
}

// top is everything the root of the repository may hold.
var top = []string{
	"agent", "server", "proto", "installer", "platform", "go.mod", "go.sum", "README.md",
	"ARCHITECTURE.md", "architecture_test.go", "Makefile", "LICENSE", "bin",
}

func TestArchitectureTopLevelHoldsOnlyWhatIsNamed(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(top, e.Name()) {
			t.Errorf("%s does not belong at the top", e.Name())
		}
	}
}

func TestArchitectureArrowsPointDown(t *testing.T) {
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		for _, imported := range f.imports {
			if ours, ok := strings.CutPrefix(imported, "cutoff/"); ok && !allowed(f.dir, ours) {
				t.Errorf("%s imports %s: no arrow from %s", f.path, imported, f.dir)
			}
			for what, where := range only {
				if (imported == what || strings.HasPrefix(imported, what+"/")) && !within(f.dir, where) {
					t.Errorf("%s imports %s, which only %v may", f.path, imported, where)
				}
			}
		}
	}
}

func TestArchitectureEveryFolderOfCodeHasAnArrow(t *testing.T) {
	for _, f := range sources(t) {
		if _, ok := arrowsOf(f.dir); !ok && f.dir != "." {
			t.Errorf("%s: %s is in no row of the table", f.path, f.dir)
		}
	}
}

func TestArchitectureOnlyClocksAskForTheTime(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || slices.Contains(clocks, f.dir) || within(f.dir, []string{"server/e2e", "agent/purge"}) {
			continue
		}
		ast.Inspect(f.file, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Now" {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" {
					t.Errorf("%s asks for the time; take it as an argument", f.path)
				}
			}
			return true
		})
	}
}

func TestArchitectureEveryPackageSaysWhatItIsFor(t *testing.T) {
	docs := map[string]int{}
	for _, f := range sources(t) {
		if f.test || f.generated {
			continue
		}
		if _, ok := docs[f.dir]; !ok {
			docs[f.dir] = 0
		}
		if f.file.Doc != nil {
			docs[f.dir]++
		}
	}
	for dir, n := range docs {
		if n != 1 {
			t.Errorf("%s has %d package comments, want one", dir, n)
		}
	}
}

// source is one Go file.
type source struct {
	path, dir       string
	test, generated bool
	imports         []string
	file            *ast.File
}

// sources parses the whole tree, whatever the operating system of a file: go
// list would see one GOOS a run, and go test caches its result.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			nested := p != "." && exists(filepath.Join(p, "go.mod"))
			if nested || d.Name() == "testdata" || d.Name() == "node_modules" || p == "bin" || (p != "." && strings.HasPrefix(d.Name(), ".")) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		f := source{path: p, dir: path.Dir(filepath.ToSlash(p)), file: file}
		f.test = strings.HasSuffix(p, "_test.go")
		f.generated = ast.IsGenerated(file)
		for _, i := range file.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, name)
		}
		all = append(all, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func exists(p string) bool { _, err := os.Stat(p); return err == nil }

// arrowsOf is the row of the longest prefix of dir in the table.
func arrowsOf(dir string) ([]string, bool) {
	for d := dir; d != "." && d != "/"; d = path.Dir(d) {
		if row, ok := arrows[d]; ok {
			return row, true
		}
	}
	return nil, false
}

func allowed(from, to string) bool {
	if from == to {
		return true
	}
	row, _ := arrowsOf(from)
	for _, a := range row {
		if a == "domain" && slices.Contains(domain, to) {
			return true
		}
		if prefix, ok := strings.CutSuffix(a, "/..."); ok && (to == prefix || strings.HasPrefix(to, prefix+"/")) {
			return true
		}
		if a == to {
			return true
		}
	}
	return false
}

func within(dir string, folders []string) bool {
	for _, f := range folders {
		if dir == f || strings.HasPrefix(dir, f+"/") {
			return true
		}
	}
	return false
}
