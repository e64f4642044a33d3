package reference

import (
	"fmt"
	"net/url"
	"strings"

	"cutoff/agent/purge/catalogue"
)

// names lays a file that only names others, and what it names.
func (m *maker) names(c *catalogue.Credential, u int, name, variant string) bool {
	if first, _ := m.first(u, name, func(*catalogue.Credential) bool { return false }); !m.free(name) || first != nil && first.Action != catalogue.Edit {
		return false
	}
	return m.naming(c, u, name, variant)
}

// follower lays a mixed file without secrets that names others.
func (m *maker) follower(c *catalogue.Credential) {
	for _, u := range m.rand.Perm(len(m.Users)) {
		for _, p := range c.Paths {
			for _, k := range []kind{usual, override} {
				at := m.expanded(c, p, u, k)
				if at != "" && m.ours(c, u, at) && m.naming(c, u, at, "names others, "+k.String()) {
					return
				}
			}
		}
	}
}

func (m *maker) naming(c *catalogue.Credential, u int, name, variant string) bool {
	var as *catalogue.Credential
	for i := range m.Catalogue {
		if m.Catalogue[i].ID == c.FollowAs {
			as = &m.Catalogue[i]
		}
	}
	if as == nil || !m.inHome(u, name) {
		return false
	}
	home, target := m.Users[u].Home, "/keys/"+m.word()
	written := "~" + target
	if m.rand.IntN(2) == 0 || c.Follow == "kubeconfig" || c.Follow == "npmrc" {
		written = home + target
	}
	var text string
	switch c.Follow {
	case "kubeconfig":
		text = "apiVersion: v1\nkind: Config\nusers:\n- name: " + m.kept() + "\n  user:\n    client-key: " + written + "\n"
	case "ssh-config":
		text = "Host *.example\n    User " + m.kept() + "\n    IdentityFile " + written + "\n"
	case "git-config":
		text = "[user]\n\tname = " + m.kept() + "\n[credential]\n\thelper = store --file=" + written + "\n"
	case "ansible-config":
		text = "[defaults]\nforks = 10\nvault_password_file = " + written + "\n"
	case "npmrc":
		text = "registry=https://registry.example/\n//registry.example/:keyfile=" + written + "\n"
	default:
		return false
	}
	if _, covered := m.first(u, name, func(*catalogue.Credential) bool { return false }); covered || !m.Scope.Allows(c) {
		return false
	}
	if !m.add(File{Owner: &m.Users[u], Name: name, Data: []byte(text), Entry: c.ID, Variant: variant}) {
		return false
	}
	m.put(as, u, home+target, "named by "+c.ID+", "+variant, m.fate(as, u, home+target))
	return true
}

// copied lays what a program keeps of a credential, and the file that says so.
func (m *maker) copied(c *catalogue.Credential, u int, name, variant string) bool {
	if !m.inHome(u, name) || !m.free(name) {
		return false
	}
	of, original := m.original(u)
	if of == nil {
		return false
	}
	as := *of
	switch c.Copies {
	case "trash":
		trashed := m.word()
		hidden := strings.HasPrefix(base(name), ".")
		if hidden {
			trashed = "." + trashed
		}
		info := parent(name) + "/" + trashed + ".trashinfo"
		text := "[Trash Info]\nPath=" + (&url.URL{Path: original}).EscapedPath() + "\nDeletionDate=2026-01-02T03:04:05\n"
		if !m.add(File{Owner: &m.Users[u], Name: info, Data: []byte(text), Entry: c.ID, Variant: variant}) {
			return false
		}
		at := parent(parent(name)) + "/files/" + trashed
		return m.put(&as, u, at, "trash", m.fate(&as, u, at))
	case "vscode-history":
		id := m.word() + extension(string(of.Format))
		text := fmt.Sprintf(`{"version":1,"resource":"%s","entries":[{"id":"%s","timestamp":1767225600000}]}`, (&url.URL{Scheme: "file", Path: original}).String(), id)
		if !m.add(File{Owner: &m.Users[u], Name: name, Data: []byte(text), Entry: c.ID, Variant: variant}) {
			return false
		}
		at := parent(name) + "/" + id
		return m.put(&as, u, at, "editor history", m.fate(&as, u, at))
	case "path-name":
		as = inOtherForm(of)
		at := parent(name) + "/" + strings.ReplaceAll(original, "/", "%")
		if !m.put(&as, u, at, "editor copy", m.fate(&as, u, at)) {
			return false
		}
		m.homes.Variants[c.ID] = append(m.homes.Variants[c.ID], variant)
		return true
	}
	return false
}

// original draws a credential's file of which there may be a copy.
func (m *maker) original(u int) (*catalogue.Credential, string) {
	for range 50 {
		c := &m.Catalogue[m.rand.IntN(len(m.Catalogue))]
		if c.System || c.Tested() || c.Format == "sqlite" || c.Action != catalogue.Delete && c.Action != catalogue.Edit || len(c.Paths) == 0 || !m.Scope.Allows(c) {
			continue
		}
		at := m.expanded(c, c.Paths[m.rand.IntN(len(c.Paths))], u, usual)
		if at == "" || !m.inHome(u, at) {
			continue
		}
		at = m.concrete(at)
		first, covered := m.first(u, at, func(*catalogue.Credential) bool { return false })
		if first == c && !covered && !strings.ContainsAny(at, "%!") {
			return c, at
		}
	}
	return nil, ""
}
