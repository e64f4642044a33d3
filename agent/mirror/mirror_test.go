package mirror_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cutoff/agent/mirror"
	"cutoff/proto/extension"
)

func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s.URL
}

func TestEachMirrorIsAskedUntilAFileIsOfUse(t *testing.T) {
	name := extension.FileName("cutoff.test", "dev_1")
	stale := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("stale")) })
	good := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/leases/"+name {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte("good"))
	})
	huge := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(strings.Repeat("x", extension.MaxFile+1)))
	})
	loops := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) })
	empty := serve(t, http.NotFound)
	var seen []string
	err := mirror.New("cutoff.test", "dev_1").Fetch(t.Context(),
		[]string{huge, loops, empty, stale, "file:///etc/passwd", "http://127.0.0.1:1/", good + "/leases/"},
		func(file []byte) bool { seen = append(seen, string(file)); return string(file) == "good" })
	if err != nil || len(seen) == 0 || seen[len(seen)-1] != "good" {
		t.Errorf("saw %q, %v", seen, err)
	}
	for _, file := range seen {
		if file != "good" && file != "stale" {
			t.Errorf("a file of %d bytes was handed on", len(file))
		}
	}
	err = mirror.New("cutoff.test", "dev_1").Fetch(t.Context(), []string{empty, loops}, func([]byte) bool { return true })
	if err == nil {
		t.Error("no mirror has it, and nobody says so")
	}
}
