package sqlite

import (
	"bytes"
	"encoding/binary"
)

// checkpoint applies the committed frames of a write-ahead log, as SQLite does
// when it opens the database: up to the last commit before the first frame that
// does not add up.
func checkpoint(data, log []byte) ([]byte, error) {
	const header, frameHeader = 32, 24
	if len(log) < header {
		return data, nil
	}
	first := binary.BigEndian.Uint32(log)
	size := pageSize(binary.BigEndian.Uint32(log[8:]))
	if first&^1 != 0x377f0682 || binary.BigEndian.Uint32(log[4:]) != 3007000 || size == 0 {
		return data, nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if first&1 != 0 {
		order = binary.BigEndian
	}
	s1, s2 := sum(order, log[:24], 0, 0)
	if s1 != binary.BigEndian.Uint32(log[24:]) || s2 != binary.BigEndian.Uint32(log[28:]) {
		return data, nil
	}
	if len(data) >= headerSize && pageSize(uint32(binary.BigEndian.Uint16(data[atPageSize:]))) != size {
		return nil, bad("its log has other pages")
	}
	var committed [][]byte
	var frames [][]byte
	var pages uint32
	for at := header; at+frameHeader+size <= len(log); at += frameHeader + size {
		f := log[at : at+frameHeader+size]
		if !bytes.Equal(f[8:16], log[16:24]) || binary.BigEndian.Uint32(f) == 0 {
			break
		}
		s1, s2 = sum(order, f[:8], s1, s2)
		s1, s2 = sum(order, f[frameHeader:], s1, s2)
		if s1 != binary.BigEndian.Uint32(f[16:]) || s2 != binary.BigEndian.Uint32(f[20:]) {
			break
		}
		frames = append(frames, f)
		if n := binary.BigEndian.Uint32(f[4:]); n != 0 {
			committed, pages = frames, n
		}
	}
	if len(committed) == 0 {
		return data, nil
	}
	// Never more than what is there: a page number is no reason to allocate.
	if int64(pages)*int64(size) > int64(len(data)+len(log)) {
		return nil, bad("its log is longer than it can be")
	}
	out := make([]byte, int(pages)*size)
	copy(out, data)
	for _, f := range committed {
		if n := binary.BigEndian.Uint32(f); n <= pages {
			copy(out[int(n-1)*size:], f[frameHeader:])
		}
	}
	return out, nil
}

// sum is the log's checksum: a running sum over pairs of words.
func sum(order binary.ByteOrder, data []byte, s1, s2 uint32) (uint32, uint32) {
	for i := 0; i+8 <= len(data); i += 8 {
		s1 += order.Uint32(data[i:]) + s2
		s2 += order.Uint32(data[i+4:]) + s1
	}
	return s1, s2
}

const journalMagic = "\xd9\xd5\x05\xf9\x20\xa1\x63\xd7"

// rollback undoes a transaction that was cut short, from a hot journal.
func rollback(data, journal []byte) ([]byte, error) {
	const header = 28
	if len(data) == 0 || len(journal) < header || string(journal[:8]) != journalMagic {
		return data, nil
	}
	if bytes.HasSuffix(journal, []byte(journalMagic)) && len(journal) > header {
		return nil, bad("its journal is one of several")
	}
	sector := int64(binary.BigEndian.Uint32(journal[20:]))
	size := pageSize(binary.BigEndian.Uint32(journal[24:]))
	pages := int64(binary.BigEndian.Uint32(journal[16:]))
	if size == 0 || sector < 32 || sector > 65536 || sector&(sector-1) != 0 {
		return data, nil
	}
	if pages*int64(size) > int64(len(data)+len(journal)) {
		return nil, bad("its journal is longer than it can be")
	}
	out := make([]byte, max(int(pages)*size, len(data)))
	copy(out, data)
	for at := int64(0); at+header <= int64(len(journal)) && string(journal[at:at+8]) == journalMagic; {
		h := journal[at:]
		n, nonce := int64(binary.BigEndian.Uint32(h[8:])), binary.BigEndian.Uint32(h[12:])
		at += sector
		record := int64(size) + 8
		if left := max(0, (int64(len(journal))-at)/record); n > left {
			n = left // 0xffffffff: as many as there are
		}
		for range n {
			r := journal[at : at+record]
			page := binary.BigEndian.Uint32(r)
			if page == 0 || journalSum(r[4:4+size], nonce) != binary.BigEndian.Uint32(r[4+size:]) {
				return out[:int(pages)*size], nil
			}
			if int64(page) <= pages {
				copy(out[int(page-1)*size:], r[4:4+size])
			}
			at += record
		}
		at = (at + sector - 1) / sector * sector
	}
	return out[:int(pages)*size], nil
}

func journalSum(page []byte, nonce uint32) uint32 {
	for i := len(page) - 200; i > 0; i -= 200 {
		nonce += uint32(page[i])
	}
	return nonce
}
