package purge_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"cutoff/agent/purge"
	"cutoff/platform/platformtest"
)

// million makes a home of n files: most of them in projects, which nobody's
// credentials are looked for in, and a part in what a browser and an editor
// keep, which must be entered.
func million(b *testing.B, root *platformtest.Root, u platformtest.User, n int) (entered []string) {
	b.Helper()
	furnish(root, u)
	fill := func(below string, count int) {
		for made := 0; made < count; made += 200 {
			dir := root.Path(fmt.Sprintf("%s/%s/%02d/%04d", u.Home, below, made/20_000, made/200))
			if err := os.MkdirAll(dir, 0o755); err != nil {
				b.Fatal(err)
			}
			for i := range 200 {
				fd, err := syscall.Open(fmt.Sprintf("%s/f%03d", dir, i), syscall.O_CREAT|syscall.O_WRONLY, 0o644)
				if err != nil {
					b.Fatal(err)
				}
				_ = syscall.Close(fd)
			}
		}
	}
	fill("src/project", n-n/20)
	for _, below := range []string{".config/google-chrome/Default/Service Worker/CacheStorage", ".config/google-chrome/Default/IndexedDB",
		".mozilla/firefox/x.default-release/storage/default", ".config/Slack/Service Worker/CacheStorage", ".cache/JetBrains/GoLand2026.1/LocalHistory"} {
		fill(below, n/100)
		entered = append(entered, root.Path(u.Home+"/"+below))
	}
	if os.Geteuid() == 0 {
		if err := filepath.WalkDir(root.Path(u.Home), func(path string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(path, u.UID, u.GID)
		}); err != nil {
			b.Fatal(err)
		}
	}
	return entered
}

// BenchmarkPlan measures the plan of a home of a million files (CUTOFF_HEAVY=1;
// else 20,000) against find over the folders that must be entered, and the most
// memory that a process of it takes.
func BenchmarkPlan(b *testing.B) {
	n := 20_000
	if os.Getenv("CUTOFF_HEAVY") != "" {
		n = 1_000_000
	}
	u := user("alice")
	bench := newBench(b, u)
	entered := million(b, bench.root, u, n)
	var find, plan time.Duration
	var items int
	for b.Loop() {
		began := time.Now()
		if err := exec.Command("find", append(entered, "-fprint", "/dev/null")...).Run(); err != nil {
			b.Fatal(err)
		}
		find += time.Since(began)
		began = time.Now()
		all, err := purge.Plan(context.Background(), bench.config)
		if err != nil {
			b.Fatal(err)
		}
		plan += time.Since(began)
		items = len(all)
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_CHILDREN, &usage); err != nil {
		b.Fatal(err)
	}
	runs := float64(b.N)
	b.ReportMetric(float64(find.Microseconds())/1000/runs, "find-ms")
	b.ReportMetric(float64(plan.Microseconds())/1000/runs, "plan-ms")
	b.ReportMetric(plan.Seconds()/find.Seconds(), "of-find")
	b.ReportMetric(float64(usage.Maxrss)/1024, "child-MB")
	b.ReportMetric(float64(items), "items")
}
