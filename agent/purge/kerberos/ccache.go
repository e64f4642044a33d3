// Package kerberos knows where Kerberos keeps tickets: the form of a cache, the
// names that say where one is, and how the cache manager is spoken to. It keeps
// no key and no ticket of what it reads: a principal and a time. It must not open
// a file or a connection.
package kerberos

import (
	"encoding/binary"
	"strings"
	"time"
)

// Cache is what may be said of a credential cache.
type Cache struct {
	// Name is the cache manager's own name for it.
	Name      string
	Principal string
	// Until is when the last of its tickets cannot be used or renewed any more.
	Until time.Time
}

// Bounds of a hostile cache.
const (
	maxText       = 4 << 10
	maxComponents = 64
	maxTickets    = 5_000
	maxEntries    = 1_000
)

// renewable is the ticket flag of that name (RFC 4120, 2.3, as MIT keeps it).
const renewable = 0x00800000

// configRealm marks what libraries note in a cache beside tickets.
const configRealm = "X-CACHECONF:"

// Parse reads a cache as files have it (versions 3 and 4).
func Parse(data []byte) (Cache, bool) {
	if len(data) < 2 || data[0] != 5 || data[1] != 3 && data[1] != 4 {
		return Cache{}, false
	}
	d := &decoder{data: data[2:]}
	if data[1] == 4 {
		d.take(int(d.short()))
	}
	c := Cache{Principal: d.principal()}
	if d.bad {
		return Cache{}, false
	}
	for n := 0; n < maxTickets && len(d.data) > 0; n++ {
		c.hold(d.ticket())
		if d.bad {
			break // what is whole before it counts
		}
	}
	return c, true
}

// hold extends the cache's end by a ticket's.
func (c *Cache) hold(until time.Time) {
	if until.After(c.Until) {
		c.Until = until
	}
}

// Realm is the last part of a principal.
func (c Cache) Realm() string {
	return c.Principal[strings.LastIndexByte(c.Principal, '@')+1:]
}

type decoder struct {
	data []byte
	bad  bool
}

func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.data) {
		d.bad = true
		return nil
	}
	out := d.data[:n]
	d.data = d.data[n:]
	return out
}

func (d *decoder) short() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) number() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// skip passes over a counted run of bytes.
func (d *decoder) skip() { d.take(int(d.number())) }

func (d *decoder) text() string {
	b := d.take(int(d.number()))
	if len(b) > maxText {
		d.bad = true
		return ""
	}
	return string(b)
}

func (d *decoder) principal() string {
	d.number() // type of name
	count := d.number()
	if count > maxComponents {
		d.bad = true
		return ""
	}
	realm := d.text()
	var parts []string
	for range count {
		parts = append(parts, d.text())
	}
	return strings.Join(parts, "/") + "@" + realm
}

// ticket passes over one credential, and returns until when it is of use.
func (d *decoder) ticket() time.Time {
	d.principal() // client
	server := d.principal()
	d.short() // key: type and value
	d.skip()
	d.take(8) // when it was asked for, when it begins
	ends, renews := d.number(), d.number()
	d.take(1)
	flags := d.number()
	for range 2 { // addresses, authorisation data
		count := d.number()
		for n := uint32(0); n < count && n < maxEntries && !d.bad; n++ {
			d.short()
			d.skip()
		}
	}
	d.skip() // ticket
	d.skip() // second ticket
	if d.bad || strings.HasSuffix(server, "@"+configRealm) {
		return time.Time{}
	}
	if flags&renewable != 0 && renews > ends {
		ends = renews
	}
	return time.Unix(int64(ends), 0)
}
