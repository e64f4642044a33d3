package catalogue

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"cutoff/proto/addition"
)

// Added checks what administrators added, by the same rules as the server did
// and again by those of this catalogue, and returns what is for one operating
// system, most dangerous first. Nothing is taken of it if there is a mistake in
// one file.
func Added(files []addition.File, goos string) ([]Credential, error) {
	products, err := addition.ParseAll(files)
	if err != nil {
		return nil, err
	}
	var all []Credential
	for _, p := range products {
		for _, e := range p.Credentials {
			if len(e.Paths[goos]) == 0 {
				continue
			}
			c := Credential{
				ID: e.ID, Product: p.ID, What: e.What, Danger: e.Danger, Paths: e.Paths[goos], Format: Format(e.Format),
				Secrets: e.Secrets, Action: Action(e.Action), Regain: Regain(e.Regain), Unreadable: "leave",
				OnlyIf: e.OnlyIf, Contains: e.Contains, Key: e.Key, Harmless: e.Harmless, Policy: e.Policy,
				Confidence: e.Confidence, Added: true,
			}
			if err := c.addable(); err != nil {
				return nil, fmt.Errorf("%s: %w", c.ID, err)
			}
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b Credential) int { return cmp.Compare(a.Danger, b.Danger) })
	return all, nil
}

// addable is this side's own word on one entry: whatever the shared rules come
// to allow, it does no more than this.
func (c *Credential) addable() error {
	switch {
	case !strings.HasPrefix(c.ID, addition.Prefix), !strings.HasPrefix(c.Product, addition.Prefix):
		return fmt.Errorf("its id does not begin with %s", addition.Prefix)
	case !c.Tested():
		return fmt.Errorf("it has no content test")
	case c.OnlyIf != "" && !slices.Contains(tests, c.OnlyIf):
		return fmt.Errorf("this agent does not know the test %q", c.OnlyIf)
	case c.Action != Delete && c.Action != Edit:
		return fmt.Errorf("it may not %s", c.Action)
	case !slices.Contains(formats, string(c.Format)):
		return fmt.Errorf("this agent does not know the format %q", c.Format)
	}
	for _, p := range c.Paths {
		if strings.Contains(p, "**") || strings.Contains(p, "..") || strings.HasPrefix(p, "/") && strings.Contains(p, "*") {
			return fmt.Errorf("its path is too wide")
		}
	}
	return nil
}
