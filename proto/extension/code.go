// Package extension holds what the server and the agent must agree on about
// extensions of a lease: how a one-time code is written and hashed, and what the
// file of a device is called on a mirror. It must not decide who gets one, nor
// what one is worth.
package extension

import (
	"errors"
	"strings"

	"golang.org/x/crypto/scrypt"
)

// Sizes in bytes.
const (
	// CodeSize: 80 bits, more than anybody guesses.
	CodeSize = 10
	SaltSize = 16
	HashSize = 16
)

// Code is what a one-time code says.
type Code [CodeSize]byte

// ErrCode says that a text is no code: mistyped, misheard, or not whole.
var ErrCode = errors.New("this is no code: 16 letters and digits and one more that checks them, such as 0123-4567-89AB-CDEF-P")

// alphabet leaves out what is mistaken for something else when it is read aloud
// or written by hand (Crockford's base 32).
const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// symbols of a code, without the one that checks them.
const symbols = CodeSize * 8 / 5

// String is the code as people read it: groups of four, and one symbol that
// checks the others.
func (c Code) String() string {
	var out strings.Builder
	bits, n, sum := uint(0), 0, byte(0)
	written := 0
	put := func(v byte) {
		if written > 0 && written%4 == 0 {
			out.WriteByte('-')
		}
		out.WriteByte(alphabet[v])
		written++
	}
	for _, b := range c {
		bits, n = bits<<8|uint(b), n+8
		for n >= 5 {
			n -= 5
			v := byte(bits >> n & 31)
			sum = times2(sum) ^ v
			put(v)
		}
	}
	put(times2(sum))
	return out.String()
}

// Parse reads a code as people type it: in any case, with or without spaces and
// dashes, O for 0 and I or L for 1. One wrong symbol, and two that changed
// places, are always found.
func Parse(text string) (Code, error) {
	var c Code
	bits, n, at, seen, sum := uint(0), 0, 0, 0, byte(0)
	for _, r := range strings.ToUpper(text) {
		switch r {
		case ' ', '-', '\t', '\n', '\r':
			continue
		case 'O':
			r = '0'
		case 'I', 'L':
			r = '1'
		}
		v := strings.IndexRune(alphabet, r)
		if v < 0 || seen > symbols {
			return Code{}, ErrCode
		}
		seen++
		if seen > symbols {
			if byte(v) != times2(sum) {
				return Code{}, ErrCode
			}
			continue
		}
		sum = times2(sum) ^ byte(v)
		bits, n = bits<<5|uint(v), n+5
		if n >= 8 {
			n -= 8
			c[at] = byte(bits >> n)
			at++
		}
	}
	if seen != symbols+1 {
		return Code{}, ErrCode
	}
	return c, nil
}

// times2 multiplies by x in GF(32) of x^5+x^2+1. As x is primitive there, the
// weights of 31 places are all different: no two symbols can change places
// unseen.
func times2(v byte) byte {
	v <<= 1
	if v&32 != 0 {
		v ^= 0b100101
	}
	return v
}

// What scrypt costs: 4 MiB and about ten milliseconds. The code's 80 bits are
// what keeps it from being guessed; the cost only multiplies that.
const (
	scryptN = 1 << 12
	scryptR = 8
	scryptP = 1
)

// Hash is what a lease carries of a code: a device can tell the code by it, and
// not make one.
func (c Code) Hash(salt []byte) ([]byte, error) {
	return scrypt.Key(c[:], salt, scryptN, scryptR, scryptP, HashSize)
}
