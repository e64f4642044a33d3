package config

import (
	"fmt"
	"strings"

	"cutoff/server/document"
	"cutoff/server/fault"
)

// Whole is a problem of a whole file, or of what came with it.
func Whole(format string, args ...any) fault.Problems {
	return fault.Problems{{Line: 1, Column: 1, Message: fmt.Sprintf(format, args...)}}
}

// Open parses a connector's file; one that holds nothing is a problem as well.
func Open(text string) (*document.File, fault.Problems) {
	doc := document.Read([]byte(text), MaxBytes)
	if !doc.Root.Missing() {
		return doc, nil
	}
	if p := doc.Problems(); len(p) > 0 {
		return nil, p
	}
	return nil, Whole("the file is empty")
}

// Lack says which of the needed secrets, named as an inspection does (see
// MayLack), are not given.
func Lack(needed []string, given func(name string) bool) fault.Problems {
	var all fault.Problems
	for _, name := range needed {
		if !strings.HasSuffix(name, MayLack) && !given(name) {
			all = append(all, Whole("secret %q is not given", name)...)
		}
	}
	return all
}

// Lack says which of the needed secrets are missing, or blank.
func (s Secrets) Lack(needed []string) fault.Problems {
	return Lack(needed, func(name string) bool { return strings.TrimSpace(s[name]) != "" })
}
