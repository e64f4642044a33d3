package fault

import (
	"fmt"
	"strings"
)

// Problem is one fault of a file a person wrote, with its place. Line and
// column count from 1; zero is unknown.
type Problem struct {
	Line    int
	Column  int
	Message string
}

// String is line:column: message.
func (p Problem) String() string { return fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Message) }

// Problems is everything that is wrong with one file.
type Problems []Problem

// Err is nil if there is no problem, else an Invalid error that lists them,
// each with the file's name before it.
func (ps Problems) Err(name string) error {
	if len(ps) == 0 {
		return nil
	}
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = name + ":" + p.String()
	}
	return New(Invalid, "%s", strings.Join(lines, "\n"))
}
