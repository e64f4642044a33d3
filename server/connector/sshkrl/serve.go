package sshkrl

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"cutoff/server/revoke"
)

// ServeHTTP hands the list out: …/list, and …/list.sig for its signature.
// Anybody may have it: it holds hashes and serials. Who shows the token says
// with host and have which version that host has in use.
func (c *Connector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "only GET", http.StatusMethodNotAllowed)
		return
	}
	l, err := c.current(r.Context())
	if err != nil {
		http.Error(w, "the list cannot be read now", http.StatusServiceUnavailable)
		return
	}
	c.note(r)
	body := l.Bytes
	if strings.HasSuffix(r.URL.Path, ".sig") {
		body = l.Signature
	}
	tag := fmt.Sprintf(`"v%d"`, l.Version)
	h := w.Header()
	h.Set("ETag", tag)
	h.Set("Cache-Control", "no-cache")
	if strings.Contains(r.Header.Get("If-None-Match"), tag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body)
	}
}

// note keeps what a host of the file says, if it shows the token.
func (c *Connector) note(r *http.Request) {
	shown, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || c.fetch == "" || strings.HasSuffix(r.URL.Path, ".sig") {
		return
	}
	got, want := sha256.Sum256([]byte(shown)), sha256.Sum256([]byte(c.fetch))
	host := r.URL.Query().Get("host")
	have, err := strconv.ParseUint(r.URL.Query().Get("have"), 10, 63)
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 || err != nil || !slices.Contains(c.file.hosts, host) {
		return
	}
	// A word that is lost is said again at the host's next look.
	_ = c.lists.Fetched(r.Context(), c.name, revoke.ListHost{Name: host, Version: have, At: c.now()})
}
