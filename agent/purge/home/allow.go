package home

import (
	"bytes"
	"path"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/format"
	"cutoff/agent/purge/identify"
	"cutoff/agent/purge/wire"
	"cutoff/platform/paths"
	"cutoff/proto/addition"
)

// detailSkipped is said of what waits for its group's word.
const detailSkipped = "skipped-policy"

// skipped reports what the group has not allowed to be touched: it stays, and
// may work for as long as nobody revokes it.
func (w *Worker) skipped(c *catalogue.Credential, i wire.Item) error {
	i.Unbounded = !c.Harmless
	return w.left(i, wire.Unsupported, detailSkipped)
}

// harmless reports whether a mixed file has nothing in it that would be cut.
func harmless(c *catalogue.Credential, data []byte) bool {
	if c.Action != catalogue.Edit {
		return false
	}
	_, found, err := format.Cut(string(c.Format), data, c.Secrets)
	return err == nil && found == 0
}

// holds reports whether the content is that of a credential.
func holds(c *catalogue.Credential, data []byte) bool {
	if c.OnlyIf != "" && !identify.Test(c.OnlyIf, data) {
		return false
	}
	if c.Contains != "" && !bytes.Contains(data, []byte(c.Contains)) {
		return false
	}
	if c.Key == "" {
		return true
	}
	_, found, err := format.Cut(string(c.Format), data, []string{c.Key})
	return err == nil && found > 0
}

// mayAdd holds where a pattern, a variable or a link of an added entry led to
// against what such an entry may reach: this home, and the absolute path that
// was written out.
func (w *Worker) mayAdd(c *catalogue.Credential, at place) bool {
	if at.base == wire.InHome {
		return !addition.NeverInHome(at.name)
	}
	for _, p := range c.Paths {
		if _, _, _, variable := paths.Variable(p); !variable && path.Clean(p) == "/"+at.name {
			return true
		}
	}
	return false
}
