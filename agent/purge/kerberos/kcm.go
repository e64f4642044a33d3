package kerberos

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Socket is where the cache manager listens, below the root, unless configured
// otherwise.
const Socket = "run/.heim_org.h5l.kcm-socket"

// Calls of the cache manager's protocol (version 2.0, as Heimdal, MIT and SSSD
// speak it).
const (
	opDestroy      = 5
	opPrincipal    = 8
	opTickets      = 9
	opTicket       = 10
	opCaches       = 18
	opCacheName    = 19
	maxReply       = 10 << 20
	identifierSize = 16
)

// ErrManager: the cache manager refused, or does not keep to its protocol.
var ErrManager = errors.New("cache manager refused")

// Manager is a conversation with the cache manager, which knows its caller by
// the connection: only his own caches are there. The caller owns the connection
// and its deadline.
type Manager struct{ conn io.ReadWriter }

// NewManager speaks over a connection.
func NewManager(conn io.ReadWriter) *Manager { return &Manager{conn: conn} }

// Caches lists all caches of the caller.
func (m *Manager) Caches() ([]Cache, error) {
	list, err := m.call(opCaches)
	if err != nil {
		return nil, err
	}
	var out []Cache
	for id := range identifiers(list) {
		name, err := m.call(opCacheName, id)
		if err != nil {
			continue // gone meanwhile
		}
		c := Cache{Name: string(bytes.TrimRight(name, "\x00"))}
		if p, err := m.call(opPrincipal, cString(c.Name)); err == nil {
			d := &decoder{data: p}
			c.Principal = d.principal()
		}
		m.until(&c)
		out = append(out, c)
	}
	return out, nil
}

// until looks at the tickets of a cache for their ends.
func (m *Manager) until(c *Cache) {
	list, err := m.call(opTickets, cString(c.Name))
	if err != nil {
		return
	}
	for id := range identifiers(list) {
		raw, err := m.call(opTicket, cString(c.Name), id)
		if err != nil {
			continue
		}
		d := &decoder{data: raw}
		c.hold(d.ticket())
		clear(raw)
	}
}

// Destroy destroys one cache.
func (m *Manager) Destroy(c Cache) error {
	_, err := m.call(opDestroy, cString(c.Name))
	return err
}

func identifiers(list []byte) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for n := 0; len(list) >= identifierSize && n < maxEntries; n++ {
			if !yield(list[:identifierSize]) {
				return
			}
			list = list[identifierSize:]
		}
	}
}

func cString(s string) []byte { return append([]byte(s), 0) }

func (m *Manager) call(op uint16, args ...[]byte) ([]byte, error) {
	body := binary.BigEndian.AppendUint16([]byte{2, 0}, op)
	body = append(body, bytes.Join(args, nil)...)
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	if _, err := m.conn.Write(append(frame, body...)); err != nil {
		return nil, fmt.Errorf("ask cache manager: %w", err)
	}
	var head [8]byte
	if _, err := io.ReadFull(m.conn, head[:]); err != nil {
		return nil, fmt.Errorf("ask cache manager: %w", err)
	}
	size, transport := binary.BigEndian.Uint32(head[:4]), binary.BigEndian.Uint32(head[4:])
	if transport != 0 || size < 4 || size > maxReply {
		return nil, ErrManager
	}
	reply := make([]byte, size)
	if _, err := io.ReadFull(m.conn, reply); err != nil {
		return nil, fmt.Errorf("ask cache manager: %w", err)
	}
	if binary.BigEndian.Uint32(reply) != 0 { // of the call itself
		return nil, ErrManager
	}
	return reply[4:], nil
}
