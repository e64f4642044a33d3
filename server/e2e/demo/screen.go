package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/term"
)

// screen prints the demo's progress; colours only on a terminal.
type screen struct {
	out    io.Writer
	colour bool
}

func newScreen(out *os.File) screen {
	return screen{out: out, colour: term.IsTerminal(int(out.Fd())) && os.Getenv("NO_COLOR") == ""}
}

func (s screen) paint(code, text string) string {
	if !s.colour {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s screen) title(text string) { s.print("\n" + s.paint("1", text) + "\n\n") }

func (s screen) done(what, format string, args ...any) {
	s.row(s.paint("32", "✓"), what, format, args)
}

func (s screen) note(what, format string, args ...any) {
	s.row(s.paint("33", "–"), what, format, args)
}

func (s screen) bad(what, format string, args ...any) {
	s.row(s.paint("31", "✗"), what, format, args)
}

func (s screen) row(mark, what, format string, args []any) {
	s.print(fmt.Sprintf("  %s %-18s %s\n", mark, what, fmt.Sprintf(format, args...)))
}

func (s screen) print(text string) { _, _ = io.WriteString(s.out, text) }
