package catalogue

import (
	"slices"
	"strings"
)

// Where a sandbox puts the folders of its own, below the folder of an
// application: flatpak's ~/.var/app/ID, and every revision in ~/snap/NAME, which
// is the home of what runs in it.
var (
	inFlatpak = []struct{ from, to string }{
		{"$XDG_CONFIG_HOME/", "config/"}, {"~/.config/", "config/"},
		{"$XDG_DATA_HOME/", "data/"}, {"~/.local/share/", "data/"},
		{"$XDG_CACHE_HOME/", "cache/"}, {"~/.cache/", "cache/"},
		{"$XDG_STATE_HOME/", ".local/state/"}, {"~/", ""},
	}
	inSnap = []struct{ from, to string }{
		{"$XDG_CONFIG_HOME/", "*/.config/"}, {"$XDG_CONFIG_HOME/", "common/"},
		{"$XDG_DATA_HOME/", "*/.local/share/"}, {"$XDG_CACHE_HOME/", "*/.cache/"}, {"$XDG_CACHE_HOME/", "common/.cache/"},
		{"$XDG_STATE_HOME/", "*/.local/state/"}, {"~/", "*/"},
	}
)

// elsewhere lists the same places below the roots of the sandboxes that the
// product names.
func elsewhere(paths, flatpak, snap []string) []string {
	var out []string
	for _, p := range paths {
		for _, id := range flatpak {
			for _, m := range inFlatpak {
				if rest, ok := strings.CutPrefix(p, m.from); ok {
					out = append(out, "~/.var/app/"+id+"/"+m.to+rest)
				}
			}
		}
		for _, name := range snap {
			for _, m := range inSnap {
				if rest, ok := strings.CutPrefix(p, m.from); ok {
					out = append(out, "~/snap/"+name+"/"+m.to+rest)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
