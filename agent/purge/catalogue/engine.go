package catalogue

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"
)

// An engine is a family of programs that keep the same files below folders of
// their own: what is secret in them is written down once (engine/*.yaml, each
// credential with "files" in place of "paths"), and a product says only where
// its folders are:
//
//	engines:
//	  - engine: chromium
//	    bases:
//	      linux: [$XDG_CONFIG_HOME/google-chrome]
//
// Every file is then looked for below every base, and the credential's id is
// the product's, a hyphen, and its own. Confidence and holders are the
// product's.

//go:embed engine/*.yaml
var engineFiles embed.FS

// engines reads the engines once: they are part of the program.
var engines = sync.OnceValues(func() (map[string][]entry, error) {
	names, err := engineFiles.ReadDir("engine")
	if err != nil {
		return nil, fmt.Errorf("list engines: %w", err)
	}
	all := map[string][]entry{}
	for _, n := range names {
		data, err := engineFiles.ReadFile("engine/" + n.Name())
		if err != nil {
			return nil, fmt.Errorf("read engine: %w", err)
		}
		file, err := parse(n.Name(), data, (*reader).engine)
		if err != nil {
			return nil, err
		}
		all[file.ID] = file.entries
	}
	return all, nil
})

// engine reads the file of an engine.
func (r *reader) engine(n *yaml.Node) *File {
	file := &File{}
	var list *yaml.Node
	r.fields(n, []string{"id", "engine", "credentials"}, map[string]func(*yaml.Node){
		"id":          r.id(&file.ID),
		"engine":      r.text(&file.Title),
		"credentials": func(v *yaml.Node) { list = v },
	})
	r.inEngine = true
	file.entries = r.entries(list, Credential{})
	return file
}

// files reads where an engine's files are below a base: a list for all systems,
// or one for each.
func (r *reader) files(n *yaml.Node, into map[string][]string) {
	if !r.inEngine {
		r.bad(n, "files are an engine's: a product names paths")
		return
	}
	below := func(goos string, v *yaml.Node) {
		var list []string
		r.texts(&list)(v)
		for i, p := range list {
			if path.Clean(p) != p || strings.HasPrefix(p, "/") || strings.HasPrefix(p, "..") {
				r.bad(v.Content[i], "want a path below a base, not %q", p)
			}
		}
		into[goos] = list
	}
	if n.Kind != yaml.SequenceNode {
		r.perSystem(n, below)
		return
	}
	for _, goos := range systems {
		below(goos, n)
	}
}

// uses reads "engines" of a product and returns what they bring along.
func (r *reader) uses(n *yaml.Node, shared Credential) []entry {
	known, err := engines()
	if err != nil || n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
		r.bad(n, "want a list of engines with their bases")
		return nil
	}
	var out []entry
	for _, item := range n.Content {
		var name string
		bases := map[string][]string{}
		r.fields(item, []string{"engine", "bases"}, map[string]func(*yaml.Node){
			"engine": r.id(&name),
			"bases":  func(v *yaml.Node) { r.paths(v, bases) },
		})
		of, ok := known[name]
		if !ok {
			r.bad(item, "no engine %q", name)
		}
		for _, e := range of {
			out = append(out, e.below(bases, shared, item))
		}
	}
	return out
}

// below makes a product's credential out of an engine's.
func (e entry) below(bases map[string][]string, shared Credential, at *yaml.Node) entry {
	out := e
	out.ID = shared.Product + "-" + e.ID
	out.Product, out.Confidence, out.Holders = shared.Product, shared.Confidence, shared.Holders
	out.Flatpak, out.Snap = shared.Flatpak, shared.Snap
	out.line, out.column = at.Line, at.Column
	out.paths = map[string][]string{}
	for goos, list := range bases {
		for _, base := range list {
			for _, f := range e.files[goos] {
				out.paths[goos] = append(out.paths[goos], base+"/"+f)
			}
		}
		slices.Sort(out.paths[goos])
	}
	return out
}
