// Package fault gives errors that cross a boundary a kind and a safe sentence.
// What the outside may read is the sentence; what went wrong inside stays in
// the wrapped error and goes to the log. It must not know about transports.
package fault

import (
	"errors"
	"fmt"
)

// Kind says what the outside may do about an error.
type Kind int

// Kinds. The zero value is Internal: an error nobody classified.
const (
	Internal Kind = iota
	// Invalid input: the caller must change it.
	Invalid
	// NotFound: there is no such thing, or the caller may not know of it.
	NotFound
	// Conflict: the state does not allow it (any more).
	Conflict
	// Denied: the caller is known and may not.
	Denied
	// Unauthenticated: the caller is not known.
	Unauthenticated
	// Limited: too often; come back later.
	Limited
	// Unavailable: a part the server needs is not there now.
	Unavailable
)

// Error is an error with a kind and a sentence for the outside.
type Error struct {
	Kind     Kind
	Sentence string
	cause    error
}

// New makes an error of kind whose sentence the outside may read.
func New(kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Sentence: fmt.Sprintf(format, args...)}
}

// Wrap keeps cause inside and shows the outside the sentence only.
func Wrap(cause error, kind Kind, format string, args ...any) error {
	return &Error{Kind: kind, Sentence: fmt.Sprintf(format, args...), cause: cause}
}

// Error is for logs: the sentence and the cause.
func (e *Error) Error() string {
	if e.cause == nil {
		return e.Sentence
	}
	return e.Sentence + ": " + e.cause.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// Of returns the kind of err; Internal for one that has none.
func Of(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Internal
}

// Is reports whether err is of kind.
func Is(err error, kind Kind) bool { return err != nil && Of(err) == kind }

// Sentence is what the outside may read of err.
func Sentence(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Sentence
	}
	return "internal error; the server's log has the details"
}
