package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/chacha20poly1305"
)

// thief has the device's sealed archives, and folders of the server to look
// for their key in: by every 32 bytes of every file as the key that wraps a
// private key of the database, and by every private key in the clear.
type thief struct {
	t       testing.TB
	headers [][]byte
	dirs    []string
}

func newThief(t testing.TB, state string, dirs ...string) *thief {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(state, "sealed", "*.sealed"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%d archives, %v", len(names), err)
	}
	x := &thief{t: t, dirs: dirs}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		header, err := age.ExtractHeader(bytes.NewReader(data[4+binary.BigEndian.Uint32(data):])) // after the label
		if err != nil {
			t.Fatalf("%s is no sealed archive: %v", name, err)
		}
		x.headers = append(x.headers, header)
	}
	return x
}

// opens reports whether any archive can be opened.
func (x *thief) opens() bool {
	x.t.Helper()
	var all [][]byte
	for _, dir := range x.dirs {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			data, err := os.ReadFile(path)
			all = append(all, data)
			return err
		})
		if err != nil {
			x.t.Fatal(err)
		}
	}
	wrapped := x.wrapped()
	for _, data := range all {
		for _, text := range regexp.MustCompile(`AGE-SECRET-KEY-1[0-9A-Z]{58}`).FindAll(data, -1) {
			if x.try(text) {
				return true
			}
		}
		for i := range len(data) - chacha20poly1305.KeySize + 1 {
			key := data[i : i+chacha20poly1305.KeySize]
			for id, blob := range wrapped {
				if private := unwrap(key, id, blob); private != nil && x.try(private) {
					return true
				}
			}
		}
	}
	return false
}

// wrapped are the wrapped private keys of every database in the folders, by id.
func (x *thief) wrapped() map[string][]byte {
	out := map[string][]byte{}
	for _, dir := range x.dirs {
		work := x.t.TempDir() // looking changes a database
		for _, suffix := range []string{"", "-wal"} {
			data, err := os.ReadFile(filepath.Join(dir, "cutoff.db"+suffix))
			if err == nil {
				err = os.WriteFile(filepath.Join(work, "cutoff.db"+suffix), data, 0o600)
			}
			if err != nil && suffix == "" {
				x.t.Fatal(err)
			}
		}
		text, err := exec.Command("sqlite3", filepath.Join(work, "cutoff.db"), "SELECT id, hex(wrapped) FROM escrows WHERE wrapped IS NOT NULL").Output()
		if err != nil {
			x.t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			id, blob, _ := strings.Cut(strings.TrimSpace(line), "|")
			if out[id], err = hex.DecodeString(blob); err != nil {
				x.t.Fatal(err)
			}
		}
	}
	return out
}

// unwrap tries a key. One with few different bytes was not drawn by chance.
func unwrap(key []byte, id string, blob []byte) []byte {
	var seen [256]bool
	different := 0
	for _, b := range key {
		if !seen[b] {
			seen[b] = true
			different++
		}
	}
	if different < 20 || len(blob) < chacha20poly1305.NonceSizeX {
		return nil
	}
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil
	}
	private, err := aead.Open(nil, blob[:chacha20poly1305.NonceSizeX], blob[chacha20poly1305.NonceSizeX:], []byte(id))
	if err != nil {
		return nil
	}
	return private
}

func (x *thief) try(private []byte) bool {
	identity, err := age.ParseX25519Identity(string(private))
	if err != nil {
		return false
	}
	for _, header := range x.headers {
		if _, err := age.DecryptHeader(header, identity); err == nil {
			return true
		}
	}
	return false
}

// TestNobodyReadsASealedDeviceAfterItsPurge: the laptop never comes back, its
// archives and a database backup from before are in a thief's hands, and so is
// the server's folder as it is afterwards, a restore of that backup included.
func TestNobodyReadsASealedDeviceAfterItsPurge(t *testing.T) {
	w := newWorld(t)
	id := w.open("seal")
	w.until("sealed", func() bool { return w.device().State == "sealed" })
	w.agent.Kill()
	w.server.Kill()
	backup := filepath.Join(w.dir, "backup")
	copyDatabase(t, w.server.Data, backup)
	before := newThief(t, w.state, w.server.Data, backup)
	if !before.opens() {
		t.Fatal("the key is not found while it is there: this test shows nothing")
	}
	if newThief(t, w.state, backup).opens() {
		t.Error("a database backup alone opens the archives")
	}
	w.serveAgain()
	if again := w.open("purge"); again != id {
		t.Errorf("the purge is cut %s, not %s", again, id)
	}
	if before.opens() {
		t.Error("the archives can be opened after the purge")
	}
	w.until("the shredding is accepted, until its backups are gone", func() bool {
		for _, s := range w.cut(id).Steps {
			until, err := time.Parse(time.RFC3339, s.Residual)
			if s.Connector == "escrow" && s.Outcome == "accepted" && err == nil {
				return time.Until(until).Round(24*time.Hour) == 30*24*time.Hour
			}
		}
		return false
	})
	// A restore brings the row back, not the key.
	w.server.Kill()
	copyDatabase(t, backup, w.server.Data)
	w.serveAgain()
	if before.opens() {
		t.Error("the archives can be opened after a restore")
	}
	keys, err := filepath.Glob(filepath.Join(w.server.Data, "escrow", "*.shredded"))
	if err != nil || len(keys) != 1 {
		t.Errorf("%d tombstones, %v", len(keys), err)
	}
}

// copyDatabase copies what a backup of the database has.
func copyDatabase(t testing.TB, from, to string) {
	t.Helper()
	if err := os.MkdirAll(to, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		name := "cutoff.db" + suffix
		_ = os.Remove(filepath.Join(to, name))
		data, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), data, 0o600)
		}
		if err != nil && suffix == "" {
			t.Fatal(err)
		}
	}
}
