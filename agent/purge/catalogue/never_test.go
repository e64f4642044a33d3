package catalogue_test

import (
	"path"
	"slices"
	"strings"
	"testing"

	"cutoff/agent/purge/catalogue"
	"cutoff/platform/paths"
)

// never are files that no entry may reach, wherever it is looked for: without
// them the machine leaves its company, its disk stays shut, or a person loses
// what nobody else has.
var never = map[string][]string{
	"linux": {
		"/etc/krb5.keytab", "/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_rsa_key.pub", "/etc/machine-id", "/etc/shadow", "/etc/passwd", "/etc/crypttab",
		"/etc/luks-keys/root.key", "/etc/cryptsetup-keys.d/home.key", "/boot/crypto_keyfile.bin", "/var/lib/systemd/credential.secret", "/var/lib/fprint/alice",
		"/etc/pki/tls/private/localhost.key", "/etc/ssl/private/ssl-cert-snakeoil.key", "/var/lib/cutoff/journal.db", "/var/lib/cutoff/device.key", "/var/lib/cutoff/sealed/itm_1",
		"~/Passwords.kdbx", "~/Documents/Passwords.kdbx", "~/.config/keepassxc/keepassxc.ini", "~/.local/share/keepass/Database.kdbx",
		"~/.ssh/authorized_keys2", "~/.config/google-chrome/Default/Bookmarks", "~/.config/google-chrome/Default/Preferences", "~/.config/google-chrome/Local State",
		"~/.mozilla/firefox/x.default/places.sqlite", "~/.mozilla/firefox/x.default/prefs.js", "~/.thunderbird/x.default/Mail/Local Folders/Inbox", "~/.thunderbird/x.default/abook.sqlite",
		"~/.gnupg/pubring.kbx", "~/.gnupg/trustdb.gpg", "~/.gnupg/openpgp-revocs.d/x.rev", "~/.bashrc", "~/.ecryptfs/wrapped-passphrase", "~/.Private/x", "~/Dropbox/thesis.txt",
	},
	"darwin": {
		"/Library/Keychains/System.keychain", "/var/db/SystemKey", "/Library/Application Support/Cutoff/device.key", "/Library/Keychains/FileVaultMaster.keychain",
		"~/Passwords.kdbx", "~/Library/Safari/Bookmarks.plist", "~/Library/Accounts/Accounts4.sqlite",
	},
	"windows": {
		"$PROGRAMDATA/Cutoff/device.key", "$PROGRAMDATA/Microsoft/Crypto/RSA/MachineKeys/x", "$SYSTEMROOT/System32/config/SECURITY", "$SYSTEMROOT/System32/config/SAM",
		"$PROGRAMDATA/ssh/ssh_host_rsa_key", "~/Passwords.kdbx",
	},
}

// told are files of a name that many entries match and only a test of the
// content tells: the entry must have such a test.
func told(c *catalogue.Credential) bool { return c.OnlyIf != "" || c.Contains != "" || c.Key != "" }

// reaches reports whether an entry, treated at one of its places, would touch
// the file.
func reaches(c *catalogue.Credential, pattern, file string) bool {
	for _, base := range []string{"XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"} {
		at, _ := paths.Base(base)
		pattern = strings.ReplaceAll(pattern, "$"+base, "~/"+at)
	}
	want, have := strings.Split(pattern, "/"), strings.Split(file, "/")
	if len(have) < len(want) || len(have) > len(want) && c.Action != catalogue.DeleteDir {
		return false
	}
	for i := range want {
		if ok, err := path.Match(want[i], have[i]); err != nil || !ok || strings.HasPrefix(have[i], ".") != strings.HasPrefix(want[i], ".") {
			return false
		}
	}
	return true
}

func TestNoEntryReachesWhatMustStay(t *testing.T) {
	for goos, files := range never {
		all, err := catalogue.Load(goos)
		if err != nil {
			t.Fatal(err)
		}
		for i := range all {
			c := &all[i]
			if c.Action == catalogue.Look || c.Action == catalogue.AgentClear {
				continue
			}
			for _, file := range files {
				for _, pattern := range slices.Concat(c.Paths, c.Elsewhere(everywhere)) {
					if reaches(c, pattern, file) && !told(c) {
						t.Errorf("%s: %s: %s reaches %s", goos, c.ID, pattern, file)
					}
				}
				if name := path.Base(file); slices.ContainsFunc(c.Trees, func(p string) bool { ok, _ := path.Match(p, name); return ok }) &&
					!slices.Contains(c.Except, name) && !told(c) && strings.HasPrefix(file, "~/") {
					t.Errorf("%s: %s: work trees reach %s", goos, c.ID, file)
				}
			}
		}
	}
}

// What a person or a machine may have nowhere else waits for a group's word.
func TestWhatIsKeptNowhereElseWaitsForAPolicy(t *testing.T) {
	for _, file := range []string{
		"~/.gnupg/private-keys-v1.d/x.key", "~/.gnupg/secring.gpg", "~/.config/borg/keys/x", "/var/lib/iwd/home.psk", "/etc/wpa_supplicant/wlan0.conf",
		"/var/lib/sss/db/cache_example.com.ldb", "/etc/NetworkManager/system-connections/home.nmconnection", "/var/lib/tailscale/tailscaled.state", "/etc/wireguard/wg0.conf",
	} {
		all, err := catalogue.Load("linux")
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for i := range all {
			for _, pattern := range all[i].Paths {
				if !reaches(&all[i], pattern, file) {
					continue
				}
				found = true
				if all[i].Policy == "" {
					t.Errorf("%s: %s goes without a policy", all[i].ID, file)
				}
			}
		}
		if !found {
			t.Errorf("no entry knows %s", file)
		}
	}
}

func everywhere(string) bool { return true }
