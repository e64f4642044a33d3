// Package keyfile reads the files of keyrings that no program has open: of those
// without a password all of it, of encrypted ones what stands outside the
// encryption. It finds items and cuts them out of text; it must not decrypt, and
// a secret is never in what it returns but as part of a file.
package keyfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strconv"
	"strings"

	"cutoff/platform/secrets"
)

// File is what can be seen of a keyring file.
type File struct {
	// Plain: it is readable text.
	Plain bool
	// Items are those that can be told apart; of an encrypted file with the hashes
	// of their attributes.
	Items []secrets.Item
	// Opaque: it holds items, and nothing can be seen of them.
	Opaque bool
}

// ErrFormat: not a keyring file that anybody knows.
var ErrFormat = errors.New("not a keyring file")

// Magic numbers. GNOME's own files and oo7's share the first.
var (
	gnomeMagic  = []byte("GnomeKeyring\n\r\x00\n")
	kdeMagic    = []byte("KWALLET\n\r\x00\r\n")
	storeMagic  = []byte("Gnome Keyring Store 2\n\r\x00")
	plainHeader = "[keyring]"
)

// Bounds of a hostile file.
const (
	maxItems      = 10_000
	maxAttributes = 256
	// emptyStore is more than a key store without an object takes, and less than
	// one with the smallest private key.
	emptyStore = 300
)

// Parse looks at a keyring file.
func Parse(data []byte) (File, error) {
	switch {
	case bytes.HasPrefix(data, gnomeMagic):
		return gnome(data[len(gnomeMagic):])
	case bytes.HasPrefix(data, kdeMagic):
		return kde(data[len(kdeMagic):])
	case bytes.HasPrefix(data, storeMagic):
		return File{Opaque: len(data) > emptyStore}, nil
	}
	items, ok := plain(data)
	if !ok {
		return File{}, ErrFormat
	}
	return File{Plain: true, Items: items}, nil
}

// kde counts the entries of a wallet: their names are hashed without a label.
func kde(data []byte) (File, error) {
	r := reader{data: data}
	r.skip(4) // version, cipher, hash
	folders := r.number()
	for n := uint32(0); n < folders && n < maxItems && !r.bad; n++ {
		r.skip(16)
		if r.number() > 0 {
			return File{Opaque: true}, nil
		}
	}
	if r.bad {
		return File{Opaque: true}, nil
	}
	return File{}, nil
}

// gnome reads the part of an encrypted file that its daemon reads while it is
// locked.
func gnome(data []byte) (File, error) {
	r := reader{data: data}
	if major := r.take(2); len(major) < 2 || major[0] != 0 {
		return File{Opaque: true}, nil // another program's version
	}
	r.skip(2) // cipher, hash
	r.text()
	r.skip(8 + 8 + 4 + 4 + 4 + 8 + 4*4) // times, flags, timeout, iterations, salt, reserved
	count := r.number()
	if r.bad || count > maxItems {
		return File{Opaque: true}, nil
	}
	var f File
	for range count {
		item := secrets.Item{Ref: strconv.FormatUint(uint64(r.number()), 10), Locked: true, Attributes: map[string]string{}}
		r.skip(4) // type
		attributes := r.number()
		for n := uint32(0); n < attributes && n < maxAttributes && !r.bad; n++ {
			name := r.text()
			if r.number() == 0 {
				item.Attributes["gkr:compat:hashed:"+name] = r.text()
			} else {
				item.Attributes["gkr:compat:hashed-uint32:"+name] = strconv.FormatUint(uint64(r.number()), 10)
			}
		}
		if r.bad {
			return File{Opaque: true}, nil
		}
		f.Items = append(f.Items, item)
	}
	return f, nil
}

type reader struct {
	data []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.data) {
		r.bad = true
		return nil
	}
	out := r.data[:n]
	r.data = r.data[n:]
	return out
}

func (r *reader) skip(n int) { r.take(n) }

func (r *reader) number() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// text reads a string; its length of all ones is none.
func (r *reader) text() string {
	n := r.number()
	if n == 0xffffffff {
		return ""
	}
	if n > 1<<20 {
		r.bad = true
		return ""
	}
	return string(r.take(int(n)))
}

// block is one "[…]" group of a text file, with the lines before the next.
type block struct {
	// item is the number of the item it belongs to; attribute: it is one of its
	// attributes.
	item       string
	attribute  bool
	start, end int
	values     map[string]string
}

// plain reads a keyring without a password.
func plain(data []byte) ([]secrets.Item, bool) {
	all, ok := blocks(data)
	if !ok {
		return nil, false
	}
	at := map[string]int{}
	var items []secrets.Item
	for _, b := range all {
		if b.item == "" {
			continue
		}
		n, known := at[b.item]
		if !known {
			n = len(items)
			at[b.item] = n
			items = append(items, secrets.Item{Ref: b.item, Attributes: map[string]string{}})
		}
		if b.attribute {
			items[n].Attributes[b.values["name"]] = b.values["value"]
		} else {
			items[n].Label = b.values["display-name"]
		}
	}
	return items, true
}

// Cut takes the items that gone names out of a readable file.
func Cut(data []byte, gone func(secrets.Item) bool) (rest []byte, cut int) {
	items, _ := plain(data)
	away := map[string]bool{}
	for _, i := range items {
		if gone(i) {
			away[i.Ref] = true
		}
	}
	all, _ := blocks(data)
	from := 0
	for _, b := range all {
		if away[b.item] {
			rest = append(rest, data[from:b.start]...)
			from = b.end
		}
	}
	return append(rest, data[from:]...), len(away)
}

// blocks splits a text file into its groups; ok is false when it has not the
// keyring's own, first.
func blocks(data []byte) (all []block, ok bool) {
	if bytes.IndexByte(data, 0) >= 0 {
		return nil, false
	}
	offset := 0
	for line := range bytes.Lines(data) {
		text := strings.TrimSpace(string(line))
		switch {
		case strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]"):
			if len(all) == 0 && text != plainHeader {
				return nil, false
			}
			if len(all) > 0 {
				all[len(all)-1].end = offset
			}
			b := block{start: offset, values: map[string]string{}}
			if name := text[1 : len(text)-1]; len(all) > 0 {
				b.item, _, b.attribute = strings.Cut(name, ":")
			}
			all = append(all, b)
		case len(all) > 0:
			if name, value, is := strings.Cut(text, "="); is && wanted(name) {
				all[len(all)-1].values[name] = unescape(value)
			}
		case text != "" && !strings.HasPrefix(text, "#"):
			return nil, false
		}
		offset += len(line)
	}
	if len(all) == 0 {
		return nil, false
	}
	all[len(all)-1].end = len(data)
	return all, true
}

// wanted are the keys that name an item; its secret is not looked at.
func wanted(key string) bool { return key == "name" || key == "value" || key == "display-name" }

// unescape reads a value as GLib's key files write it.
func unescape(value string) string {
	return escapes.Replace(value)
}

// escapes are those of a key file's values.
var escapes = strings.NewReplacer(`\\`, `\`, `\s`, " ", `\n`, "\n", `\t`, "\t", `\r`, "\r")
