package home

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"

	"filippo.io/age"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
)

// meta leads the plaintext of a sealed item and says how it goes back. It is
// inside the encryption: nobody but the server's key reads it.
type meta struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
	// Kind: file (whole), edit (the original of a mixed file), dir (a tar).
	Kind string           `json:"kind"`
	Base string           `json:"base"`
	Name string           `json:"name"`
	As   files.Attributes `json:"attributes"`
	// After is SHA-256 of what was left of a mixed file: it goes back only over
	// exactly that.
	After []byte `json:"after,omitempty"`
}

const (
	metaVersion = 1
	maxMeta     = 1 << 20
	chunk       = 256 << 10
)

// sealFile seals a file before it is touched, when the job is a seal. ok is
// false when the item stays and has been reported.
func (w *Worker) sealFile(c *catalogue.Credential, i *wire.Item, at place, info files.Info, data, rest []byte) (ok bool, err error) {
	if w.job.Mode != wire.Seal || w.dropped(c) {
		return true, nil
	}
	as, err := w.attributes(at)
	if err == nil && data == nil {
		data, info, err = w.dir(at.base).Read(at.name, maxSeal)
	}
	if err != nil {
		return w.unsealable(c, i, detailOf(err))
	}
	m := meta{Version: metaVersion, ID: i.ID, Kind: "file", Base: at.base, Name: at.name, As: as}
	if rest != nil && info.Links == 1 {
		sum := sha256.Sum256(rest)
		m.Kind, m.After = "edit", sum[:]
	}
	return w.seal(c, i, m, func(out io.Writer) error {
		_, err := out.Write(data)
		return err
	})
}

// sealFolder is sealFile for a folder.
func (w *Worker) sealFolder(c *catalogue.Credential, i *wire.Item, at place, info files.Info, all []member) (ok bool, err error) {
	if w.job.Mode != wire.Seal || w.dropped(c) {
		return true, nil
	}
	var size int64
	for _, m := range all {
		size += m.info.Size
	}
	if size > maxSeal {
		return w.unsealable(c, i, "too-large")
	}
	as, err := w.dir(at.base).AttributesOfDir(at.name)
	if err != nil {
		return w.unsealable(c, i, detailOf(err))
	}
	as = w.original(at, as)
	m := meta{Version: metaVersion, ID: i.ID, Kind: "dir", Base: at.base, Name: at.name, As: as}
	return w.seal(c, i, m, func(out io.Writer) error { return w.pack(out, at, as, all) })
}

// dropped: an expiry that removes outright what a sign-in regains.
func (w *Worker) dropped(c *catalogue.Credential) bool {
	return w.job.DropRegainable && c.Regain == catalogue.SignIn
}

// unsealable: without a sealed copy only what a sign-in regains may go.
func (w *Worker) unsealable(c *catalogue.Credential, i *wire.Item, detail string) (bool, error) {
	if c.Regain == catalogue.SignIn && detail != "changed" {
		return true, nil
	}
	return false, w.left(*i, wire.Blocked, detail)
}

// seal sends the item's ciphertext until the parent has it on disk.
func (w *Worker) seal(c *catalogue.Credential, i *wire.Item, m meta, content func(io.Writer) error) (bool, error) {
	for range 2 {
		answer, packed, err := w.sendSealed(*i, m, content)
		switch {
		case err != nil:
			return false, err // the pipe is broken: the job ends
		case packed != nil:
			return w.unsealable(c, i, detailOf(packed))
		case answer.Kept:
			i.Sealed = true
			w.taken[i.ID] = true
			return true, nil
		case !answer.Again:
			return w.unsealable(c, i, "no-room")
		}
	}
	return w.unsealable(c, i, "no-room")
}

// sendSealed encrypts and sends one item. packed is what went wrong on this
// side, err with the parent.
func (w *Worker) sendSealed(i wire.Item, m meta, content func(io.Writer) error) (answer wire.Answer, packed, err error) {
	recipient, err := age.ParseX25519Recipient(w.job.Recipient)
	if err != nil {
		return answer, nil, fmt.Errorf("read recipient: %w", err)
	}
	head, err := json.Marshal(m)
	if err != nil {
		return answer, nil, fmt.Errorf("describe sealed item: %w", err)
	}
	if err := w.send(wire.KindSeal, i); err != nil {
		return answer, nil, err
	}
	pipe := &chunks{w: w}
	sealed, err := age.Encrypt(pipe, recipient)
	if err != nil {
		return answer, nil, fmt.Errorf("seal: %w", err)
	}
	plain := append(binary.BigEndian.AppendUint32(nil, uint32(len(head))), head...)
	if _, err = sealed.Write(plain); err == nil {
		packed = content(sealed)
		err = sealed.Close()
	}
	if err = firstOf(err, pipe.flush()); err != nil {
		return answer, nil, fmt.Errorf("seal: %w", err)
	}
	// A copy that is not whole is ended with a word that makes the parent drop it.
	if err := w.send(wire.KindEnd, wire.Answer{Kept: packed == nil}); err != nil {
		return answer, nil, err
	}
	kind, payload, err := wire.Read(w.in)
	if err != nil {
		return answer, nil, err
	}
	if kind != wire.KindAnswer {
		return answer, nil, wire.ErrFrame
	}
	return answer, packed, wire.Unmarshal(payload, &answer)
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// chunks turns a stream into frames.
type chunks struct {
	w   *Worker
	buf []byte
}

func (c *chunks) Write(p []byte) (int, error) {
	c.buf = append(c.buf, p...)
	if len(c.buf) >= chunk {
		return len(p), c.flush()
	}
	return len(p), nil
}

func (c *chunks) flush() error {
	for len(c.buf) > 0 {
		n := min(len(c.buf), chunk)
		c.w.mu.Lock()
		err := wire.Write(c.w.out, wire.KindChunk, c.buf[:n])
		c.w.mu.Unlock()
		if err != nil {
			return err
		}
		c.buf = c.buf[n:]
	}
	c.buf = nil
	return nil
}
