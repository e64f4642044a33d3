package identify

import (
	"crypto/sha1" //nolint:gosec // what a fingerprint of OpenPGP is
	"encoding/binary"
	"encoding/hex"
	"strings"
)

// gnupgKey names a private key of GnuPG: a file of version 2 by its keygrip, which
// is its name; a ring of version 1 by the fingerprints and user ids in it.
func gnupgKey(content []byte, around Around, n *notes) {
	n.until(never)
	if grip, ok := strings.CutSuffix(around.Name(), ".key"); ok {
		if raw, err := hex.DecodeString(grip); err == nil && len(raw) == sha1.Size {
			n.add("gnupg-keygrip", strings.ToUpper(grip))
		}
		return
	}
	for packet := range packets(content) {
		switch packet.tag {
		case 5, 7: // a secret key, or one below it
			if print := fingerprint(packet.body); print != "" {
				n.add("gnupg-fingerprint", print)
			}
		case 13:
			n.add("gnupg-uid", string(packet.body))
		}
	}
}

// packet is one of OpenPGP's (RFC 4880, 4.2).
type packet struct {
	tag  byte
	body []byte
}

// packets splits a ring.
func packets(data []byte) func(func(packet) bool) {
	return func(yield func(packet) bool) {
		for len(data) > 1 && data[0]&0x80 != 0 {
			p := packet{tag: data[0] & 0x3f}
			size, head := newLength(data)
			if data[0]&0x40 == 0 {
				p.tag = data[0] >> 2 & 0xf
				size, head = oldLength(data)
			}
			if size < 0 || size > len(data)-head {
				return
			}
			p.body = data[head : head+size]
			if !yield(p) {
				return
			}
			data = data[head+size:]
		}
	}
}

// newLength and oldLength read a packet's length and that of its head; -1: it
// has none, or does not say.
func newLength(data []byte) (size, head int) {
	switch first := int(data[1]); {
	case first < 192:
		return first, 2
	case first < 224 && len(data) > 2:
		return (first-192)<<8 + int(data[2]) + 192, 3
	case first == 255 && len(data) > 5:
		return int(binary.BigEndian.Uint32(data[2:])), 6
	}
	return -1, 0
}

func oldLength(data []byte) (size, head int) {
	switch kind := data[0] & 3; {
	case kind == 0:
		return int(data[1]), 2
	case kind == 1 && len(data) > 2:
		return int(binary.BigEndian.Uint16(data[1:])), 3
	case kind == 2 && len(data) > 4:
		return int(binary.BigEndian.Uint32(data[1:])), 5
	}
	return -1, 0
}

// fingerprint is that of the public half, which a secret key begins with.
func fingerprint(body []byte) string {
	if len(body) < 6 || body[0] != 4 {
		return ""
	}
	numbers := map[byte]int{1: 2, 2: 2, 3: 2, 16: 3, 17: 4}[body[5]] // RSA, Elgamal, DSA
	end := 6
	for range numbers {
		if len(body) < end+2 {
			return ""
		}
		end += 2 + (int(binary.BigEndian.Uint16(body[end:]))+7)/8
	}
	if numbers == 0 || len(body) < end {
		return ""
	}
	sum := sha1.New() //nolint:gosec // see above
	sum.Write([]byte{0x99, byte(end >> 8), byte(end)})
	sum.Write(body[:end])
	return strings.ToUpper(hex.EncodeToString(sum.Sum(nil)))
}
