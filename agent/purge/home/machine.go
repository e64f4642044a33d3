package home

import (
	"path"
	"strings"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/wire"
)

// machine treats what belongs to the machine and to no user. Only root's own
// run looks there, and only at the places the catalogue spells out: no variable
// and no link leads anywhere else.
func (w *Worker) machine(c *catalogue.Credential) error {
	if !w.job.System || c.Added {
		return nil // what administrators add is no word on the machine itself
	}
	for _, p := range c.Paths {
		if !strings.HasPrefix(p, "/") {
			continue
		}
		if err := w.spend(1); err != nil {
			return err
		}
		if err := w.each(c, place{base: wire.InRoot, name: strings.TrimPrefix(path.Clean(p), "/")}); err != nil {
			return err
		}
	}
	return nil
}
