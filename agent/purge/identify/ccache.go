package identify

import "cutoff/agent/purge/kerberos"

func ccache(content []byte, _ Around, n *notes) {
	c, ok := kerberos.Parse(content)
	if !ok {
		n.until(never)
		return
	}
	tickets(c, n)
}

// Tickets names a cache that no file holds.
func Tickets(c kerberos.Cache) Finding {
	n := &notes{}
	tickets(c, n)
	return n.finding()
}

func tickets(c kerberos.Cache, n *notes) {
	n.add("kerberos-principal", c.Principal)
	if c.Until.IsZero() {
		n.until(never) // none was understood
		return
	}
	n.until(c.Until)
}
