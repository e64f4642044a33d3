// Package reference makes up homes to hold a purge against: every entry of a
// catalogue at its usual place, where a variable moves it, in sandboxes, in
// copies, by a link and in work trees, each secret with a canary of its own, and
// look-alikes that must stay. It is made from the entries' own data, so that a
// new product needs no line here; only a new format does. It says what is to lie
// where and what becomes of it: it must not write a file or know how anything
// is found, and it is for tests only.
package reference

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"cutoff/agent/purge/catalogue"
)

// User is an account whose home is made up.
type User struct {
	UID  int
	Home string
}

// Fate is what becomes of a file.
type Fate int

// Fates. What stays keeps every bit; what is cut keeps all but its secrets.
const (
	Stays Fate = iota
	Goes
	Cut
)

// File is one file, or a link to Target.
type File struct {
	Owner  *User // nil: the machine's
	Name   string
	Data   []byte
	Target string
	// Entry is the credential that the file is made for, Variant how it lies.
	Entry, Variant string
	Fate           Fate
	// Kept are texts of the file that no cut may take.
	Kept []string
	// Encrypted: only a seal takes it, which gives it back.
	Encrypted bool
}

// Config says what to make up.
type Config struct {
	Seed      uint64
	Users     []User
	Catalogue []catalogue.Credential
	// Scope is what the cut will be allowed: what a policy holds back stays.
	Scope catalogue.Scope
	// Only picks the entries to lay out; nil: all. The others are known: what
	// they would take is no look-alike.
	Only func(n int) bool
	// Each is how often an entry is laid out in each way; 0: once.
	Each int
	// Database makes a SQLite database with these rows as a running program has
	// it: some of them are in the log that lies beside it only.
	Database func(table, column string, rows []Row) map[string][]byte
}

// Row is a row of a database: its key and what it says.
type Row struct{ Key, Value string }

// Homes are homes that were made up.
type Homes struct {
	Files []File
	// Folders go with all that is in them.
	Folders []string
	// Variants are the ways in which each entry lies there.
	Variants map[string][]string
	// Shadowed are places of an entry that an earlier one treats.
	Shadowed map[string][]string
}

// Trees is the work tree of every user, which the scope has to name.
const Trees = "~/src"

// Canary is what all canaries begin with; letters and figures follow, so that
// every format writes them as they are.
const Canary = "cnry"

// canaryLength is that of a whole canary.
const canaryLength = 28

type maker struct {
	Config
	rand    *rand.Rand
	homes   *Homes
	taken   map[string]bool // files
	folders map[string]bool
	rules   [][]rule // by user
	moved   map[string]string
	startup map[string][]string // lines by name of the file
	whose   map[string]int      // of a start-up file
	words   int
}

// New makes up homes. The same Config gives the same homes, but for what
// Database draws itself.
func New(c Config) *Homes {
	m := &maker{Config: c, rand: rand.New(rand.NewPCG(c.Seed, 1)), taken: map[string]bool{}, folders: map[string]bool{},
		moved: map[string]string{}, startup: map[string][]string{}, whose: map[string]int{},
		homes: &Homes{Variants: map[string][]string{}, Shadowed: map[string][]string{}}}
	m.move()
	for u := range c.Users {
		m.rules = append(m.rules, m.rulesOf(u))
	}
	m.ordinary()
	for _, lay := range []func(*catalogue.Credential){m.entry, m.alike} {
		for i := range c.Catalogue {
			if c.Only == nil || c.Only(i) {
				lay(&c.Catalogue[i])
			}
		}
	}
	m.startupFiles()
	return m.homes
}

// canary draws what marks one secret.
func (m *maker) canary() string {
	var b strings.Builder
	b.WriteString(Canary)
	for b.Len() < canaryLength {
		b.WriteByte("abcdefghijkmnpqrstuvwxyz23456789"[m.rand.IntN(32)])
	}
	return b.String()
}

// kept draws what marks something that stays.
func (m *maker) kept() string { return fmt.Sprintf("stay%016x", m.rand.Uint64()) }

// word draws a name that no pattern of a catalogue has.
func (m *maker) word() string {
	m.words++
	return fmt.Sprintf("%s%d", []string{"work", "corp", "lab", "main", "acme", "north"}[m.rand.IntN(6)], m.words)
}

// add puts a file in, unless something is in its way.
func (m *maker) add(f File) bool {
	if !m.free(f.Name) {
		return false
	}
	m.taken[f.Name] = true
	for above := parent(f.Name); above != "/"; above = parent(above) {
		m.folders[above] = true
	}
	m.homes.Files = append(m.homes.Files, f)
	if f.Entry != "" && f.Target == "" {
		m.homes.Variants[f.Entry] = append(m.homes.Variants[f.Entry], f.Variant)
	}
	return true
}

func (m *maker) free(name string) bool {
	if m.taken[name] || m.folders[name] {
		return false
	}
	for above := parent(name); above != "/"; above = parent(above) {
		if m.taken[above] {
			return false
		}
	}
	return true
}

func parent(name string) string {
	if i := strings.LastIndexByte(name, '/'); i > 0 {
		return name[:i]
	}
	return "/"
}

func base(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }
