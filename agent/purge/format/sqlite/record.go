package sqlite

import (
	"encoding/binary"
	"strconv"
	"unicode/utf16"
)

// varint reads a number of one to nine bytes and returns how many.
func varint(p []byte) (uint64, int) {
	var v uint64
	for i := range min(len(p), 9) {
		if i == 8 {
			return v<<8 | uint64(p[i]), 9
		}
		v = v<<7 | uint64(p[i]&0x7f)
		if p[i] < 0x80 {
			return v, i + 1
		}
	}
	return 0, 0
}

func putVarint(v uint64) []byte {
	if v >= 1<<56 {
		out := make([]byte, 9)
		for i := 7; i >= 0; i-- {
			out[i] = byte(v>>(8+7*(7-i)))&0x7f | 0x80
		}
		out[8] = byte(v)
		return out
	}
	out := []byte{byte(v & 0x7f)}
	for v >>= 7; v > 0; v >>= 7 {
		out = append([]byte{byte(v&0x7f) | 0x80}, out...)
	}
	return out
}

// field is one value of a record.
type field struct {
	kind uint64
	data []byte
}

// record splits a payload into its values.
func record(p []byte) ([]field, error) {
	size, n := varint(p)
	if n == 0 || size > uint64(len(p)) || size < uint64(n) {
		return nil, bad("record")
	}
	head, body := p[n:size], p[size:]
	var out []field
	for len(head) > 0 {
		kind, n := varint(head)
		if n == 0 {
			return nil, bad("record")
		}
		head = head[n:]
		size := width(kind)
		if size > uint64(len(body)) {
			return nil, bad("record")
		}
		out = append(out, field{kind, body[:size]})
		body = body[size:]
	}
	return out, nil
}

// width is how many bytes a value of a kind has.
func width(kind uint64) uint64 {
	if kind >= 12 {
		return (kind - 12) / 2
	}
	return [12]uint64{0, 1, 2, 3, 4, 6, 8, 8}[kind]
}

// integer reads a whole number.
func (f field) integer() (int64, bool) {
	switch {
	case f.kind == 8 || f.kind == 9:
		return int64(f.kind - 8), true
	case f.kind < 1 || f.kind > 6:
		return 0, false
	}
	v := int64(int8(f.data[0]))
	for _, b := range f.data[1:] {
		v = v<<8 | int64(b)
	}
	return v, true
}

// text is a value as a text: of a blob, its bytes; null has none.
func (f field) text(encoding uint32) (string, bool) {
	if v, ok := f.integer(); ok {
		return strconv.FormatInt(v, 10), true
	}
	if f.kind < 12 {
		return "", false
	}
	if f.kind%2 == 0 || encoding == 1 {
		return string(f.data), true
	}
	var order binary.ByteOrder = binary.LittleEndian
	if encoding == 3 {
		order = binary.BigEndian
	}
	units := make([]uint16, len(f.data)/2)
	for i := range units {
		units[i] = order.Uint16(f.data[2*i:])
	}
	return string(utf16.Decode(units)), true
}
