package purge

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// Headers are the age headers of what lies sealed under a cut in the state
// directory: what a lift must have opened. It only reads, and may be asked while
// a cut is carried out.
func Headers(state, cutID string) ([]*cutoffv1.SealedHeader, error) {
	s := &store{dir: filepath.Join(state, "sealed"), cutID: cutID}
	names, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errStore, err)
	}
	var all []*cutoffv1.SealedHeader
	for _, n := range names {
		id, ok := strings.CutSuffix(n.Name(), suffix)
		if !ok || strings.HasPrefix(n.Name(), tempMark) {
			continue
		}
		header, err := s.header(id)
		if err != nil {
			return nil, err
		}
		if header != nil {
			all = append(all, &cutoffv1.SealedHeader{ItemId: id, Header: header})
		}
	}
	return all, nil
}

// header is that of one item; nil if it is another cut's, or went back meanwhile.
func (s *store) header(id string) ([]byte, error) {
	file, l, err := s.openSealed(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if l.CutID != s.cutID {
		return nil, nil
	}
	header, err := age.ExtractHeader(io.LimitReader(file, 1<<20))
	if err != nil {
		return nil, nil //nolint:nilerr // unreadable: the lift reports it, and the rest goes back
	}
	return header, nil
}
