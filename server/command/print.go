package command

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// Colours of a terminal. They only repeat what the words say.
const (
	plainText = ""
	bold      = "1"
	dim       = "2"
	red       = "31"
	green     = "32"
	yellow    = "33"
)

// colour says how a word of the vocabulary looks.
func colour(word string) string {
	switch word {
	case "verified", "trusted", "live", "ok", "lifted", "confirmed", "none":
		return green
	case "accepted", "warned", "retrying", "held", "pending", "lifting", "planned", "claimed", "revoked", "unsupported":
		return yellow
	case "blocked", "purged", "sealed", "unbounded", "failing", "open":
		return red
	case "retired", "lapsed", "refused", "expired", "used-up", "never", "-", "unknown", "withdrawn":
		return dim
	default:
		return plainText
	}
}

// cell is one field of a table.
type cell struct {
	text  string
	style string
}

// word is a cell in the colour of its meaning.
func word(text string) cell {
	text = dash(clean(text))
	first, _, _ := strings.Cut(text, " ")
	return cell{text: text, style: colour(first)}
}

func text(s string) cell { return cell{text: dash(clean(s))} }

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// clean keeps what came from devices and providers from steering a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}

// table is rows under headings, in columns as wide as their widest cell.
type table struct {
	head []string
	rows [][]cell
}

func (t *table) add(cells ...cell) { t.rows = append(t.rows, cells) }

// print writes the table to standard output, or empty if it has no rows.
func (c *cli) print(t table, empty string) error {
	if len(t.rows) == 0 {
		_, err := fmt.Fprintln(c.Out, empty)
		return err
	}
	widths := make([]int, len(t.head))
	for i, h := range t.head {
		widths[i] = utf8.RuneCountInString(h)
	}
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell.text))
		}
	}
	p := painter{on: c.colours(c.Out)}
	var b strings.Builder
	head := make([]cell, len(t.head))
	for i, h := range t.head {
		head[i] = cell{text: h, style: bold}
	}
	for _, row := range append([][]cell{head}, t.rows...) {
		for i, cell := range row {
			b.WriteString(p.paint(cell.text, cell.style))
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell.text)+2))
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(c.Out, b.String())
	return err
}

// facts prints names and values, one a line.
func (c *cli) facts(rows ...[2]string) error {
	width := 0
	for _, r := range rows {
		width = max(width, utf8.RuneCountInString(r[0]))
	}
	p := painter{on: c.colours(c.Out)}
	for _, r := range rows {
		w := word(r[1])
		_, err := fmt.Fprintf(c.Out, "%s%s  %s\n",
			p.paint(r[0], dim), strings.Repeat(" ", width-utf8.RuneCountInString(r[0])), p.paint(w.text, w.style))
		if err != nil {
			return err
		}
	}
	return nil
}

// say writes one sentence to standard output for people.
func (c *cli) say(format string, args ...any) error {
	_, err := fmt.Fprintf(c.Out, format+"\n", args...)
	return err
}

// note writes progress to standard error.
func (c *cli) note(format string, args ...any) {
	_, _ = fmt.Fprintf(c.Err, format+"\n", args...)
}

// colours reports whether w takes them: a terminal, and NO_COLOR is not set.
func (c *cli) colours(w io.Writer) bool {
	return terminal(w) && c.Getenv("NO_COLOR") == "" && c.Getenv("TERM") != "dumb"
}

type painter struct{ on bool }

func (p painter) paint(s, style string) string {
	if !p.on || style == plainText {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

// when is a time as people read it in a table.
func when(t *timestamppb.Timestamp) string {
	if t == nil {
		return "never"
	}
	return t.AsTime().Local().Format("2006-01-02 15:04:05")
}

// span is a duration in the largest units that say it exactly.
func span(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if d == 0 {
		return "off"
	}
	if day := 24 * time.Hour; d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	s = strings.TrimSuffix(s, "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
