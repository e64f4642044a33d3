package kerberos

import (
	"path"
	"strings"
)

// Name says where a cache is.
type Name struct {
	// Type is FILE, DIR, KEYRING, KCM, MEMORY or another in capitals.
	Type string
	// At is a path of FILE and DIR, and otherwise the type's own.
	At string
}

// Config is what a krb5.conf says about caches.
type Config struct {
	// Caches are values of default_ccache_name; Manager is kcm_socket.
	Caches  []string
	Manager string
	// Include and IncludeFolder are more files and folders of them.
	Include, IncludeFolder []string
}

// maxLine bounds what is read of one line.
const maxLine = 4 << 10

// ReadConfig reads one file.
func ReadConfig(data []byte) (c Config) {
	section := ""
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' || len(line) > maxLine {
			continue
		}
		if name, ok := strings.CutPrefix(line, "includedir "); ok {
			c.IncludeFolder = append(c.IncludeFolder, strings.TrimSpace(name))
			continue
		}
		if name, ok := strings.CutPrefix(line, "include "); ok {
			c.Include = append(c.Include, strings.TrimSpace(name))
			continue
		}
		if line[0] == '[' {
			section = line
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok || !strings.HasPrefix(section, "[libdefaults]") {
			continue
		}
		value = strings.Trim(strings.TrimSpace(value), `"`)
		switch strings.TrimSpace(key) {
		case "default_ccache_name":
			c.Caches = append(c.Caches, value)
		case "kcm_socket":
			c.Manager = value
		}
	}
	return c
}

// Locate reads a cache's name, for one user. A name with anything else to be
// worked out is not taken.
func Locate(name, uid, user string) (Name, bool) {
	name = strings.NewReplacer("%{uid}", uid, "%{euid}", uid, "%{USERID}", uid, "%{username}", user, "%{TEMP}", "/tmp", "%{null}", "").Replace(name)
	if strings.Contains(name, "%{") || name == "" {
		return Name{}, false
	}
	if strings.HasPrefix(name, "/") {
		return Name{Type: "FILE", At: name}, true
	}
	kind, at, ok := strings.Cut(name, ":")
	if !ok || kind == "" {
		return Name{}, false
	}
	if kind == "DIR" && strings.HasPrefix(at, ":") { // one cache of a folder
		at = path.Dir(at[1:])
	}
	return Name{Type: strings.ToUpper(kind), At: at}, true
}
