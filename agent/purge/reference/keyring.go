package reference

import (
	"fmt"
	"slices"
	"strings"

	"cutoff/agent/purge/catalogue"
)

// keyring lays the file of a keyring of somebody who is not logged in: without
// a password, with an item of every entry that is in keyrings and others that
// are nobody's; or encrypted, if its name says that it is no GNOME keyring.
func (m *maker) keyring(c *catalogue.Credential, u int, name, variant string) bool {
	if !strings.HasSuffix(name, ".keyring") {
		// version, cipher and hash; one folder, its name hashed; one entry
		magic := "KWALLET\n\r\x00\r\n" + "\x00\x01\x00\x02" + "\x00\x00\x00\x01" + "0123456789abcdef" + "\x00\x00\x00\x01"
		if strings.HasSuffix(name, ".keystore") {
			magic = "Gnome Keyring Store 2\n\r\x00"
		}
		data := append([]byte(magic), m.binary("")...)
		return m.add(File{Owner: &m.Users[u], Name: name, Data: append(data, make([]byte, 300)...), Entry: c.ID, Variant: variant, Fate: Goes, Encrypted: true})
	}
	f := m.items("", variant)
	f.Owner, f.Name, f.Entry, f.Variant = &m.Users[u], name, c.ID, variant
	if !m.add(f) {
		return false
	}
	for _, collection := range m.collections() {
		f := m.items(collection, variant)
		f.Owner, f.Name = &m.Users[u], parent(name)+"/"+collection+".keyring"
		m.add(f)
	}
	return true
}

// collections are those that entries name.
func (m *maker) collections() []string {
	var out []string
	for i := range m.Catalogue {
		for _, match := range m.Catalogue[i].Keyring {
			if name := match["collection"]; name != "" && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// items writes a keyring with what entries look for in the collection.
func (m *maker) items(collection, variant string) File {
	f := File{Fate: Stays}
	var b strings.Builder
	b.WriteString("[keyring]\ndisplay-name=Default\nctime=0\nmtime=1700000000\nlock-on-idle=false\nlock-after=false\n")
	n := 0
	put := func(label, secret string, attributes map[string]string) {
		n++
		fmt.Fprintf(&b, "\n[%d]\nitem-type=0\ndisplay-name=%s\nsecret=%s\nmtime=1700000000\nctime=1700000000\n", n, label, secret)
		for i, name := range sorted(attributes) {
			fmt.Fprintf(&b, "\n[%d:attribute%d]\nname=%s\ntype=string\nvalue=%s\n", n, i, name, attributes[name])
		}
	}
	for i := range m.Catalogue {
		c := &m.Catalogue[i]
		for _, match := range c.Keyring {
			if c.Action != catalogue.KeyringDelete || match["collection"] != collection {
				continue
			}
			label, attributes := m.word(), map[string]string{}
			for name, value := range match {
				switch value = strings.ReplaceAll(value, "*", "acme.example"); name {
				case "collection":
				case "label":
					label = value
				default:
					attributes[name] = value
				}
			}
			attributes["account"] = "alice"
			secret := m.canary()
			if m.Scope.Allows(c) {
				f.Fate = Cut
			} else {
				secret = m.kept()
				f.Kept = append(f.Kept, secret)
			}
			put(label, secret, attributes)
			m.homes.Variants[c.ID] = append(m.homes.Variants[c.ID], "in a keyring, "+variant)
		}
	}
	if collection == "" || collection == "login" {
		for range 3 { // nobody's
			f.Kept = append(f.Kept, m.kept())
			put("Mail of "+m.word(), f.Kept[len(f.Kept)-1], map[string]string{"service": "imap.example", "account": "alice"})
		}
	}
	f.Data = []byte(b.String())
	return f
}

func sorted(attributes map[string]string) []string {
	var out []string
	for name := range attributes {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
