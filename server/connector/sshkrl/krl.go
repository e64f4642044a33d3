package sshkrl

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"golang.org/x/crypto/ssh"
)

// Numbers of OpenSSH's PROTOCOL.krl.
const (
	krlMagic             = 0x5353484b524c0a00 // "SSHKRL\n\0"
	krlFormat            = 1
	sectionCertificates  = 1
	sectionSHA256        = 5
	certificatesSerials  = 0x20
	maxListBytes         = 16 << 20
	sha256FingerprintLen = 32
)

// list is what a KRL says. Serial 0 is what ssh-keygen gives when nobody says
// a serial: OpenSSH ignores it in a KRL, so it is never put in.
type list struct {
	version uint64
	made    time.Time
	comment string
	// serials are those of each authority, by its key's blob.
	serials map[string][]uint64
	// keys are SHA-256 hashes of keys' blobs: they name a key and every
	// certificate on it, whoever signed that.
	keys [][]byte
}

// encode makes the file that sshd's RevokedKeys reads.
func (l list) encode() []byte {
	var b []byte
	b = binary.BigEndian.AppendUint64(b, krlMagic)
	b = binary.BigEndian.AppendUint32(b, krlFormat)
	b = binary.BigEndian.AppendUint64(b, l.version)
	b = binary.BigEndian.AppendUint64(b, uint64(max(0, l.made.Unix())))
	b = binary.BigEndian.AppendUint64(b, 0) // flags
	b = appendString(b, nil)                // reserved
	b = appendString(b, []byte(l.comment))
	authorities := make([]string, 0, len(l.serials))
	for a := range l.serials {
		authorities = append(authorities, a)
	}
	slices.Sort(authorities)
	for _, a := range authorities {
		serials := slices.Clone(l.serials[a])
		slices.Sort(serials)
		var some []byte
		for _, s := range slices.Compact(serials) {
			if s != 0 {
				some = binary.BigEndian.AppendUint64(some, s)
			}
		}
		if len(some) == 0 {
			continue
		}
		section := appendString(appendString(nil, []byte(a)), nil)
		section = appendString(append(section, certificatesSerials), some)
		b = appendString(append(b, sectionCertificates), section)
	}
	keys := slices.Clone(l.keys)
	slices.SortFunc(keys, bytes.Compare)
	var hashes []byte
	for _, k := range slices.CompactFunc(keys, bytes.Equal) {
		hashes = appendString(hashes, k)
	}
	if len(hashes) > 0 {
		b = appendString(append(b, sectionSHA256), hashes)
	}
	return b
}

func appendString(b, s []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// errList says that bytes are no list of ours.
var errList = errors.New("not a key revocation list of this server")

// decode reads what encode wrote: the read-back of what is published.
func decode(b []byte) (list, error) {
	l := list{serials: map[string][]uint64{}}
	var head struct {
		Magic    uint64
		Format   uint32
		Version  uint64
		Made     uint64
		Flags    uint64
		Reserved []byte
		Comment  []byte
		Rest     []byte `ssh:"rest"`
	}
	if len(b) > maxListBytes || ssh.Unmarshal(b, &head) != nil || head.Magic != krlMagic || head.Format != krlFormat {
		return l, errList
	}
	l.version, l.made, l.comment = head.Version, time.Unix(int64(min(head.Made, 1<<40)), 0), string(head.Comment)
	for rest := head.Rest; len(rest) > 0; {
		var section struct {
			Kind byte
			Data []byte
			Rest []byte `ssh:"rest"`
		}
		if ssh.Unmarshal(rest, &section) != nil {
			return l, errList
		}
		rest = section.Rest
		var err error
		switch section.Kind {
		case sectionCertificates:
			err = l.readSerials(section.Data)
		case sectionSHA256:
			err = l.readKeys(section.Data)
		default:
			err = errList
		}
		if err != nil {
			return l, err
		}
	}
	return l, nil
}

func (l *list) readSerials(b []byte) error {
	var section struct {
		Authority []byte
		Reserved  []byte
		Kind      byte
		Serials   []byte
	}
	if ssh.Unmarshal(b, &section) != nil || section.Kind != certificatesSerials || len(section.Serials)%8 != 0 {
		return errList
	}
	for s := section.Serials; len(s) > 0; s = s[8:] {
		l.serials[string(section.Authority)] = append(l.serials[string(section.Authority)], binary.BigEndian.Uint64(s))
	}
	return nil
}

func (l *list) readKeys(b []byte) error {
	for len(b) > 0 {
		var one struct {
			Hash []byte
			Rest []byte `ssh:"rest"`
		}
		if ssh.Unmarshal(b, &one) != nil || len(one.Hash) != sha256FingerprintLen {
			return errList
		}
		l.keys, b = append(l.keys, one.Hash), one.Rest
	}
	return nil
}

func (l list) hasSerial(authority []byte, serial uint64) bool {
	_, ok := slices.BinarySearchFunc(l.serials[string(authority)], serial, cmp.Compare[uint64])
	return ok
}

func (l list) hasKey(hash []byte) bool {
	_, ok := slices.BinarySearchFunc(l.keys, hash, bytes.Compare)
	return ok
}
