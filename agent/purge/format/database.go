package format

import (
	"errors"
	"fmt"

	"cutoff/agent/purge/format/sqlite"
)

// SQLite is the word for the format that is no text and more than one file.
const SQLite = "sqlite"

// CutDatabase is Cut for an SQLite database with what lies beside it. The result
// takes the place of all of them; nil, when nothing was cut.
func CutDatabase(files sqlite.Files, texts []string) ([]byte, int, error) {
	all, err := parse(grammars[SQLite], texts)
	if err != nil {
		return nil, 0, err
	}
	rows := make([]sqlite.Rows, len(all))
	for i, s := range all {
		p := s.parts[0]
		rows[i] = sqlite.Rows{Table: p.key.match, Column: p.of, Value: p.where.match, Trace: p.where.trace()}
	}
	out, n, err := sqlite.Cut(files, rows)
	if errors.Is(err, sqlite.ErrFormat) {
		return nil, 0, fmt.Errorf("%w: %w", ErrSyntax, err)
	}
	return out, n, err
}

// trace is the longest text that all matches have, if that is long enough to
// tell them from others.
func (p pattern) trace() []byte {
	longest := ""
	for _, piece := range p {
		if len(piece) > len(longest) {
			longest = piece
		}
	}
	if len(longest) < 6 {
		return nil
	}
	return []byte(longest)
}
