// Package addition holds the rules of what administrators may add to an agent's
// catalogue: one YAML file per product, a narrower language than that of the
// catalogue itself. The server reads a proposal by them, to say what is wrong
// before anybody approves it; the agent reads it again, for a server may have
// been taken over. It must not know what the catalogue holds, or act.
package addition

import (
	"errors"
	"fmt"
	"slices"
)

// Prefix begins every id of an administrator's product and credential, and no
// id of the catalogue: what is added can never take the place of what is there.
const Prefix = "org-"

// Bounds of what may be added.
const (
	// MaxFile bounds one product's file, MaxTotal all of them, in bytes.
	MaxFile  = 16 << 10
	MaxTotal = 256 << 10
	// MaxFiles, MaxCredentials and MaxPaths are counts: of products, of
	// credentials in all, and of paths of one credential on one system.
	MaxFiles       = 64
	MaxCredentials = 256
	MaxPaths       = 16
	maxSecrets     = 32
	maxText        = 256
	maxPath        = 512
	// A content test that almost every file passes is none.
	minContains = 4
	maxContains = 128
)

// Product is one file.
type Product struct {
	ID          string
	Title       string
	Credentials []Credential
}

// Credential is one kind of credential in one kind of place.
type Credential struct {
	ID     string
	What   string
	Danger int
	// Paths are per operating system, in the catalogue's words.
	Paths  map[string][]string
	Format string
	// Secrets are cut out of a mixed file.
	Secrets []string
	// Action is delete or edit, Regain sign-in or none.
	Action string
	Regain string
	// A file is a credential only if all of these hold: OnlyIf is a word,
	// Contains stands in it, Key is a key that its format has.
	OnlyIf     string
	Contains   string
	Key        string
	Policy     string
	Harmless   bool
	Confidence string
}

// Words that entries and groups' choices may use. A test of the agent holds
// them to those it knows.
var (
	systems     = []string{"linux", "darwin", "windows"}
	actions     = []string{"delete", "edit"}
	formats     = []string{"text", "ini", "json", "yaml", "toml", "netrc", "npmrc", "hcl", "binary"}
	parsed      = []string{"ini", "json", "yaml", "toml", "netrc", "npmrc", "hcl"}
	confidences = []string{"confirmed", "unconfirmed"}
	tests       = []string{"private-key", "gcp-credential"}
	policies    = []string{"gnupg", "data-keys", "backup-keys", "vaults", "system-agents", "network", "offline-data"}
)

// Policies are the words of what a group must allow before it is touched.
func Policies() []string { return slices.Clone(policies) }

// Formats are the words of how a file is written; Tests those of only-if.
func Formats() []string { return slices.Clone(formats) }

// Tests are the words of only-if.
func Tests() []string { return slices.Clone(tests) }

// Problem is one mistake in a file.
type Problem struct {
	File         string
	Line, Column int
	Message      string
}

// Error says where it is and what.
func (p *Problem) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", p.File, p.Line, p.Column, p.Message)
}

// Problems are the mistakes an error of Parse or ParseAll joins.
func Problems(err error) []*Problem {
	var one *Problem
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*Problem
		for _, e := range joined.Unwrap() {
			all = append(all, Problems(e)...)
		}
		return all
	}
	if errors.As(err, &one) {
		return []*Problem{one}
	}
	return nil
}

// File is one product as it was written.
type File struct {
	Name string `json:"name"`
	YAML string `json:"yaml"`
}

// ParseAll reads and checks all files that hold at once. Nothing is taken of
// them if there is a mistake in one.
func ParseAll(files []File) ([]Product, error) {
	var (
		all   []Product
		errs  []error
		total int
		ids   = map[string]string{}
	)
	if len(files) > MaxFiles {
		return nil, &Problem{File: files[MaxFiles].Name, Line: 1, Column: 1,
			Message: fmt.Sprintf("%d products, at most %d", len(files), MaxFiles)}
	}
	count := 0
	for _, f := range files {
		if total += len(f.YAML); total > MaxTotal {
			errs = append(errs, &Problem{File: f.Name, Line: 1, Column: 1,
				Message: fmt.Sprintf("all products together have more than %d bytes", MaxTotal)})
			break
		}
		p, err := Parse(f.Name, []byte(f.YAML))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if count += len(p.Credentials); count > MaxCredentials {
			errs = append(errs, &Problem{File: f.Name, Line: 1, Column: 1,
				Message: fmt.Sprintf("more than %d credentials in all", MaxCredentials)})
			break
		}
		for _, id := range p.ids() {
			if first, twice := ids[id]; twice {
				errs = append(errs, &Problem{File: f.Name, Line: 1, Column: 1, Message: fmt.Sprintf("id %q is used in %s already", id, first)})
			}
			ids[id] = f.Name
		}
		all = append(all, p)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return all, nil
}

// ids are those of the credentials and, marked, of the product.
func (p *Product) ids() []string {
	ids := []string{"product " + p.ID}
	for _, c := range p.Credentials {
		ids = append(ids, c.ID)
	}
	return ids
}
