package declarative

import (
	"cutoff/server/connector/config"
	"cutoff/server/document"
)

// Entry is a shipped file and what it asks for.
type Entry struct {
	Name, Product string
	Questions     []config.Question
}

// Offers are the shipped entries, in the order of their names.
func Offers() []Entry {
	var all []Entry
	for _, name := range Entries() {
		text, _ := shipped(name)
		root := document.Read([]byte(text), config.MaxBytes).Root
		fields := map[string]document.Node{}
		for _, e := range root.Entries() {
			fields[e.Key] = e.Value
		}
		e := Entry{Name: name, Product: fields["product"].Text()}
		for _, n := range needsOf(fields["needs"]) {
			e.Questions = append(e.Questions, config.Question{
				Key: "settings." + n.key, About: n.about, Default: n.fallback, Optional: n.optional, Address: n.address, Many: n.many,
			})
		}
		for _, s := range secretsOf(fields["secrets"]) {
			e.Questions = append(e.Questions, config.Question{Key: s.name, About: s.about, Secret: true, Optional: s.optional, File: s.file})
		}
		all = append(all, e)
	}
	return all
}

// need is a setting that an entry asks for.
type need struct {
	key                     string
	address, optional, many bool
	fallback, about         string
}

func needsOf(n document.Node) []need {
	var all []need
	for _, e := range n.Entries() {
		m := e.Value.Map("is", "default", "optional", "about", "many")
		all = append(all, need{
			key: e.Key, address: m["is"].OneOf("address") != "", optional: m["optional"].Bool(false), many: m["many"].Bool(false),
			fallback: m["default"].Text(), about: m["about"].Text(),
		})
	}
	return all
}

// secret is one that a file names: in a list by name alone, or in a map with
// what people must know of it.
type secret struct {
	name, about    string
	optional, file bool
}

func secretsOf(n document.Node) []secret {
	var all []secret
	if n.Form() != document.Map {
		for _, name := range config.Texts(n) {
			all = append(all, secret{name: name})
		}
		return all
	}
	for _, e := range n.Entries() {
		if e.Value.Form() == document.Text {
			all = append(all, secret{name: e.Key, about: e.Value.Text()})
			continue
		}
		m := e.Value.Map("about", "optional", "file")
		all = append(all, secret{name: e.Key, about: m["about"].Text(), optional: m["optional"].Bool(false), file: m["file"].Bool(false)})
	}
	return all
}
