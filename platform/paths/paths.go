// Package paths says where things are by convention: the agent's own state and
// the folders that tools keep their files in. It must not look whether they
// are there.
package paths

import "strings"

// State is where the agent keeps its state unless told otherwise.
func State(goos string) string {
	switch goos {
	case "windows":
		return `C:\ProgramData\Cutoff`
	case "darwin":
		return "/Library/Application Support/Cutoff"
	}
	return "/var/lib/cutoff"
}

// bases are the folders that have a default when their variable is not set,
// relative to the home.
var bases = map[string]string{
	"HOME":            "",
	"XDG_CONFIG_HOME": ".config",
	"XDG_DATA_HOME":   ".local/share",
	"XDG_CACHE_HOME":  ".cache",
	"XDG_STATE_HOME":  ".local/state",
}

// Base returns the default of a folder variable, relative to the home.
func Base(variable string) (string, bool) {
	b, ok := bases[variable]
	return b, ok
}

// Runtime is a user's runtime folder.
func Runtime(uid string) string { return "/run/user/" + uid }

// Variable splits a catalogue path that begins with a variable: "$NAME/rest",
// or "$NAME[]" for a variable that holds a list of paths.
func Variable(p string) (name, rest string, list, ok bool) {
	after, ok := strings.CutPrefix(p, "$")
	if !ok {
		return "", "", false, false
	}
	name, rest, _ = strings.Cut(after, "/")
	name, list = strings.CutSuffix(name, "[]")
	return name, rest, list, name != ""
}

// InHome splits off the home from a catalogue path: "~/rest".
func InHome(p string) (rest string, ok bool) { return strings.CutPrefix(p, "~/") }
