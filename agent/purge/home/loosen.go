package home

import (
	"errors"
	"path"
	"strings"

	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
)

// Permission bits of the owner.
const (
	ownerRead  = 0o400
	ownerEnter = 0o500
	ownerAll   = 0o700
)

// maxLoosened bounds the folders that are held open until their modes go back.
const maxLoosened = 256

// readable lets the user read his own file, whatever its mode, until the
// returned function is called. A hostile user's mode 000 hides nothing.
func (w *Worker) readable(at place, info files.Info) (restore func()) {
	if w.job.UID == 0 || info.UID != w.job.UID || info.Mode&ownerRead != 0 || info.Kind != files.Regular {
		return func() {}
	}
	mode, restore, err := w.dir(at.base).Loosen(at.name, w.job.UID, ownerRead)
	if err != nil || restore == nil {
		return func() {}
	}
	w.modes[at] = mode
	return restore
}

// read reads a file, also one whose owner may not.
func (w *Worker) read(at place) ([]byte, files.Info, error) {
	data, info, err := w.dir(at.base).Read(at.name, maxRead)
	if !errors.Is(err, files.ErrPermission) {
		return data, info, err
	}
	if info, err = w.dir(at.base).Stat(at.name); err != nil {
		return nil, info, err
	}
	defer w.readable(at, info)()
	return w.dir(at.base).Read(at.name, maxRead)
}

// enter lets the user into his own folder until the work in his home ends.
func (w *Worker) enter(at place) {
	if w.job.UID == 0 {
		return // root's modes keep root from nothing
	}
	bits := uint32(ownerAll)
	if w.job.Mode == wire.Plan {
		bits = ownerEnter
	}
	info, err := w.dir(at.base).Stat(at.name)
	if err != nil || info.Kind != files.Directory || info.UID != w.job.UID || info.Mode&bits == bits || len(w.restore) >= maxLoosened {
		return
	}
	mode, restore, err := w.dir(at.base).Loosen(at.name, w.job.UID, bits)
	if err != nil || restore == nil {
		return
	}
	w.modes[at] = mode
	w.restore = append(w.restore, restore)
}

// approach enters the folders above a name or a pattern.
func (w *Worker) approach(at place) {
	if w.job.UID == 0 {
		return
	}
	parts := strings.Split(at.name, "/")
	for n := 1; n < len(parts); n++ {
		above := path.Join(parts[:n]...)
		at := place{base: at.base, name: above}
		if above == "" || above == ".." || w.lists.entered[at] {
			continue
		}
		if len(w.lists.entered) < maxKnown {
			w.lists.entered[at] = true
		}
		if !strings.ContainsAny(above, "*?[") {
			w.enter(at)
			continue
		}
		for _, name := range w.glob(at) {
			w.enter(place{base: at.base, name: name})
		}
	}
}

// original gives attributes the mode that was there before the work.
func (w *Worker) original(at place, as files.Attributes) files.Attributes {
	if mode, ok := w.modes[at]; ok {
		as.Mode = mode
	}
	return as
}

// close gives the folders their modes back, the innermost first.
func (w *Worker) close() {
	for n := len(w.restore) - 1; n >= 0; n-- {
		w.restore[n]()
	}
	w.restore = nil
}
