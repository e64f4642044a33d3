// Package sqlite takes rows out of an SQLite 3 database that is in memory, so
// that no byte of them is left in any page: not in free pages, not in the slack
// of pages that were written over, not in a log or journal, whose content is
// merged. All other rows, indices and the schema stay as they are. The file
// format is that of https://sqlite.org/fileformat2.html. The bytes are a
// stranger's: nothing in them is trusted, what does not add up is ErrFormat, and
// nothing of it is run. It must not open a file or know what is secret.
package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// ErrFormat says that a database is damaged, or of a kind that is not edited.
var ErrFormat = errors.New("database does not parse")

func bad(what string, args ...any) error {
	return fmt.Errorf("%w: "+what, append([]any{ErrFormat}, args...)...)
}

const (
	magic      = "SQLite format 3\x00"
	headerSize = 100
	maxDepth   = 40
)

// Where fields of the header are.
const (
	atPageSize   = 16
	atReserved   = 20
	atCounter    = 24
	atPages      = 28
	atFreeHead   = 32
	atFreeCount  = 36
	atAutoVacuum = 52
	atEncoding   = 56
	atValidFor   = 92
)

// image is a database's main file.
type image struct {
	data   []byte
	size   int // of a page
	usable int // of that
	pages  int
	// claimed are pages that something uses: nothing may use one twice.
	claimed []bool
}

// pageSize reads the page size field, or 0.
func pageSize(field uint32) int {
	if field == 1 {
		return 65536
	}
	if field < 512 || field > 65536 || field&(field-1) != 0 {
		return 0
	}
	return int(field)
}

func open(data []byte) (*image, error) {
	if len(data) < headerSize || string(data[:16]) != magic {
		return nil, bad("no database")
	}
	size := pageSize(uint32(binary.BigEndian.Uint16(data[atPageSize:])))
	if size == 0 || len(data) < size {
		return nil, bad("page size")
	}
	m := &image{data: data, size: size, usable: size - int(data[atReserved]), pages: len(data) / size}
	if m.usable < 480 || data[21] != 64 || data[22] != 32 || data[23] != 32 {
		return nil, bad("header")
	}
	if n := m.field(atPages); n != 0 && m.field(atCounter) == m.field(atValidFor) {
		if int64(n) > int64(m.pages) {
			return nil, bad("it is shorter than it says")
		}
		m.pages = int(n)
	}
	m.data = data[:m.pages*size]
	return m, nil
}

func (m *image) field(at int) uint32   { return binary.BigEndian.Uint32(m.data[at:]) }
func (m *image) set(at int, v uint32)  { binary.BigEndian.PutUint32(m.data[at:], v) }
func (m *image) page(n uint32) []byte  { return m.data[int(n-1)*m.size : int(n)*m.size] }
func (m *image) exists(n uint32) bool  { return n >= 1 && int64(n) <= int64(m.pages) }
func (m *image) forget()               { m.claimed = make([]bool, m.pages+1) }
func (m *image) maps() bool            { return m.field(atAutoVacuum) != 0 }
func (m *image) mapPages() int         { return m.usable/5 + 1 }
func (m *image) mapOf(n uint32) uint32 { return uint32((int(n)-2)/m.mapPages()*m.mapPages() + 2) }
func (m *image) isMap(n uint32) bool   { return m.maps() && n >= 2 && m.mapOf(n) == n }
func (m *image) encodedIn() uint32     { return m.field(atEncoding) }

// claim takes a page for one use.
func (m *image) claim(n uint32) error {
	if !m.exists(n) || m.claimed[n] || m.isMap(n) {
		return bad("page %d", n)
	}
	m.claimed[n] = true
	return nil
}

// What an entry of the pointer map says of a page (auto-vacuum).
const (
	mapRoot     = 1
	mapFree     = 2
	mapFirst    = 3 // of an overflow chain
	mapOverflow = 4
	mapTree     = 5
)

// note writes a page's entry of the pointer map, where there is one.
func (m *image) note(n uint32, kind byte, parent uint32) {
	if !m.maps() || n < 3 {
		return
	}
	entry := m.page(m.mapOf(n))[(int(n)-int(m.mapOf(n))-1)*5:]
	entry[0] = kind
	binary.BigEndian.PutUint32(entry[1:], parent)
}

// freePages reads and claims the list of free pages.
func (m *image) freePages() ([]uint32, error) {
	var all []uint32
	for trunk := m.field(atFreeHead); trunk != 0; {
		if err := m.claim(trunk); err != nil {
			return nil, err
		}
		all = append(all, trunk)
		p := m.page(trunk)
		n := binary.BigEndian.Uint32(p[4:])
		if int64(n) > int64(m.usable/4-2) {
			return nil, bad("free list")
		}
		for i := range int(n) {
			leaf := binary.BigEndian.Uint32(p[8+4*i:])
			if err := m.claim(leaf); err != nil {
				return nil, err
			}
			all = append(all, leaf)
		}
		trunk = binary.BigEndian.Uint32(p)
	}
	if uint32(len(all)) != m.field(atFreeCount) {
		return nil, bad("free list")
	}
	return all, nil
}

// free writes the list of free pages anew; there is nothing else in them.
func (m *image) free(all []uint32) {
	slices.Sort(all)
	m.set(atFreeHead, 0)
	m.set(atFreeCount, uint32(len(all)))
	for _, n := range all {
		clear(m.page(n))
		m.note(n, mapFree, 0)
	}
	room := m.usable/4 - 8 // old versions of SQLite misread the last ones
	for len(all) > 0 {
		trunk, leaves := all[0], all[1:min(len(all), room+1)]
		p := m.page(trunk)
		binary.BigEndian.PutUint32(p, m.field(atFreeHead))
		binary.BigEndian.PutUint32(p[4:], uint32(len(leaves)))
		for i, leaf := range leaves {
			binary.BigEndian.PutUint32(p[8+4*i:], leaf)
		}
		m.set(atFreeHead, trunk)
		all = all[1+len(leaves):]
	}
}
