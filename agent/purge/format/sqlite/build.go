package sqlite

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// kept is an entry that goes into a tree again.
type kept struct {
	raw   []byte // as a leaf has it
	rowid int64
}

// build writes a tree of the entries, in their order, into its root and the
// given pages, and returns the pages it did not need.
func (m *image) build(root uint32, table bool, all []kept, pages []uint32) ([]uint32, error) {
	slices.Sort(pages)
	b := &builder{m: m, pages: pages, leaf: indexLeaf, inner: indexInner}
	if table {
		b.leaf, b.inner = tableLeaf, tableInner
	}
	if raws := raw(all); cost(raws, 0) <= m.usable-8 {
		b.write(root, b.leaf, raws, 0)
		return b.pages, nil
	}
	children, dividers, err := b.leaves(all, table)
	if err != nil {
		return nil, err
	}
	for cost(dividers, 4) > m.usable-12 {
		if children, dividers, err = b.level(children, dividers); err != nil {
			return nil, err
		}
	}
	b.write(root, b.inner, joined(children, dividers), children[len(children)-1])
	return b.pages, nil
}

type builder struct {
	m           *image
	pages       []uint32
	leaf, inner byte
}

func raw(all []kept) [][]byte {
	out := make([][]byte, len(all))
	for i, k := range all {
		out[i] = k.raw
	}
	return out
}

// cost is what cells take of a page, each with extra bytes of its own.
func cost(cells [][]byte, extra int) int {
	n := 0
	for _, c := range cells {
		n += cellCost(c, extra)
	}
	return n
}

func cellCost(c []byte, extra int) int { return max(len(c)+extra, 4) + 2 }

// joined puts the children before what divides them from the next.
func joined(children []uint32, dividers [][]byte) [][]byte {
	out := make([][]byte, len(dividers))
	for i, d := range dividers {
		out[i] = append(binary.BigEndian.AppendUint32(nil, children[i]), d...)
	}
	return out
}

func (b *builder) next() (uint32, error) {
	if len(b.pages) == 0 {
		return 0, bad("no page is left")
	}
	n := b.pages[0]
	b.pages = b.pages[1:]
	return n, nil
}

// leaves fills pages with entries, and returns them and what divides them: of a
// table the last row's number, of an index an entry of its own.
func (b *builder) leaves(all []kept, table bool) (children []uint32, dividers [][]byte, err error) {
	for i := 0; i < len(all); {
		j, used := i, 0
		for j < len(all) && used+cellCost(all[j].raw, 0) <= b.m.usable-8 {
			used += cellCost(all[j].raw, 0)
			j++
		}
		if !table && j == len(all)-1 {
			j-- // the divider would be the last entry, with nothing after it
		}
		if j <= i {
			return nil, nil, bad("an entry is larger than a page")
		}
		n, err := b.next()
		if err != nil {
			return nil, nil, err
		}
		b.write(n, b.leaf, raw(all[i:j]), 0)
		children = append(children, n)
		switch {
		case j == len(all):
		case table:
			dividers = append(dividers, putVarint(uint64(all[j-1].rowid)))
		default:
			dividers = append(dividers, all[j].raw)
			j++
		}
		i = j
	}
	return children, dividers, nil
}

// level makes the pages above children; what divides two of them goes up.
func (b *builder) level(children []uint32, dividers [][]byte) (up []uint32, between [][]byte, err error) {
	for i := 0; i < len(children); {
		j, used := i, 0
		for j < len(dividers) && used+cellCost(dividers[j], 4) <= b.m.usable-12 {
			used += cellCost(dividers[j], 4)
			j++
		}
		if j == len(children)-2 {
			j-- // one child alone is no page
		}
		if j <= i {
			return nil, nil, bad("an entry is larger than a page")
		}
		n, err := b.next()
		if err != nil {
			return nil, nil, err
		}
		b.write(n, b.inner, joined(children[i:j], dividers[i:j]), children[j])
		up = append(up, n)
		if j < len(dividers) {
			between = append(between, dividers[j])
		}
		i = j + 1
	}
	return up, between, nil
}

// write makes a page of cells. What the page's end is reserved for stays.
func (b *builder) write(number uint32, kind byte, cells [][]byte, right uint32) {
	p := b.m.page(number)[:b.m.usable]
	fresh := make([]byte, len(p))
	at, head := len(fresh), 8
	if kind == b.inner {
		head = 12
		binary.BigEndian.PutUint32(fresh[8:], right)
	}
	for i, c := range cells {
		at -= max(len(c), 4)
		copy(fresh[at:], c)
		binary.BigEndian.PutUint16(fresh[head+2*i:], uint16(at))
	}
	fresh[0] = kind
	binary.BigEndian.PutUint16(fresh[3:], uint16(len(cells)))
	binary.BigEndian.PutUint16(fresh[5:], uint16(at)) // 65536 is written as 0
	copy(p, fresh)
}

// rawOf is a cell as a leaf has it, in memory of its own.
func rawOf(m *image, n node, c cell) []byte {
	from := c.from
	if !n.leaf() {
		from += 4
	}
	return bytes.Clone(m.page(n.number)[from:c.to])
}
