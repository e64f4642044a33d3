package purge_test

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"cutoff/platform/platformtest"
)

// decorate gives some files odd modes, times and extended attributes.
func decorate(t *testing.T, r *platformtest.Root, u platformtest.User) {
	t.Helper()
	for name, mode := range map[string]os.FileMode{".aws/credentials": 0o640, ".docker/config.json": 0o644, ".aws/sso/cache/1.json": 0o400} {
		path := r.Path(u.Home + "/" + name)
		if err := unix.Setxattr(path, "user.note", []byte("of "+name), 0); err != nil {
			t.Fatalf("the temporary folder must be on a file system with extended attributes: %v", err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		when := time.Date(2020, 2, 3, 4, 5, 6, 789, time.UTC)
		if err := os.Chtimes(path, when, when); err != nil {
			t.Fatal(err)
		}
	}
}
