package reference

import (
	"slices"
	"strings"

	"cutoff/agent/purge/catalogue"
)

// alike lays what looks like a credential and is none.
func (m *maker) alike(c *catalogue.Credential) {
	if !onDisk(c) || len(c.Paths) == 0 {
		return
	}
	var names []string
	u := m.rand.IntN(len(m.Users))
	if c.System {
		u = m.root()
	}
	if u < 0 {
		return
	}
	for _, p := range c.Paths {
		if at := m.expanded(c, p, u, usual); at != "" {
			names = append(names, m.concrete(at))
		}
	}
	if len(names) == 0 {
		return
	}
	name := names[m.rand.IntN(len(names))]
	home := m.Users[u].Home
	stay := m.kept()
	// The same name where no program looks for it.
	m.stays(u, home+"/Documents/archive/"+m.word()+"/"+base(name), "see the wiki\ntoken = "+stay+"\n")
	// Another name where the program does.
	m.beside(nil, u, parent(name)+"/"+m.word()+"-notes.md", "# "+stay+"\n")
	switch {
	case c.Action == catalogue.Edit && c.Format != "sqlite":
		// The settings alone.
		if m.ours(c, u, name) {
			f := m.mixed(c, false)
			m.beside(c, u, name, string(f.Data))
		}
	case c.Tested():
		// What the same place holds that is public.
		if m.ours(c, u, name) {
			m.beside(c, u, name, "-----BEGIN CERTIFICATE-----\n"+stay+"\n-----END CERTIFICATE-----\n")
		}
	}
}

// beside lays a look-alike of an entry where no folder goes whole with it; nil:
// of none, where none has a place.
func (m *maker) beside(c *catalogue.Credential, u int, name, text string) {
	first, covered := m.first(u, name, func(*catalogue.Credential) bool { return false })
	if covered || first != nil && first != c {
		return
	}
	for _, f := range m.homes.Folders {
		if strings.HasPrefix(name, f+"/") {
			return
		}
	}
	owner := &m.Users[u]
	if c != nil {
		owner = m.owner(c, u)
	}
	if m.free(name) {
		m.add(File{Owner: owner, Name: name, Data: []byte(text)})
	}
}

func (m *maker) stays(u int, name, text string) {
	m.add(File{Owner: &m.Users[u], Name: name, Data: []byte(text)})
}

func (m *maker) root() int {
	for u := range m.Users {
		if m.Users[u].UID == 0 {
			return u
		}
	}
	return -1
}

// ordinary is what everybody's home has beside credentials.
func (m *maker) ordinary() {
	for u, user := range m.Users {
		for name, text := range everybodys {
			m.stays(u, user.Home+"/"+name, text)
		}
	}
	slices.SortFunc(m.homes.Files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
}

// everybodys are files of every home, by what looks like a credential in it.
var everybodys = map[string]string{
	"src/shop/.env.example": "API_TOKEN=\nDATABASE_URL=postgres://localhost/shop\n", "src/shop/main.go": "package main\n",
	"src/shop/docs/tokens.md": "How to get a token.\n", ".ssh/id_ed25519.pub": "ssh-ed25519 AAAAC3Nza alice\n",
	".ssh/known_hosts": "github.com ssh-ed25519 AAAA\n", ".ssh/authorized_keys": "ssh-ed25519 AAAA bob\n",
	"Documents/report.txt": "figures\n", "Documents/passwords.txt": "ask the help desk\n",
	"certificates/ca.pem": "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
	"ca.pem":              "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "Downloads/credentials.csv": "name,office\n",
	".config/google-chrome/Default/Bookmarks": "{}", ".config/google-chrome/Local State": "{}",
	".config/user-dirs.dirs": "XDG_DESKTOP_DIR=\"$HOME/Desktop\"\n",
}
