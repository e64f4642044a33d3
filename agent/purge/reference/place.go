package reference

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"cutoff/agent/purge/catalogue"
	"cutoff/platform/paths"
)

// kind is how a place comes about, in the order in which places are looked at.
type kind int

const (
	usual kind = iota
	override
	sandbox
)

func (k kind) String() string { return [...]string{"usual", "override", "sandbox"}[k] }

// move draws, for each user and variable, where the variable leads: a file, and
// a folder where something lies below it; and a line of a start-up file that
// says so. Root's variables lead nowhere: a machine's administrator has none.
func (m *maker) move() {
	for u := range m.Users {
		if m.Users[u].UID == 0 {
			continue
		}
		for _, name := range variables(m.Catalogue) {
			if u%2 == 0 && strings.HasPrefix(name, "XDG_") || name == "XDG_RUNTIME_DIR" || name == "SSH_AUTH_SOCK" || name == "HOME" {
				continue
			}
			for _, form := range []string{"file", "folder"} {
				to := m.Users[u].Home + "/moved/" + strings.ToLower(name) + "/" + form
				m.moved[key(u, name, form)] = to
				m.say(u, name, to)
			}
		}
	}
}

func key(u int, name, form string) string { return fmt.Sprint(u, " ", name, " ", form) }

func variables(all []catalogue.Credential) []string {
	var out []string
	for i := range all {
		for _, p := range all[i].Paths {
			if name, _, _, ok := paths.Variable(p); ok && !slices.Contains(out, name) {
				out = append(out, name)
			}
		}
	}
	return out
}

// say writes an assignment as one of the files that a login reads has it.
func (m *maker) say(u int, name, to string) {
	home := m.Users[u].Home
	short := "$HOME" + strings.TrimPrefix(to, home)
	file, line := ".profile", "export "+name+"=\""+short+"\""
	switch m.rand.IntN(6) {
	case 0:
		file, line = ".zshenv", "export "+name+"="+short
	case 1:
		file, line = ".config/environment.d/50-tools.conf", name+"=${HOME}"+strings.TrimPrefix(short, "$HOME")
	case 2:
		file, line = ".config/fish/config.fish", "set -gx "+name+" "+short
	case 3:
		file, line = ".pam_environment", name+" DEFAULT="+to
	case 4:
		file, line = ".bashrc", "  "+name+"='"+to+"'; export "+name+" # mine"
	}
	file = home + "/" + file
	m.startup[file] = append(m.startup[file], line)
	m.whose[file] = u
}

func (m *maker) startupFiles() {
	names := make([]string, 0, len(m.startup))
	for name := range m.startup {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		m.add(File{Owner: &m.Users[m.whose[name]], Name: name, Data: []byte("# what a login reads\n" + strings.Join(m.startup[name], "\n") + "\n")})
	}
}

// expanded is where a pattern of an entry leads for a user; "" nowhere. A
// variable leads to a file unless the entry takes a folder or names what is
// below it.
func (m *maker) expanded(c *catalogue.Credential, p string, u int, k kind) string {
	user := &m.Users[u]
	p = strings.ReplaceAll(p, "{uid}", fmt.Sprint(user.UID))
	name, rest, list, ok := paths.Variable(p)
	switch {
	case ok && k == override:
		form := "file"
		if rest != "" || c.Action == catalogue.DeleteDir {
			form = "folder"
		}
		to, known := m.moved[key(u, name, form)]
		if !known {
			return ""
		}
		return path.Join(to, rest)
	case k == override, ok && list:
		return ""
	case ok && name == "XDG_RUNTIME_DIR":
		return paths.Runtime(fmt.Sprint(user.UID)) + "/" + rest
	case ok:
		to, known := paths.Base(name)
		if !known {
			return ""
		}
		return path.Join(user.Home, to, rest)
	}
	if rest, ok := paths.InHome(p); ok {
		return path.Join(user.Home, rest)
	}
	return path.Clean(p)
}

// rule is a place of an entry in one user's eyes.
type rule struct {
	of    *catalogue.Credential
	parts []string
	stars []bool // which parts are patterns
}

// rulesOf lists all places in the order in which they are treated.
func (m *maker) rulesOf(u int) []rule {
	var out []rule
	for _, k := range []kind{usual, override, sandbox} {
		for i := range m.Catalogue {
			c := &m.Catalogue[i]
			if c.System && m.Users[u].UID != 0 || !onDisk(c) {
				continue
			}
			for _, p := range patterns(c, k) {
				if at := m.expanded(c, p, u, k); at != "" {
					r := rule{of: c, parts: strings.Split(at, "/")}
					for _, part := range r.parts {
						r.stars = append(r.stars, strings.ContainsAny(part, "*?["))
					}
					out = append(out, r)
				}
			}
		}
	}
	return out
}

// onDisk reports whether a credential is a file or a folder.
func onDisk(c *catalogue.Credential) bool {
	return slices.Contains([]catalogue.Action{catalogue.Delete, catalogue.Edit, catalogue.DeleteDir, catalogue.KeyringFile}, c.Action)
}

func patterns(c *catalogue.Credential, k kind) []string {
	if k == sandbox {
		return c.Elsewhere(func(string) bool { return true })
	}
	return c.Paths
}

// first is the entry that treats a name; covered: a folder above it goes whole.
// Entries that test the content are passed over where the test fails.
func (m *maker) first(u int, name string, passes func(*catalogue.Credential) bool) (first *catalogue.Credential, covered bool) {
	parts := strings.Split(name, "/")
	for i := range m.rules[u] {
		r := &m.rules[u][i]
		if len(r.parts) > len(parts) || !r.fits(parts) {
			continue
		}
		if r.of.Action == catalogue.DeleteDir {
			if m.Scope.Allows(r.of) {
				covered = true
				m.goes(strings.Join(parts[:len(r.parts)], "/"))
			}
			if first == nil && len(r.parts) == len(parts) {
				first = r.of // of what is no folder
			}
			continue
		}
		if first == nil && len(r.parts) == len(parts) && !slices.ContainsFunc(r.of.Except, func(e string) bool { return glob(e, base(name)) }) && (!r.of.Tested() || passes(r.of)) {
			first = r.of
		}
	}
	return first, covered
}

// goes notes a folder that goes with all that is in it, if it is one.
func (m *maker) goes(name string) {
	if !slices.Contains(m.homes.Folders, name) {
		m.homes.Folders = append(m.homes.Folders, name)
	}
}

// fits holds the first components of a name against a pattern's.
func (r *rule) fits(parts []string) bool {
	for i, p := range r.parts {
		if p != parts[i] && (!r.stars[i] || !glob(p, parts[i])) {
			return false
		}
	}
	return true
}

func glob(pattern, name string) bool {
	if pattern == name {
		return true
	}
	if !strings.ContainsAny(pattern, "*?[") || strings.HasPrefix(name, ".") && !strings.HasPrefix(pattern, ".") {
		return false
	}
	ok, err := path.Match(pattern, name)
	return err == nil && ok
}

// concrete puts a word for every star.
func (m *maker) concrete(pattern string) string {
	for strings.Contains(pattern, "*") {
		pattern = strings.Replace(pattern, "*", m.word(), 1)
	}
	return pattern
}
