package identify_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"cutoff/agent/purge/identify"
)

// inFolders is a folder that knows the names of those above it.
type inFolders struct {
	folder
	above []string
}

func (f inFolders) Above(n int) string { return f.above[n] }

func names(f identify.Finding) []string {
	var out []string
	for _, i := range f.Identifiers {
		out = append(out, i.Kind+" "+i.Value)
	}
	return out
}

func TestBrowserProfilesAreNamedByTheirAccount(t *testing.T) {
	state := `{"profile":{"info_cache":{"Default":{"user_name":"alice@example.com"},"Profile 1":{"user_name":"bob@example.com"}}}}`
	for _, c := range []struct {
		name, reader string
		around       inFolders
		want         []string
	}{
		{"a file of a Chromium profile", "browser-profile",
			inFolders{folder{name: "Login Data", files: map[string]string{"../Local State": state}}, []string{"Profile 1", "google-chrome", ".config"}},
			[]string{"browser-account bob@example.com", "browser-profile Profile 1"}},
		{"a file one folder below", "browser-profile",
			inFolders{folder{name: "Cookies", files: map[string]string{"../../Local State": state}}, []string{"Network", "Default", "google-chrome"}},
			[]string{"browser-account alice@example.com", "browser-profile Default"}},
		{"a Firefox profile", "firefox-profile",
			inFolders{folder{name: "key4.db", files: map[string]string{"signedInUser.json": `{"accountData":{"email":"alice@example.com","uid":"u1","sessionToken":"s"}}`}}, []string{"x.default"}},
			[]string{"browser-account alice@example.com", "browser-account-id u1", "browser-profile x.default"}},
		{"a GnuPG key", "gnupg-key", inFolders{folder{name: "0123456789abcdef0123456789abcdef01234567.key"}, nil},
			[]string{"gnupg-keygrip 0123456789ABCDEF0123456789ABCDEF01234567"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := names(identify.Read(c.reader, nil, c.around)); !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func counted(text string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
}

func kerberosName(realm string, parts ...string) []byte {
	out := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 1}, uint32(len(parts)))
	out = append(out, counted(realm)...)
	for _, p := range parts {
		out = append(out, counted(p)...)
	}
	return out
}

// ticketOf is one credential as MIT Kerberos writes it.
func ticketOf(server []byte, end time.Time) []byte {
	out := append(kerberosName("EXAMPLE.COM", "alice"), server...)
	out = append(append(out, 0, 18), counted(secret)...)
	for _, at := range []time.Time{time.Unix(1, 0), time.Unix(2, 0), end, end} {
		out = binary.BigEndian.AppendUint32(out, uint32(at.Unix()))
	}
	out = append(out, 0, 0, 0, 0, 0)          // not a session key; flags
	out = append(out, 0, 0, 0, 0, 0, 0, 0, 0) // no addresses, no data
	return append(append(out, counted(secret)...), counted("")...)
}

func TestKerberosCachesAreNamedByTheirPrincipal(t *testing.T) {
	end := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
	cache := append([]byte{5, 4, 0, 12, 0, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0}, kerberosName("EXAMPLE.COM", "alice", "admin")...)
	cache = append(cache, ticketOf(kerberosName("X-CACHECONF:", "krb5_ccache_conf_data", "fast_avail"), end.AddDate(9, 0, 0))...)
	cache = append(cache, ticketOf(kerberosName("EXAMPLE.COM", "krbtgt", "EXAMPLE.COM"), end)...)
	got := identify.Read("ccache", cache, folder{name: "krb5cc_1000"})
	if want := []string{"kerberos-principal alice/admin@EXAMPLE.COM"}; !slices.Equal(names(got), want) {
		t.Errorf("got %v, want %v", names(got), want)
	}
	if !got.Until.Equal(end) {
		t.Errorf("until %s, want %s", got.Until, end)
	}
	for cut := range cache {
		identify.Read("ccache", cache[:cut], folder{}) // half a cache names what it can
	}
}

func TestCopiesAreToldWithTheirOriginal(t *testing.T) {
	for _, c := range []struct {
		reader, name, text string
		want               []identify.Copy
	}{
		{"trash", "credentials.2.trashinfo", "[Trash Info]\nPath=/home/alice/.aws/credentials%20x\nDeletionDate=2026-01-01T00:00:00\n",
			[]identify.Copy{{File: "../files/credentials.2", Of: "/home/alice/.aws/credentials x"}}},
		{"trash", "x.trashinfo", "[Trash Info]\nPath=relative/x\n", nil},
		{"trash", "...trashinfo", "[Trash Info]\nPath=/home/alice/.netrc\n", nil},
		{"vscode-history", "entries.json", `{"version":1,"resource":"file:///home/alice/a%20b/.env","entries":[{"id":"Xy1z.env"},{"id":"../../../.ssh/id_rsa"}]}`,
			[]identify.Copy{{File: "Xy1z.env", Of: "/home/alice/a b/.env"}}},
		{"vscode-history", "entries.json", `{"resource":"untitled:Untitled-1","entries":[{"id":"a"}]}`, nil},
		{"path-name", "%home%alice%.netrc", "", []identify.Copy{{File: "%home%alice%.netrc", Of: "/home/alice/.netrc", Whole: true}}},
		{"path-name", "%home%alice%.netrc.swp", "", []identify.Copy{{File: "%home%alice%.netrc.swp", Of: "/home/alice/.netrc", Whole: true}}},
		{"path-name", "!home!alice!.netrc~", "", []identify.Copy{{File: "!home!alice!.netrc~", Of: "/home/alice/.netrc"}}},
		{"path-name", "notes.txt", "", nil},
	} {
		if got := identify.Copies(c.reader, c.name, []byte(c.text)); !slices.Equal(got, c.want) {
			t.Errorf("%s of %s: got %v, want %v", c.reader, c.name, got, c.want)
		}
	}
}
