package declarative

import (
	"embed"
	"slices"
	"strings"
)

//go:embed entries/*.yaml
var entries embed.FS

// Entries are the names of the shipped files, which a file of one's own names
// with use.
func Entries() []string {
	files, err := entries.ReadDir("entries")
	if err != nil {
		return nil
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	slices.Sort(names)
	return names
}

func shipped(name string) (string, bool) {
	if !slices.Contains(Entries(), name) {
		return "", false
	}
	data, err := entries.ReadFile("entries/" + name + ".yaml")
	return string(data), err == nil
}
