package home

import (
	"crypto/sha256"
	"errors"

	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
)

// maxRewriting bounds the mixed files that are made durable at once: each holds
// two descriptors.
const maxRewriting = 16

// rewriting is what is left of a mixed file, before it takes the file's place.
type rewriting struct {
	w    *Worker
	file *files.Prepared
	item wire.Item
	at   place
	was  files.Info
	data []byte
}

// rewrite puts rest in the place of a mixed file. It is written here, and made
// durable beside what comes next; only then does it get the file's name.
func (w *Worker) rewrite(i wire.Item, at place, info files.Info, as files.Attributes, rest []byte) error {
	file, err := w.dir(at.base).Prepare(at.name, rest, as)
	r := &rewriting{w: w, file: file, item: i, at: at, was: info, data: rest}
	if err != nil {
		return r.left(err)
	}
	w.rewriting++
	if w.rewriting > maxRewriting {
		return r.place(file.Sync())
	}
	s := &sealing{done: make(chan struct{})}
	go func() { // whoever settles or abandons the line waits for it
		s.err = file.Sync()
		close(s.done)
	}()
	w.line = append(w.line, waiting{copy: s, item: i, at: at, info: info, rest: r})
	return nil
}

// place gives it the file's name, if it could be made durable, reads it back and
// reports the item.
func (r *rewriting) place(synced error) error {
	r.w.rewriting--
	if synced != nil {
		return r.left(errors.Join(synced, r.file.Drop()))
	}
	if err := r.file.Place(&r.was); err != nil {
		return r.left(err)
	}
	r.w.changed(r.at)
	i := r.item
	if back, _, err := r.w.read(r.at); err != nil || string(back) != string(r.data) {
		i.Action, i.Outcome, i.Detail = "left", wire.Blocked, "re-created"
		return r.w.report(i)
	}
	sum := sha256.Sum256(r.data)
	i.Removed, i.Digest, i.Outcome, i.Detail = true, sum[:], wire.Verified, "edited"
	if i.Sealed {
		i.Detail = "sealed"
	}
	return r.w.report(i)
}

func (r *rewriting) left(err error) error {
	r.item.Sealed = false
	return r.w.left(r.item, wire.Blocked, detailOf(err))
}

// abandon takes away what was written and has no name, when the job ends early.
func (w *Worker) abandon() {
	for _, l := range w.line {
		if l.rest != nil {
			_ = l.copy.wait()
			_ = l.rest.file.Drop() // the next run of the job replaces it
		}
	}
	w.line = nil
}
