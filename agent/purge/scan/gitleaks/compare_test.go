package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/lucasjones/reggen"
	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/detect"
	"github.com/zricethezav/gitleaks/v8/report"

	"cutoff/agent/purge/scan"
)

// theirs is the release's own engine as its command line sets it up.
func theirs(t testing.TB) *detect.Detector {
	t.Helper()
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	d := detect.NewDetector(c)
	d.MaxDecodeDepth = 5
	return d
}

// want are their finds as "rule secret", each once.
func want(d *detect.Detector, name, text string) []string {
	var out []string
	for _, f := range d.Detect(detect.Fragment{Raw: text, FilePath: name}) {
		out = append(out, find(f.RuleID, secret(f)))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func secret(f report.Finding) string {
	if strings.HasPrefix(f.Match, "file detected: ") {
		return ""
	}
	return f.Secret
}

func find(rule, secret string) string { return rule + " " + secret }

func got(s *scan.Scanner, name, text string) map[string]bool {
	out := map[string]bool{}
	for _, f := range s.Scan(context.Background(), name, []byte(text)) {
		out[find(f.Rule, string(f.Secret))] = true
	}
	return out
}

// planted makes values that a rule's expression matches, in the settings that
// secrets are met in.
func planted(t testing.TB, c config.Config) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for id, r := range c.Rules {
		if r.Regex == nil {
			continue
		}
		for seed := range 4 {
			g, err := reggen.NewGenerator(r.Regex.String())
			if err != nil {
				break // an expression it cannot read; the corpus of code is left
			}
			g.SetSeed(int64(seed + 1))
			v := g.Generate(12)
			out[id] = append(out[id], v, "x = \""+v+"\"\n", "key: "+v+" # note\nnext: 1\n", "before\r\n"+v+"\r\nafter\r\n",
				"data="+base64.StdEncoding.EncodeToString([]byte("token = '"+v+"' ")), "h "+hex.EncodeToString([]byte("secret: "+v+" "))+" z")
		}
	}
	return out
}

func TestEverythingTheyFindIsFound(t *testing.T) {
	d, s := theirs(t), scan.New()
	finds := 0
	for id, texts := range planted(t, d.Config) {
		for _, text := range texts {
			for _, name := range []string{"src/app.yaml", "infra/main.tf", "web/index.php", "NuGet.Config"} {
				mine := got(s, name, text)
				for _, f := range want(d, name, text) {
					finds++
					if !mine[f] {
						t.Errorf("rule %s: in %s, %q: %q is not found; found %v", id, name, text, f, mine)
					}
				}
			}
		}
	}
	if finds < 2000 {
		t.Errorf("only %d finds to compare: the planted values are no test", finds)
	}
	t.Logf("%d finds compared", finds)
}

func TestCodeGivesTheSameFinds(t *testing.T) {
	d, s := theirs(t), scan.New()
	for _, f := range corpus(t, 8<<20) {
		mine := got(s, f.name, f.text)
		for _, w := range want(d, f.name, f.text) {
			if !mine[w] {
				t.Errorf("%s: %q is not found", f.name, w)
			}
			delete(mine, w)
		}
		if len(mine) > 3 {
			t.Errorf("%s: %d finds that they do not have: %.300q", f.name, len(mine), fmt.Sprint(mine))
		}
	}
}

type file struct{ name, text string }

// corpus is the source of Go itself, in which secrets are planted.
func corpus(t testing.TB, size int) []file {
	t.Helper()
	var (
		out []file
		sum int
	)
	root := filepath.Join(runtime.GOROOT(), "src")
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || sum > size || len(name)%3 != 0 {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil || len(data) > 90_000 || bytes.IndexByte(data, 0) >= 0 {
			return err // what is no text they find in by the way, as no command line of theirs would
		}
		rel, err := filepath.Rel(root, name)
		sum += len(data)
		out = append(out, file{filepath.ToSlash(rel), string(data)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := load()
	if err != nil {
		t.Fatal(err)
	}
	pick := rand.New(rand.NewPCG(1, 2))
	all := planted(t, c)
	for _, id := range slices.Sorted(maps(all)) {
		i := pick.IntN(len(out))
		out[i].text += "\n" + all[id][1] + "\n"
	}
	return out
}

func maps(m map[string][]string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// BenchmarkText is bytes a second of both engines over the same code, with the
// same secrets planted, each on one processor.
func BenchmarkText(b *testing.B) {
	files := corpus(b, 4<<20)
	size := 0
	for _, f := range files {
		size += len(f.text)
	}
	b.Run("cutoff", func(b *testing.B) {
		s := scan.New()
		for perProcessorSecond(b, size) {
			for _, f := range files {
				s.Scan(context.Background(), f.name, []byte(f.text))
			}
		}
	})
	b.Run("gitleaks", func(b *testing.B) {
		d := theirs(b)
		for perProcessorSecond(b, size) {
			for _, f := range files {
				d.Detect(detect.Fragment{Raw: f.text, FilePath: f.name})
			}
		}
	})
}

// perProcessorSecond is b.Loop, and reports megabytes a second of processor time.
func perProcessorSecond(b *testing.B, size int) bool {
	more := b.Loop()
	if !more {
		used := processor() - started[b.Name()]
		b.ReportMetric(float64(size)*float64(b.N)/1e6/used.Seconds(), "MB/cpu-s")
		return false
	}
	if _, known := started[b.Name()]; !known {
		started[b.Name()] = processor()
	}
	return true
}

var started = map[string]time.Duration{}

func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
