package reference

import (
	"slices"
	"strings"

	"cutoff/agent/purge/catalogue"
)

// entry lays out one credential in all the ways it has.
func (m *maker) entry(c *catalogue.Credential) {
	switch c.Action {
	case catalogue.KeyringDelete, catalogue.KernelKey, catalogue.AgentClear, catalogue.End:
		return // in files of others, or in none
	}
	for _, k := range []kind{usual, override, sandbox} {
		for range max(m.Each, 1) {
			m.somewhere(c, k)
		}
	}
	for range 2 { // the only way that some have
		m.inTree(c)
		if c.Action == catalogue.Edit && c.Follow != "" {
			m.follower(c)
		}
	}
}

// somewhere lays an entry at one of its places, of a user who has it free.
func (m *maker) somewhere(c *catalogue.Credential, k kind) {
	list := patterns(c, k)
	for _, u := range m.rand.Perm(len(m.Users)) {
		if c.System && (m.Users[u].UID != 0 || k != usual) {
			continue
		}
		for _, n := range m.rand.Perm(len(list)) {
			at := m.expanded(c, list[n], u, k)
			if at != "" && m.lay(c, u, m.concrete(at), k.String()) {
				return
			}
		}
	}
}

// lay puts a credential at a name, as what it is there.
func (m *maker) lay(c *catalogue.Credential, u int, name, variant string) bool {
	switch {
	case c.Copies != "":
		return m.copied(c, u, name, variant)
	case c.Action == catalogue.Look:
		return m.names(c, u, name, variant)
	case c.Action == catalogue.DeleteDir:
		return m.folder(c, u, name, variant)
	case c.Action == catalogue.KeyringFile:
		return m.ours(c, u, name) && m.keyring(c, u, name, variant)
	}
	if !m.ours(c, u, name) {
		return false
	}
	at := name
	if m.rand.IntN(8) == 0 && m.inHome(u, name) && !c.Tested() && c.Format != "sqlite" {
		at = m.Users[u].Home + "/store/" + m.word() + "-" + base(name)
		if !m.free(name) || !m.add(File{Owner: m.owner(c, u), Name: name, Target: at}) {
			return false
		}
		variant += ", by a link"
	}
	if !m.put(c, u, at, variant, m.fate(c, u, at)) {
		return false
	}
	if at == name {
		m.backups(c, u, name)
	}
	return true
}

// put writes a credential's file, whatever leads to it.
func (m *maker) put(c *catalogue.Credential, u int, name, variant string, fate Fate) bool {
	if !m.free(name) {
		return false
	}
	for suffix, f := range m.content(c, name) {
		f.Owner, f.Name, f.Entry, f.Variant, f.Fate = m.owner(c, u), name+suffix, c.ID, variant, fate
		if suffix != "" {
			f.Entry = ""
			if fate == Cut {
				f.Fate, f.Kept = Goes, nil // it is merged
			}
		}
		m.add(f)
	}
	return true
}

func (m *maker) owner(c *catalogue.Credential, u int) *User {
	if c.System {
		return nil
	}
	return &m.Users[u]
}

func (m *maker) inHome(u int, name string) bool {
	return strings.HasPrefix(name, m.Users[u].Home+"/")
}

// ours reports whether the name is this entry's to treat.
func (m *maker) ours(c *catalogue.Credential, u int, name string) bool {
	if !m.free(name) || slices.ContainsFunc(c.Except, func(e string) bool { return glob(e, base(name)) }) {
		return false
	}
	first, _ := m.first(u, name, func(o *catalogue.Credential) bool {
		return o.OnlyIf == c.OnlyIf || strings.Contains(o.OnlyIf, "private-key") && strings.Contains(c.OnlyIf, "private-key")
	})
	if first != nil && first != c {
		m.homes.Shadowed[c.ID] = append(m.homes.Shadowed[c.ID], name+" is of "+first.ID)
		return false
	}
	return true
}

// fate is what becomes of an entry's file.
func (m *maker) fate(c *catalogue.Credential, u int, name string) Fate {
	if _, covered := m.first(u, name, func(*catalogue.Credential) bool { return true }); covered {
		return Goes
	}
	switch {
	case !m.Scope.Allows(c):
		return Stays
	case c.Action == catalogue.Edit:
		return Cut
	}
	return Goes
}

// folder lays a folder that goes whole.
func (m *maker) folder(c *catalogue.Credential, u int, name, variant string) bool {
	if m.folders[name] || !m.free(name) {
		return false
	}
	fate := Stays
	if _, covered := m.first(u, name+"/x", func(*catalogue.Credential) bool { return true }); m.Scope.Allows(c) || covered {
		fate = Goes
	}
	plain := *c
	plain.Action = catalogue.Delete
	for n := range 1 + m.rand.IntN(3) {
		inside := name + "/" + m.word() + extension(string(c.Format))
		if n == 1 {
			inside = name + "/" + m.word() + "/" + m.word()
		}
		entry, covered := m.first(u, inside, func(*catalogue.Credential) bool { return false })
		f := m.whole(&plain, inside)
		f.Owner, f.Name, f.Entry, f.Variant, f.Fate = m.owner(c, u), inside, c.ID, variant, fate
		if fate == Stays && (covered || entry != nil) {
			continue // another takes it
		}
		m.add(f)
	}
	if fate == Goes {
		m.goes(name)
	}
	return true
}

// inTree lays an entry into the work tree of a user.
func (m *maker) inTree(c *catalogue.Credential) {
	if len(c.Trees) == 0 {
		return
	}
	u := m.rand.IntN(len(m.Users))
	for range 10 {
		name := m.concrete(c.Trees[m.rand.IntN(len(c.Trees))])
		i := slices.IndexFunc(m.Catalogue, func(o catalogue.Credential) bool {
			return slices.ContainsFunc(o.Trees, func(p string) bool { return glob(p, name) }) && !slices.ContainsFunc(o.Except, func(p string) bool { return glob(p, name) })
		})
		if i < 0 || m.Catalogue[i].ID != c.ID {
			continue
		}
		at := m.Users[u].Home + "/src/" + m.word() + "/" + m.word() + "/" + name
		m.put(c, u, at, "work tree", m.fate(c, u, at))
		return
	}
}

// backups puts what editors and package managers leave beside a file.
func (m *maker) backups(c *catalogue.Credential, u int, name string) {
	if m.rand.IntN(2) > 0 || !m.inHome(u, name) && !c.System || c.Format == "sqlite" {
		return
	}
	folder, last := parent(name), base(name)
	forms := []string{last + "~", last + ".bak", last + ".orig", "#" + last + "#", "." + strings.TrimPrefix(last, ".") + ".swp"}
	n := m.rand.IntN(len(forms))
	copied := *c
	if n == 4 {
		copied = inOtherForm(c)
	}
	at := folder + "/" + forms[n]
	if !m.ours(c, u, at) {
		return
	}
	m.put(&copied, u, at, "backup beside it", m.fate(&copied, u, at))
}

// inOtherForm is an entry for a copy that goes whole.
func inOtherForm(c *catalogue.Credential) catalogue.Credential {
	out := *c
	out.Action, out.Format = catalogue.Delete, catalogue.Binary
	return out
}
