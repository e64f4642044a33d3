package sqlite

import (
	"bytes"
	"slices"
)

// Rows says which rows go: those of the tables that Table matches whose value in
// Column, as a text, matches Value.
type Rows struct {
	Table  func(name string) bool
	Column string
	Value  func(text string) bool
	// Trace is what a deleted row of this kind would still show, in any case of
	// letters; empty: nothing is known.
	Trace []byte
}

// Files are a database and what lies beside it; nil: not there.
type Files struct{ Main, Log, Journal []byte }

// Merge returns the database as one file, as SQLite reads it from all of them; it
// may be f.Main itself.
func Merge(f Files) ([]byte, error) {
	data, err := rollback(f.Main, f.Journal)
	if err != nil {
		return nil, err
	}
	return checkpoint(data, f.Log)
}

// Cut returns the database as one file without the rows, and how many there
// were. Where there are none, nor traces of such that were deleted before, it
// returns nil and 0. What it returns has no log and no journal: those beside the
// old file must go.
func Cut(f Files, rows []Rows) ([]byte, int, error) {
	data, err := Merge(f)
	if err != nil {
		return nil, 0, err
	}
	if len(data) == 0 {
		return nil, 0, nil // a database before its first table
	}
	if &data[0] == &f.Main[0] {
		data = bytes.Clone(data)
	}
	m, err := open(data)
	if err != nil {
		return nil, 0, err
	}
	m.forget()
	objects, err := m.schema()
	if err != nil {
		return nil, 0, err
	}
	free, err := m.freePages()
	if err != nil {
		return nil, 0, err
	}
	n := 0
	for _, o := range objects {
		if o.kind != "table" || o.root == 0 {
			continue
		}
		cut, err := m.rows(objects, o, rows, &free)
		if err != nil {
			return nil, 0, err
		}
		n += cut
	}
	if n == 0 && !traced(f, rows) {
		return nil, 0, nil
	}
	if err := m.scrub(objects, free); err != nil {
		return nil, 0, err
	}
	if n == 0 && len(f.Log) == 0 && len(f.Journal) == 0 && bytes.Equal(m.data[headerSize:], f.Main[headerSize:]) {
		return nil, 0, nil // the trace is in rows that stay
	}
	m.set(atCounter, m.field(atCounter)+1)
	m.set(atValidFor, m.field(atCounter))
	m.set(atPages, uint32(m.pages))
	return m.data, max(n, 1), nil
}

// traced reports whether anything may be left of rows that were deleted before.
func traced(f Files, rows []Rows) bool {
	for _, data := range [][]byte{f.Main, f.Log, f.Journal} {
		data = bytes.ToLower(data)
		for _, r := range rows {
			if len(r.Trace) > 0 && bytes.Contains(data, bytes.ToLower(r.Trace)) {
				return true
			}
		}
	}
	return false
}

// rows takes the matching rows out of one table and its indices.
func (m *image) rows(objects []object, o object, rows []Rows, free *[]uint32) (int, error) {
	gone := map[int64]bool{}
	for _, r := range rows {
		if !r.Table(o.name) {
			continue
		}
		place, err := o.column(r.Column)
		if err != nil {
			return 0, err
		}
		if place < 0 {
			continue
		}
		if err := m.matching(o.root, place, r.Value, gone); err != nil {
			return 0, err
		}
	}
	if len(gone) == 0 {
		return 0, nil
	}
	if err := m.without(o.root, true, gone, free); err != nil {
		return 0, err
	}
	for _, i := range objects {
		if i.kind == "index" && i.table == o.name && i.root != 0 {
			if err := m.without(i.root, false, gone, free); err != nil {
				return 0, err
			}
		}
	}
	return len(gone), nil
}

// matching finds the numbers of rows by the value in one place.
func (m *image) matching(root uint32, place int, matches func(string) bool, into map[int64]bool) error {
	claimed := slices.Clone(m.claimed) // this is a look; what it claims is not kept
	defer func() { m.claimed = claimed }()
	return m.walk(root, true, func(_ node, c cell) error {
		p, err := m.all(c)
		if err != nil {
			return err
		}
		fields, err := record(p)
		if err != nil {
			return err
		}
		if place < len(fields) {
			if text, ok := fields[place].text(m.encodedIn()); ok && matches(text) {
				into[c.rowid] = true
			}
		}
		return nil
	}, func(node, uint32) error { return nil })
}

// without builds a tree anew without the rows; their overflow and the pages it
// needs no more are free.
func (m *image) without(root uint32, table bool, gone map[int64]bool, free *[]uint32) error {
	if root == 1 {
		return bad("the schema is no table of rows")
	}
	var (
		all   []kept
		pages []uint32
	)
	err := m.walk(root, table, func(n node, c cell) error {
		rowid := c.rowid
		if !table {
			p, err := m.all(c)
			if err != nil {
				return err
			}
			fields, err := record(p)
			if err != nil || len(fields) == 0 {
				return bad("index")
			}
			var ok bool
			if rowid, ok = fields[len(fields)-1].integer(); !ok {
				return bad("index")
			}
		}
		switch {
		case !gone[rowid]:
			all = append(all, kept{raw: rawOf(m, n, c), rowid: rowid})
			return nil
		case table:
			return m.chain(c, func(n uint32, _ []byte) { *free = append(*free, n) })
		default:
			return m.released(c, free)
		}
	}, func(n node, _ uint32) error {
		if n.number != root {
			pages = append(pages, n.number)
		}
		return nil
	})
	if err != nil {
		return err
	}
	left, err := m.build(root, table, all, pages)
	*free = append(*free, left...)
	return err
}

// released frees the overflow of a cell whose pages are claimed already.
func (m *image) released(c cell, free *[]uint32) error {
	from := len(*free)
	claimed := m.claimed
	m.forget()
	err := m.chain(c, func(n uint32, _ []byte) { *free = append(*free, n) })
	m.claimed = claimed
	for _, n := range (*free)[from:] {
		if !m.claimed[n] {
			return bad("page %d", n)
		}
	}
	return err
}

// scrub reads the whole database again, as it will be, and empties every byte
// that nothing uses.
func (m *image) scrub(objects []object, free []uint32) error {
	m.forget()
	m.free(free)
	if _, err := m.freePages(); err != nil {
		return err
	}
	roots := []object{{kind: "table", root: 1}}
	for _, o := range objects {
		if o.root != 0 && (o.kind == "table" || o.kind == "index") {
			roots = append(roots, o)
		}
	}
	for _, o := range roots {
		table, err := m.isTable(o.root)
		if err != nil {
			return err
		}
		if err := m.walk(o.root, table, m.overflowing, func(n node, parent uint32) error {
			kind := byte(mapTree)
			if n.number == o.root {
				kind = mapRoot
			}
			m.note(n.number, kind, parent)
			m.slack(n)
			return nil
		}); err != nil {
			return err
		}
	}
	for n := uint32(1); int64(n) <= int64(m.pages); n++ {
		if !m.claimed[n] && !m.isMap(n) {
			clear(m.page(n)) // nothing leads to it
		}
	}
	return nil
}

// isTable: a table without row numbers has a tree like an index.
func (m *image) isTable(root uint32) (bool, error) {
	if !m.exists(root) {
		return false, bad("page %d", root)
	}
	n, err := m.node(root)
	return n.kind == tableLeaf || n.kind == tableInner, err
}

// overflowing claims a cell's overflow and empties what is after its end.
func (m *image) overflowing(n node, c cell) error {
	if c.overflow == 0 {
		return nil
	}
	before, kind := n.number, byte(mapFirst)
	left := c.payload - len(c.local)
	return m.chain(c, func(n uint32, part []byte) {
		m.note(n, kind, before)
		before, kind = n, mapOverflow
		p := m.page(n)
		if left -= len(part); left == 0 {
			clear(p[:4]) // the chain ends here
		}
		clear(p[4+len(part) : m.usable])
	})
}

// slack empties what no cell of a page uses: the gap, what is in free blocks,
// and fragments.
func (m *image) slack(n node) {
	p := m.page(n.number)[:m.usable]
	used := make([]bool, len(p))
	mark := func(from, to int) {
		for i := from; i < min(to, len(used)); i++ {
			used[i] = true
		}
	}
	mark(0, n.base+n.head+2*len(n.cells))
	for _, c := range n.cells {
		mark(c.from, c.to)
	}
	for at := int(p[n.base+1])<<8 | int(p[n.base+2]); at >= n.base+n.head && at+4 <= len(p); {
		mark(at, at+4)
		next := int(p[at])<<8 | int(p[at+1])
		if next <= at {
			break
		}
		at = next
	}
	for i := range p {
		if !used[i] {
			p[i] = 0
		}
	}
}
