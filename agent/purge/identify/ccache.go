package identify

import (
	"encoding/binary"
	"strings"
	"time"
)

// Bounds of a Kerberos cache: more is no cache.
const (
	maxTickets    = 500
	maxComponents = 16
	maxText       = 1 << 20
)

// ccache names the principal of a Kerberos credential cache, of format 3 or 4,
// and says when its last ticket ends. Keys and tickets are passed over.
func ccache(content []byte, _ Around, n *notes) {
	r := &bigEndian{rest: content}
	version := r.uint16()
	if version != 0x0504 && version != 0x0503 {
		n.until(never)
		return
	}
	if version == 0x0504 {
		r.skip(int(r.uint16()))
	}
	if who := r.principal(); who != "" {
		n.add("kerberos-principal", who)
	}
	var latest time.Time
	for range maxTickets {
		end, server := r.ticket()
		if r.broken {
			break
		}
		if strings.HasPrefix(server, "X-CACHECONF:") { // the cache's own notes
			continue
		}
		if end.After(latest) {
			latest = end
		}
	}
	if latest.IsZero() {
		latest = never
	}
	n.until(latest)
}

// bigEndian reads numbers and counted texts until one is missing.
type bigEndian struct {
	rest   []byte
	broken bool
}

func (r *bigEndian) take(size int) []byte {
	if r.broken || size < 0 || size > maxText || size > len(r.rest) {
		r.broken = true
		return nil
	}
	out := r.rest[:size]
	r.rest = r.rest[size:]
	return out
}

func (r *bigEndian) skip(size int) { r.take(size) }

func (r *bigEndian) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *bigEndian) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *bigEndian) counted() []byte { return r.take(int(r.uint32())) }

// principal is name/instance@REALM.
func (r *bigEndian) principal() string {
	r.skip(4) // the kind of name
	parts := r.uint32()
	if parts > maxComponents {
		r.broken = true
		return ""
	}
	realm := string(r.counted())
	var names []string
	for range parts {
		names = append(names, string(r.counted()))
	}
	if r.broken {
		return ""
	}
	return strings.Join(names, "/") + "@" + realm
}

// ticket passes over one credential.
func (r *bigEndian) ticket() (end time.Time, server string) {
	r.principal()
	server = r.principal()
	if i := strings.LastIndexByte(server, '@'); i >= 0 {
		server = server[i+1:]
	}
	r.skip(2) // the kind of key
	r.counted()
	r.skip(8) // when it was got, and valid from
	end = time.Unix(int64(r.uint32()), 0).UTC()
	r.skip(4 + 1 + 4) // renewable until, whose key, flags
	for range 2 {     // addresses, authorization data
		for range min(r.uint32(), maxTickets) {
			r.skip(2)
			r.counted()
		}
	}
	r.counted()
	r.counted()
	return end, server
}
