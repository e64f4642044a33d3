package format

import (
	"bytes"
	"regexp"
	"strings"
)

// anyURL finds URLs in a text; JSON and JavaScript may write / as \/.
var (
	anyURL    = regexp.MustCompile(`(?i)\b([a-z][a-z0-9+.-]*):(?:\\?/){2}([^\s"<>\\/?#]*)((?:\\?/|[^\s"<>\\])*)`)
	pathToken = regexp.MustCompile(`(?i)\\?/t\\?/[^\s"'<>\\/?#]+`)
	// named stands for a value that is elsewhere: in the environment, a template.
	named = regexp.MustCompile(`^(?:\$\{[^{}]*\}|\$[A-Za-z_]\w*|%\w+%|\{\{[^{}]*\}\}|\*+)$`)
	// tokenAlone: a user without a password is a name, unless it looks like this.
	tokenAlone = regexp.MustCompile(`^[A-Za-z0-9_-]*[0-9][A-Za-z0-9_-]*$`)
)

const tokenLength = 20 // no service's tokens are shorter

// spans are what goes of the text between from and to, in place.
func (how strip) spans(data []byte, from, to int) []span {
	var out []span
	for _, m := range anyURL.FindAllSubmatchIndex(data[from:to], -1) {
		if how&userinfo != 0 {
			scheme, authority := data[from+m[2]:from+m[3]], data[from+m[4]:from+m[5]]
			if a, b := infoIn(scheme, authority); b > a {
				out = append(out, span{from: from + m[4] + a, to: from + m[4] + b})
			}
		}
		if how&segment != 0 {
			for _, t := range pathToken.FindAllIndex(data[from+m[6]:from+m[7]], -1) {
				out = append(out, span{from: from + m[6] + t[0], to: from + m[6] + t[1]})
			}
		}
	}
	return out
}

// infoIn is the part of a URL's authority that is secret, with what joins it to
// the rest. Where the user's name is part of the address (ssh) it stays.
func infoIn(scheme, authority []byte) (from, to int) {
	at := bytes.LastIndexByte(authority, '@')
	if at < 0 {
		return 0, 0
	}
	user, password, both := bytes.Cut(authority[:at], []byte{':'})
	switch {
	case both && named.Match(password) && (named.Match(user) || !aloneSecret(user)):
		return 0, 0
	case !both && !aloneSecret(user):
		return 0, 0
	case both && strings.Contains(strings.ToLower(string(scheme)), "ssh"):
		return len(user), at
	}
	return 0, at + 1
}

func aloneSecret(user []byte) bool { return len(user) >= tokenLength && tokenAlone.Match(user) }

// of is the text without what goes, and whether that is anything.
func (how strip) of(text string) (string, bool) {
	spans := how.spans([]byte(text), 0, len(text))
	if len(spans) == 0 {
		return text, false
	}
	return string(apply([]byte(text), spans)), true
}
