// Package catalogue knows where credentials lie: one YAML file per product,
// readable by anybody, checked strictly. It holds data only: it must not look
// at a file system or know how anything is removed.
package catalogue

import (
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
)

//go:embed product/*.yaml
var products embed.FS

// Action is what happens to a credential.
type Action string

// Actions.
const (
	Delete        Action = "delete"
	DeleteDir     Action = "delete-dir"
	Edit          Action = "edit"
	KeyringDelete Action = "keyring-delete"
	AgentClear    Action = "agent-clear"
	// KeyringFile: a keyring's own file, while no program has it open.
	KeyringFile Action = "keyring-file"
	// KernelKey: a key that the kernel keeps.
	KernelKey Action = "kernel-key"
	// Look: read only, for the files it names.
	Look Action = "look"
	// End: nothing on disk; the processes that hold it end.
	End Action = "end"
)

// Regain is what it costs the user to get a credential back.
type Regain string

// Ways back.
const (
	SignIn Regain = "sign-in"
	None   Regain = "none"
)

// Format is how a file is written.
type Format string

// Formats nothing is cut out of; the words for the others, and what selects
// secrets in them, are package format's.
const (
	Text   Format = "text"
	Binary Format = "binary"
)

// Credential is one kind of credential in one kind of place.
type Credential struct {
	// ID is unique in the whole catalogue; Product is the id of its file.
	ID      string `json:"id"`
	Product string `json:"product"`
	// What says in words what it is.
	What string `json:"what"`
	// Danger orders removal: 1 goes first.
	Danger int `json:"danger"`
	// Paths are of one operating system: "~/rest", "/absolute", "$NAME/rest", or
	// "$NAME[]" for a list; * stands for part of a component, {uid} for the
	// user's number.
	Paths []string `json:"paths,omitempty"`
	// Flatpak and Snap are the ids and names under which sandboxes keep the same
	// places (see Elsewhere).
	Flatpak []string `json:"flatpak,omitempty"`
	Snap    []string `json:"snap,omitempty"`
	// Trees are names ("*.tfvars") looked for at any depth of the folders that a
	// group names as work trees. Except are names that are left alone, there and
	// in Paths.
	Trees  []string `json:"trees,omitempty"`
	Except []string `json:"except,omitempty"`
	Format Format   `json:"format,omitempty"`
	// Secrets select what is cut out of a mixed file (see package format).
	Secrets []string `json:"secrets,omitempty"`
	Action  Action   `json:"action"`
	Regain  Regain   `json:"regain"`
	// Unreadable says what becomes of a mixed file that does not parse:
	// "delete" when it is a credential file, else "leave".
	Unreadable string `json:"unreadable,omitempty"`
	// OnlyIf names a test of the content that must hold.
	OnlyIf string `json:"only_if,omitempty"`
	// Contains is a text that must stand in the file, Key a key that its format
	// must have there (see package format): tests of added entries, as data.
	Contains string `json:"contains,omitempty"`
	Key      string `json:"key,omitempty"`
	// Added: an administrator added it. It is treated after all others, and
	// never without its content test.
	Added bool `json:"added,omitempty"`
	// Identify names the reader of identifiers; Identifiers are the kinds of
	// them that may leave the device.
	Identify    string   `json:"identify,omitempty"`
	Identifiers []string `json:"identifiers,omitempty"`
	// Names say where identifiers stand, when no reader of its own is needed.
	Names []Name `json:"names,omitempty"`
	// Names, in a file, more files: Follow is the reader that finds them, and
	// FollowAs the credential they are.
	Follow   string `json:"follow,omitempty"`
	FollowAs string `json:"follow_as,omitempty"`
	// Copies is the reader that finds, in a file of a program that keeps copies
	// (trash, an editor's history), which of them were of credentials.
	Copies string `json:"copies,omitempty"`
	// Keyring matches items by attributes; in a value * stands for any text.
	Keyring []map[string]string `json:"keyring,omitempty"`
	// Tokens say whose the file's tokens are.
	Tokens []Token `json:"tokens,omitempty"`
	// Harmless: what is removed gives no access by itself (a history).
	Harmless bool `json:"harmless,omitempty"`
	// Policy names what a group must allow before this is touched (see Scope).
	Policy string `json:"policy,omitempty"`
	// Last: to take it away may cut the network, so it goes after the receipt.
	Last bool `json:"last,omitempty"`
	// System: its paths are the machine's own, not a user's; only root's own run
	// looks at them.
	System bool `json:"system,omitempty"`
	// Holders are processes that keep it in memory, by exact names (see package
	// platform/process): the file's and the entry's own. They end before their
	// files go. Holders of what is harmless end only in a purge.
	Holders    []string `json:"holders,omitempty"`
	Confidence string   `json:"confidence"`
}

// Tested reports whether only the content tells that a file is one.
func (c *Credential) Tested() bool { return c.OnlyIf != "" || c.Contains != "" || c.Key != "" }

// Load reads and checks the embedded catalogue for one operating system, most
// dangerous first and what may cut the network last.
func Load(goos string) ([]Credential, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if all, ok := loaded.by[goos]; ok {
		return slices.Clone(all), nil
	}
	all, err := LoadFrom(products, goos)
	if err != nil {
		return nil, err
	}
	loaded.by[goos] = all
	return slices.Clone(all), nil
}

// loaded keeps what was read once: the files are part of the program, and a cut
// is not to wait for them to be read again.
var loaded = struct {
	sync.Mutex
	by map[string][]Credential
}{by: map[string][]Credential{}}

// LoadFrom is Load for another file system: every *.yaml in its folder
// product. Nothing is taken of a catalogue with a mistake in it.
func LoadFrom(from fs.FS, goos string) ([]Credential, error) {
	names, err := fs.Glob(from, "product/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list catalogue: %w", err)
	}
	var (
		all  []Credential
		errs []error
		seen = map[string]string{}
	)
	for _, name := range names {
		data, err := fs.ReadFile(from, name)
		if err != nil {
			return nil, fmt.Errorf("read catalogue: %w", err)
		}
		file, err := Parse(path.Base(name), data)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, e := range file.entries {
			if first, twice := seen[e.ID]; twice {
				errs = append(errs, &Problem{File: path.Base(name), Line: e.line, Column: e.column,
					Message: fmt.Sprintf("id %q is used in %s already", e.ID, first)})
			}
			seen[e.ID] = path.Base(name)
			if c := e.on(goos); e.here(goos) {
				all = append(all, c)
			}
		}
	}
	errs = append(errs, dangling(all, seen)...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortStableFunc(all, func(a, b Credential) int {
		if a.Last != b.Last {
			return map[bool]int{false: -1, true: 1}[a.Last]
		}
		return cmp.Compare(a.Danger, b.Danger)
	})
	return all, nil
}

// dangling finds credentials that are followed to but do not exist.
func dangling(all []Credential, seen map[string]string) []error {
	var errs []error
	for _, c := range all {
		if _, ok := seen[c.FollowAs]; c.FollowAs != "" && !ok {
			errs = append(errs, fmt.Errorf("%s: follow as %q: no such credential", c.ID, c.FollowAs))
		}
	}
	return errs
}

// Version names the embedded catalogue by its content.
func Version() string {
	sum := sha256.New()
	names, _ := fs.Glob(products, "product/*.yaml") // the pattern is a constant
	for _, name := range names {
		data, _ := products.ReadFile(name) // embedded
		fmt.Fprintf(sum, "%s %d\n", name, len(data))
		sum.Write(data)
	}
	names, _ = fs.Glob(engineFiles, "engine/*.yaml")
	for _, name := range names {
		data, _ := engineFiles.ReadFile(name) // embedded
		fmt.Fprintf(sum, "%s %d\n", name, len(data))
		sum.Write(data)
	}
	return hex.EncodeToString(sum.Sum(nil)[:6])
}

// Variables are the names of all variables that paths begin with.
func Variables(all []Credential) []string {
	var names []string
	for _, c := range all {
		for _, p := range c.Paths {
			if rest, ok := strings.CutPrefix(p, "$"); ok {
				name, _, _ := strings.Cut(rest, "/")
				names = append(names, strings.TrimSuffix(name, "[]"))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
