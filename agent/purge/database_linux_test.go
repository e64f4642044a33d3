package purge_test

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the editor's own reader

	"cutoff/platform/platformtest"
)

const vscdb = "/.config/Cursor/User/globalStorage/state.vscdb"

// editor makes a database as an editor that is running has it: much of it is in
// the log only, and what it deleted is still in the pages.
func editor(t *testing.T, b *bench, u platformtest.User) (path string) {
	t.Helper()
	from := filepath.Join(t.TempDir(), "state.vscdb")
	db := opened(t, from)
	for _, s := range []string{"PRAGMA journal_mode=WAL", "PRAGMA wal_autocheckpoint=5", "CREATE TABLE ItemTable (key TEXT UNIQUE ON CONFLICT REPLACE, value BLOB)"} {
		if _, err := db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 120 {
		key := []string{"cursorAuth/accessToken", fmt.Sprintf("secret://{\"extensionId\":\"x%d\"}", n), fmt.Sprintf("theme.%d", n)}[n%3]
		if _, err := db.Exec("INSERT INTO ItemTable VALUES (?, ?)", key, strings.Repeat([]string{secret, secret, "dark"}[n%3], n)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.Exec("DELETE FROM ItemTable WHERE key LIKE 'secret://%x1%'"); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		data, err := os.ReadFile(from + suffix)
		if err != nil {
			t.Fatal(err)
		}
		b.root.File(u, u.Home+vscdb+suffix, string(data))
	}
	return b.root.Path(u.Home + vscdb)
}

func opened(t testing.TB, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

func keys(t *testing.T, path string) []string {
	t.Helper()
	db := opened(t, path)
	defer db.Close()
	var word string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&word); err != nil || word != "ok" {
		t.Fatalf("the database is damaged: %q, %v", word, err)
	}
	rows, err := db.Query("SELECT key FROM ItemTable ORDER BY key")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var k string
		if err := rows.Scan(&k); err != nil {
			t.Fatal(err)
		}
		out = append(out, k)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOnlyRowsLeaveADatabase(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	path := editor(t, b, u)
	r := b.purge()
	want(t, at(t, r.Items, u.Home+vscdb), "edit", verified, "edited")
	noSecretBelow(t, b.root.Dir)
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if _, err := os.Lstat(path + suffix); err == nil {
			t.Errorf("%s is still there", suffix)
		}
	}
	left := keys(t, path)
	if len(left) != 40 || slices.ContainsFunc(left, func(k string) bool { return !strings.HasPrefix(k, "theme.") }) {
		t.Errorf("left are %d rows: %.200q", len(left), left)
	}
	if r := b.purge(); len(r.Items) != 1 {
		t.Errorf("a sweep found more: %s", list(r.Items))
	}
}

func TestALiftGivesADatabaseBackWithWhatLayBesideIt(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	path := editor(t, b, u)
	before := platformtest.Take(t, b.root.Dir)
	r := b.seal()
	want(t, at(t, r.Items, u.Home+vscdb), "edit", verified, "sealed")
	noSecretBelow(t, b.root.Dir)
	if n := len(keys(t, path+"")); n != 40 {
		t.Errorf("%d rows are left", n)
	}
	// To look is to touch what SQLite keeps beside it.
	for _, suffix := range []string{"-wal", "-shm"} {
		_ = os.Remove(path + suffix)
	}
	want(t, at(t, b.lift().Items, u.Home+vscdb), "edit", verified, "restored")
	if diff := before.Diff(platformtest.Take(t, b.root.Dir)); len(diff) > 0 {
		t.Errorf("the home is another: %s", diff)
	}
}

func TestALiftNeverOverwritesADatabaseThatWasUsedMeanwhile(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	path := editor(t, b, u)
	b.seal()
	db := opened(t, path)
	if _, err := db.Exec("INSERT INTO ItemTable VALUES ('new', 'row')"); err != nil {
		t.Fatal(err)
	}
	want(t, at(t, b.lift().Items, u.Home+vscdb), "left", blocked, "came-back")
	if left := keys(t, path); !slices.Contains(left, "new") {
		t.Error("the new row is gone")
	}
}

// Cursor's entry says that the file is a credential: what does not parse goes
// whole, with what lies beside it, and comes back whole.
func TestADatabaseThatDoesNotParseGoesWithWhatLiesBesideIt(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	u := user("alice")
	for _, suffix := range []string{"", "-wal", "-journal"} {
		b.root.File(u, u.Home+vscdb+suffix, "no database: "+secret)
	}
	before := platformtest.Take(t, b.root.Dir)
	want(t, at(t, b.seal().Items, u.Home+vscdb), "delete", verified, "sealed")
	noSecretBelow(t, b.root.Dir)
	if left, _ := filepath.Glob(b.root.Path(u.Home+vscdb) + "*"); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
	want(t, at(t, b.lift().Items, u.Home+vscdb), "delete", verified, "restored")
	if diff := before.Diff(platformtest.Take(t, b.root.Dir)); len(diff) > 0 {
		t.Errorf("the home is another: %s", diff)
	}
}
