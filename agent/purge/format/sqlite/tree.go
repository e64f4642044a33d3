package sqlite

import (
	"encoding/binary"
	"slices"
)

// Kinds of pages of a tree.
const (
	indexInner = 2
	tableInner = 5
	indexLeaf  = 10
	tableLeaf  = 13
)

// cell is one entry of a page.
type cell struct {
	from, to int // in its page
	child    uint32
	rowid    int64
	payload  int // its size with what overflows
	local    []byte
	overflow uint32
}

// node is a page of a tree.
type node struct {
	number uint32
	kind   byte
	base   int // 100 on the first page
	head   int // size of the page's header
	cells  []cell
	right  uint32
}

func (n node) leaf() bool { return n.kind == tableLeaf || n.kind == indexLeaf }

// node reads a page as one of a tree.
func (m *image) node(number uint32) (node, error) {
	n := node{number: number}
	if number == 1 {
		n.base = headerSize
	}
	p := m.page(number)
	n.kind, n.head = p[n.base], 8
	switch n.kind {
	case indexInner, tableInner:
		n.head = 12
		n.right = binary.BigEndian.Uint32(p[n.base+8:])
	case indexLeaf, tableLeaf:
	default:
		return n, bad("page %d: kind", number)
	}
	count := int(binary.BigEndian.Uint16(p[n.base+3:]))
	first := n.base + n.head + 2*count
	if first > m.usable {
		return n, bad("page %d: cells", number)
	}
	n.cells = make([]cell, count)
	room := m.usable - first // no two cells share a byte: bounds the work too
	for i := range count {
		at := int(binary.BigEndian.Uint16(p[n.base+n.head+2*i:]))
		if at < first || at >= m.usable {
			return n, bad("page %d: cell %d", number, i)
		}
		var err error
		if n.cells[i], err = m.cell(p, n.kind, at); err != nil {
			return n, err
		}
		if room -= n.cells[i].to - n.cells[i].from; room < 0 {
			return n, bad("page %d: cells", number)
		}
	}
	return n, nil
}

// cell reads the entry at an offset of a page.
func (m *image) cell(p []byte, kind byte, at int) (cell, error) {
	c := cell{from: at}
	p = p[:m.usable]
	if kind == tableInner || kind == indexInner {
		if at+4 > len(p) {
			return c, bad("cell")
		}
		c.child = binary.BigEndian.Uint32(p[at:])
		at += 4
	}
	if kind != tableInner {
		size, n := varint(p[at:])
		if n == 0 || size > uint64(len(m.data)) {
			return c, bad("cell")
		}
		c.payload, at = int(size), at+n
	}
	if kind != indexInner && kind != indexLeaf {
		rowid, n := varint(p[at:])
		if n == 0 {
			return c, bad("cell")
		}
		c.rowid, at = int64(rowid), at+n
	}
	if kind != tableInner {
		local := m.local(kind, c.payload)
		if at+local > len(p) {
			return c, bad("cell")
		}
		c.local, at = p[at:at+local], at+local
		if local < c.payload {
			if at+4 > len(p) {
				return c, bad("cell")
			}
			c.overflow = binary.BigEndian.Uint32(p[at:])
			at += 4
		}
	}
	if c.to = max(at, c.from+4); c.to > len(p) {
		return c, bad("cell")
	}
	return c, nil
}

// local is how much of a payload its page holds.
func (m *image) local(kind byte, payload int) int {
	most, least := (m.usable-12)*64/255-23, (m.usable-12)*32/255-23
	if kind == tableLeaf {
		most = m.usable - 35
	}
	if payload <= most {
		return payload
	}
	if k := least + (payload-least)%(m.usable-4); k <= most {
		return k
	}
	return least
}

// chain visits the overflow pages of a cell: claims each, and hands on its
// number and the part of it that is payload.
func (m *image) chain(c cell, each func(n uint32, part []byte)) error {
	next := c.overflow
	for left := c.payload - len(c.local); left > 0; {
		if err := m.claim(next); err != nil {
			return err
		}
		p := m.page(next)
		part := p[4 : 4+min(left, m.usable-4)]
		left -= len(part)
		after := binary.BigEndian.Uint32(p)
		each(next, part)
		next = after
	}
	return nil
}

// all is a cell's whole payload. It claims the overflow pages.
func (m *image) all(c cell) ([]byte, error) {
	if c.overflow == 0 {
		return c.local, nil
	}
	out := slices.Clone(c.local)
	err := m.chain(c, func(_ uint32, part []byte) { out = append(out, part...) })
	return out, err
}

// walk visits the entries of a tree in order, and its pages, each after what is
// below it. It claims the pages, not their overflow.
func (m *image) walk(number uint32, table bool, entry func(n node, c cell) error, page func(n node, parent uint32) error) error {
	return m.below(number, 0, table, 0, entry, page)
}

func (m *image) below(number, parent uint32, table bool, depth int, entry func(n node, c cell) error, page func(n node, parent uint32) error) error {
	if depth > maxDepth {
		return bad("tree is too deep")
	}
	if err := m.claim(number); err != nil {
		return err
	}
	n, err := m.node(number)
	if err != nil {
		return err
	}
	if table != (n.kind == tableLeaf || n.kind == tableInner) || len(n.cells) == 0 && depth > 0 {
		return bad("page %d: not of this tree", number)
	}
	for _, c := range n.cells {
		if !n.leaf() {
			if err := m.below(c.child, number, table, depth+1, entry, page); err != nil {
				return err
			}
		}
		if n.kind != tableInner {
			if err := entry(n, c); err != nil {
				return err
			}
		}
	}
	if !n.leaf() {
		if err := m.below(n.right, number, table, depth+1, entry, page); err != nil {
			return err
		}
	}
	return page(n, parent)
}
