package scan

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"unicode/utf8"
)

// decodeDepth is how often what was decoded is decoded again.
const decodeDepth = 5

// excerpt is a line in which something was decoded.
type excerpt struct {
	// at is the line's offset in the text that Scan was given.
	at      int
	text    []byte
	decoded []span
}

// Bounds of what is put together for an excerpt.
const (
	excerptSide = 512     // of the line, on either side
	mostDecoded = 4 << 20 // in all
)

// decode finds values that are percent-, unicode-, hex- or base64-encoded text
// and gives their lines with the values decoded, again and again.
func decode(text []byte, depth int) []excerpt {
	if depth == 0 {
		return nil
	}
	var (
		out  []excerpt
		size int
	)
	codes := encoded(text)
	for i := 0; i < len(codes) && size < mostDecoded; {
		from := bytes.LastIndexByte(text[:codes[i].from], '\n') + 1
		e := excerpt{at: from}
		done := max(from, codes[i].from-excerptSide)
		for {
			e.text = append(e.text, text[done:codes[i].from]...)
			start := len(e.text)
			e.text = append(e.text, codes[i].plain...)
			e.decoded = append(e.decoded, span{start, len(e.text)})
			done = codes[i].to
			if i++; i == len(codes) || codes[i].from-done > excerptSide || bytes.IndexByte(text[done:codes[i].from], '\n') >= 0 {
				break
			}
		}
		rest := text[done:min(len(text), done+excerptSide)]
		if n := bytes.IndexByte(rest, '\n'); n >= 0 {
			rest = rest[:n]
		}
		e.text = append(e.text, rest...)
		size += len(e.text)
		out = append(out, e)
		for _, inner := range decode(e.text, depth-1) {
			inner.at = from
			out = append(out, inner)
		}
	}
	return out
}

// code is an encoded value.
type code struct {
	span
	plain []byte
}

// Classes of bytes.
const (
	inWord  = 1 << iota // of base64, either alphabet, and of hexadecimal
	isHex               // 0-9a-fA-F
	isDigit             // what base64 of text nearly always has one of
	isEscape
)

var kinds = func() (k [256]uint8) {
	for b := range 256 {
		c := byte(b)
		switch {
		case '0' <= c && c <= '9':
			k[b] = inWord | isHex | isDigit
		case 'a' <= c && c <= 'f', 'A' <= c && c <= 'F':
			k[b] = inWord | isHex
		case 'g' <= c && c <= 'z', 'G' <= c && c <= 'Z':
			k[b] = inWord
		case c == '+', c == '/', c == '-', c == '_':
			k[b] = inWord | isDigit
		case c == '%', c == '\\':
			k[b] = isEscape
		}
	}
	return k
}()

// encoded lists the encoded values of a text, in its order.
func encoded(text []byte) []code {
	var out []code
	for i := 0; i < len(text); {
		k := kinds[text[i]]
		switch {
		case k&inWord != 0:
			to, all, any := i, uint8(0xff), uint8(0)
			for ; to < len(text) && kinds[text[to]]&inWord != 0; to++ {
				all, any = all&kinds[text[to]], any|kinds[text[to]]
			}
			c, ok := word(text, span{i, to}, all, any)
			if !ok && text[i] == 'U' {
				c, ok = codePoints(text, i)
			}
			if ok {
				out = append(out, c)
				to = c.to
			}
			i = to
		case k == isEscape:
			c, ok := percent(text, i)
			if text[i] == '\\' {
				c, ok = escapes(text, i)
			}
			if ok {
				out, i = append(out, c), c.to
				continue
			}
			i++
		default:
			i++
		}
	}
	return out
}

// word decodes a run of letters, digits and the like.
func word(text []byte, at span, all, any uint8) (code, bool) {
	n := at.to - at.from
	if n < 16 || any&isDigit == 0 {
		return code{}, false
	}
	run := text[at.from:at.to]
	if n >= 32 && all&isHex != 0 && n%2 == 0 {
		plain := make([]byte, n/2)
		if _, err := hex.Decode(plain, run); err == nil && printable(plain) {
			return code{at, plain}, true
		}
	}
	var start [12]byte
	for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if _, err := e.Decode(start[:], run[:16]); err != nil || !printable(start[:]) {
			continue
		}
		plain := make([]byte, e.DecodedLen(n))
		if _, err := e.Decode(plain, run); err != nil || !printable(plain) {
			continue
		}
		for range 2 {
			if at.to < len(text) && text[at.to] == '=' {
				at.to++
			}
		}
		return code{at, plain}, true
	}
	return code{}, false
}

// percent decodes from one %41 to the last of the line.
func percent(text []byte, at int) (code, bool) {
	if _, ok := hexByte(text, at+1); !ok {
		return code{}, false
	}
	line := text[at:min(len(text), at+maxLine)]
	if n := bytes.IndexByte(line, '\n'); n >= 0 {
		line = line[:n]
	}
	var plain []byte
	to, whole := 0, 0
	for i := 0; i < len(line); {
		if b, ok := hexByte(line, i+1); ok && line[i] == '%' {
			if !printable([]byte{b}) {
				return code{}, false
			}
			plain = append(plain, b)
			i += 3
			to, whole = i, len(plain)
			continue
		}
		plain = append(plain, line[i])
		i++
	}
	return code{span{at, at + to}, plain[:whole]}, true
}

func hexByte(text []byte, at int) (byte, bool) {
	if at+2 > len(text) || kinds[text[at]]&isHex == 0 || kinds[text[at+1]]&isHex == 0 {
		return 0, false
	}
	v, err := strconv.ParseUint(string(text[at:at+2]), 16, 8)
	return byte(v), err == nil
}

// escapes decodes a row of \u0041.
func escapes(text []byte, at int) (code, bool) {
	c := code{span: span{at, at}}
	for {
		i := c.to
		for n := 0; n < 2 && i < len(text) && text[i] == '\\'; n++ {
			i++
		}
		if i == c.to || i+5 > len(text) || text[i] != 'u' && text[i] != 'U' {
			break
		}
		v, err := strconv.ParseUint(string(text[i+1:i+5]), 16, 16)
		if err != nil {
			break
		}
		c.plain, c.to = utf8.AppendRune(c.plain, rune(v)), i+5
	}
	return c, c.to > at
}

// codePoints decodes a row of "U+0041 ".
func codePoints(text []byte, at int) (code, bool) {
	c := code{span: span{at, at}}
	for i := at; i+6 <= len(text) && text[i] == 'U' && text[i+1] == '+'; {
		v, err := strconv.ParseUint(string(text[i+2:i+6]), 16, 16)
		if err != nil || i+6 < len(text) && text[i+6] != ' ' && text[i+6] != '\n' && text[i+6] != '\t' && text[i+6] != '\r' {
			break
		}
		c.plain, c.to = utf8.AppendRune(c.plain, rune(v)), i+6
		i = min(len(text), i+7)
	}
	return c, c.to > at
}

// printable reports whether text is ASCII that people read.
func printable(text []byte) bool {
	for _, b := range text {
		if b < 9 || b > 0x7e {
			return false
		}
	}
	return true
}
