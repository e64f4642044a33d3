package addition

import (
	"path"
	"slices"
	"strings"
)

// bases are the variables a path may begin with: all of them mean the home.
var bases = []string{"XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"}

// windowsBases are those of Windows.
var windowsBases = []string{"%USERPROFILE%", "%APPDATA%", "%LOCALAPPDATA%"}

// wrongPlace says what is wrong with a path, or is empty. keyed: its file has a
// listed format, so that its last component may be a pattern.
func wrongPlace(goos, p string, keyed bool) string {
	slashed := strings.ReplaceAll(p, `\`, "/")
	if goos != "windows" && slashed != p {
		return "a path of this system has no backslash"
	}
	absolute := strings.HasPrefix(slashed, "/")
	rest, inHome := homePath(goos, slashed)
	switch {
	case len(p) > maxPath:
		return "the path is too long"
	case strings.Contains(p, "**"):
		return "** is not allowed: name the folders"
	case strings.ContainsAny(p, "?[]{}\x00"):
		return "only * stands for part of a name"
	case !absolute && !inHome:
		return "want a path in the home (~/, $XDG_CONFIG_HOME/, %APPDATA%\\ …) or an absolute one without *"
	case absolute && goos == "windows":
		return "want a path in the home: %USERPROFILE%\\, %APPDATA%\\ or %LOCALAPPDATA%\\"
	case absolute && strings.Contains(p, "*"):
		return "an absolute path has no *"
	case absolute && path.Clean(p) != p, inHome && path.Clean(rest) != rest:
		return "write the path without empty, . or .. components"
	}
	if absolute {
		if never := neverAbsolute(p); never != "" {
			return "nothing below " + never + " is ever removed by an added entry"
		}
		return ""
	}
	return wrongHomePlace(rest, keyed)
}

// homePath is what follows the home in a path, if it begins with one.
func homePath(goos, p string) (rest string, ok bool) {
	if rest, ok = strings.CutPrefix(p, "~/"); ok {
		return rest, true
	}
	base, rest, _ := strings.Cut(p, "/")
	if goos == "windows" {
		return rest, slices.Contains(windowsBases, base)
	}
	return rest, strings.HasPrefix(base, "$") && slices.Contains(bases, base[1:])
}

func wrongHomePlace(rest string, keyed bool) string {
	folder, last := path.Split(rest)
	switch {
	case last == "" || last == ".":
		return "the path names no file"
	case strings.HasPrefix(rest, "*") && folder != "":
		return "the first folder is written out, not a pattern"
	case strings.Contains(last, "*") && !keyed:
		return "the last component is written out unless the format is one of " + strings.Join(parsed, ", ")
	case strings.Contains(last, "*") && strings.Trim(last, "*.") == "":
		return "the last component matches every file"
	case strings.Contains(last, "*") && folder == "":
		return "a pattern stands in a folder of its own, not in the home itself"
	}
	if NeverInHome(rest) {
		return "this file is never removed: what is lost with it does not come back, or the device is managed by it"
	}
	return ""
}

// NeverInHome reports whether no added entry may touch this name below a home.
// The agent asks again for what a pattern or a link led to.
func NeverInHome(name string) bool {
	name = strings.ToLower(name)
	if strings.HasSuffix(name, ".kdbx") {
		return true
	}
	for _, never := range neverHome {
		if hit, _ := path.Match(never, name); hit {
			return true
		}
	}
	return false
}

// neverHome are files of a home that no added entry names: what decides who may
// log in, the only copy of a user's own secrets, and what a device is managed
// with.
var neverHome = []string{
	".ssh/authorized_keys*", ".ssh/known_hosts*", ".ssh/rc", ".ssh/environment",
	".gnupg/*", ".gnupg/private-keys-v1.d/*",
	".bashrc", ".profile", ".bash_profile", ".zshrc", ".zshenv", ".zprofile", ".xprofile", ".xsession",
}

// never are folders and files outside homes that no added entry names, nor
// anything below them: the system itself, who may log in, what the device is
// managed and unlocked with, and other users' homes.
var never = []string{
	"/bin", "/boot", "/dev", "/lib", "/lib32", "/lib64", "/libx32", "/proc", "/run", "/sbin", "/sys", "/usr", "/home", "/root", "/tmp",
	"/etc/passwd", "/etc/passwd-", "/etc/group", "/etc/group-", "/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-",
	"/etc/subuid", "/etc/subgid", "/etc/sudoers", "/etc/sudoers.d", "/etc/doas.conf", "/etc/polkit-1", "/etc/pam.conf", "/etc/pam.d",
	"/etc/security", "/etc/login.defs", "/etc/shells", "/etc/profile", "/etc/profile.d", "/etc/environment",
	"/etc/ssh", "/etc/krb5.keytab", "/etc/machine-id", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf",
	"/etc/fstab", "/etc/crypttab", "/etc/cryptsetup-keys.d", "/etc/default", "/etc/init.d", "/etc/systemd", "/etc/dbus-1", "/etc/udev",
	"/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/apt", "/etc/yum.repos.d", "/etc/dnf",
	"/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/NetworkManager", "/etc/netplan", "/etc/network", "/etc/wpa_supplicant",
	"/etc/cutoff", "/etc/cutoff-agent", "/var/lib/cutoff", "/var/lib/cutoff-agent", "/var/lib/dpkg", "/var/lib/rpm", "/var/lib/systemd",
	"/var/lib/NetworkManager", "/var/lib/sss", "/var/lib/samba", "/var/lib/tpm2-tss", "/var/lib/AccountsService", "/var/run",
	"/Applications", "/System", "/Users", "/private", "/cores", "/Library/Keychains", "/Library/LaunchDaemons", "/Library/LaunchAgents",
	"/Library/Application Support/Cutoff Agent", "/Library/Managed Preferences", "/var/db", "/etc/opendirectoryd",
}

// neverAbsolute is what forbids an absolute path, or empty. Upper and lower
// case are one on some systems.
func neverAbsolute(p string) string {
	lower := strings.ToLower(p)
	for _, n := range never {
		at := strings.ToLower(n)
		if lower == at || strings.HasPrefix(lower, at+"/") || strings.HasPrefix(at, lower+"/") {
			return n
		}
	}
	if strings.Count(strings.TrimPrefix(p, "/"), "/") == 0 {
		return "the root itself"
	}
	return ""
}
