package catalogue

import (
	"slices"
	"strings"
)

// Where a sandbox puts the folders of its own, below the folder of an
// application: flatpak's ~/.var/app/ID, and every revision in ~/snap/NAME, which
// is the home of what runs in it.
type move struct{ from, to string }

var (
	inFlatpak = []move{
		{"$XDG_CONFIG_HOME/", "config/"}, {"~/.config/", "config/"},
		{"$XDG_DATA_HOME/", "data/"}, {"~/.local/share/", "data/"},
		{"$XDG_CACHE_HOME/", "cache/"}, {"~/.cache/", "cache/"},
		{"$XDG_STATE_HOME/", ".local/state/"}, {"~/", ""},
	}
	inSnap = []move{
		{"$XDG_CONFIG_HOME/", "*/.config/"}, {"$XDG_CONFIG_HOME/", "common/"},
		{"$XDG_DATA_HOME/", "*/.local/share/"}, {"$XDG_CACHE_HOME/", "*/.cache/"}, {"$XDG_CACHE_HOME/", "common/.cache/"},
		{"$XDG_STATE_HOME/", "*/.local/state/"}, {"~/", "*/"},
	}
)

// Roots of the sandboxes' folders, below a home.
const (
	flatpakRoot = "~/.var/app/"
	snapRoot    = "~/snap/"
)

// Elsewhere lists the same places below the roots of the sandboxes that the
// product names, of those that there reports to be there ("~/snap/NAME").
func (c *Credential) Elsewhere(there func(root string) bool) []string {
	var out []string
	add := func(root string, moves []move) {
		if !there(root) {
			return
		}
		for _, p := range c.Paths {
			for _, m := range moves {
				if rest, ok := strings.CutPrefix(p, m.from); ok {
					out = append(out, root+"/"+m.to+rest)
				}
			}
		}
	}
	for _, id := range c.Flatpak {
		add(flatpakRoot+id, inFlatpak)
	}
	for _, name := range c.Snap {
		add(snapRoot+name, inSnap)
	}
	slices.Sort(out)
	return slices.Compact(out)
}
