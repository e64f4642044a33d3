package format

import (
	"fmt"
	"strings"
)

// cutLines removes the selected lines and blocks of lines.
func cutLines(data []byte, all selectors) ([]span, error) {
	var (
		out    []span
		within *selector // the block that goes
	)
	for _, l := range lines(data) {
		text := strings.TrimSpace(l.text)
		if within != nil {
			out = append(out, span{from: l.from, to: l.to})
			if within.until.match(text) {
				within = nil
			}
			continue
		}
		if text == "" {
			continue
		}
		for i := range all {
			s := &all[i]
			if !s.selects([]string{text}, nil, true) {
				continue
			}
			if s.strip != whole {
				out = append(out, s.strip.spans(data, l.from, l.to)...)
				continue
			}
			out = append(out, span{from: l.from, to: l.to})
			if s.until != nil {
				within = s
				break
			}
		}
	}
	if within != nil {
		return nil, fmt.Errorf("%w: a block without end", ErrSyntax)
	}
	return merge(out), nil
}
