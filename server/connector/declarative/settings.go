package declarative

import (
	"maps"
	"net/url"
	"slices"
	"strings"

	"cutoff/server/connector/config"
	"cutoff/server/document"
)

// use reads a file that only fills in the settings of a shipped entry.
func (f *file) use(root map[string]document.Node) {
	for _, key := range definitionKeys[1:] {
		if !root[key].Missing() {
			root[key].Fault("%s comes from the entry that use names; a file of your own leaves use out", key)
		}
	}
	name := root["use"].Text()
	text, ok := shipped(name)
	if !ok {
		root["use"].Fault("there is no entry %q (there are %s)", name, strings.Join(Entries(), ", "))
		return
	}
	entry := document.Read([]byte(text), config.MaxBytes)
	fields := entry.Root.Map(append([]string{"needs"}, definitionKeys...)...)
	needs := map[string]need{}
	for _, n := range needsOf(fields["needs"]) {
		needs[n.key] = n
	}
	for key, n := range needs {
		if n.address {
			f.spec.addresses = append(f.spec.addresses, key)
		}
	}
	f.settings(root["settings"].Entries(), needs)
	for _, key := range slices.Sorted(maps.Keys(needs)) {
		n := needs[key]
		if _, given := f.spec.settings[key]; given || f.spec.bases[key] != nil {
			continue
		}
		if n.address && n.fallback != "" {
			if u, err := url.Parse(n.fallback); err == nil {
				f.spec.bases[key] = u
				continue
			}
		}
		f.spec.settings[key] = n.fallback
		if n.fallback == "" && !n.optional {
			root["use"].Fault("%s needs the setting %q: %s", name, key, n.about)
		}
	}
	f.definition(fields)
	if product := root["product"].Text(); product != "" {
		f.spec.product = product
	}
	// A shipped entry has no problems of its own (a test holds that) but those
	// that the settings make.
	for _, p := range entry.Problems() {
		root["use"].Fault("entry %s, %s", name, p)
	}
}

// settings reads the administrator's values; those that look like an address
// must be one, and are what requests may begin with.
func (f *file) settings(given []document.Entry, needs map[string]need) {
	f.spec.settings, f.spec.bases = map[string]string{}, map[string]*url.URL{}
	for _, e := range given {
		n, known := needs[e.Key]
		if needs != nil && !known {
			e.At.Fault("unknown setting %q; known are %s", e.Key, strings.Join(slices.Sorted(maps.Keys(needs)), ", "))
			continue
		}
		if strings.Contains(e.Key, ".") || strings.ContainsFunc(e.Key, notName) || slices.Contains(subjectVariables, e.Key) {
			e.At.Fault("%q cannot be a setting's name", e.Key)
			continue
		}
		text := e.Value.Text()
		if !n.address && !strings.Contains(text, "://") {
			f.spec.settings[e.Key] = text
			continue
		}
		if u := f.link.Address(e.Value); u != nil {
			f.spec.bases[e.Key] = u
		} else {
			f.spec.settings[e.Key] = "" // it was said once; that will do
		}
	}
}
