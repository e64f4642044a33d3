package declarative

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// functions change a value before it is escaped for its place.
var functions = map[string]func(s string, v values) string{
	"lower":  func(s string, _ values) string { return strings.ToLower(s) },
	"quoted": func(s string, _ values) string { return quoted(s) },
	// parsed puts JSON in, not text; it stands alone in a body.
	"parsed": func(s string, _ values) string { return s },
	// segment makes a value with slashes or colons one word of a path: escaped
	// by the file itself, then once more by its place.
	"escaped": func(s string, _ values) string { return url.PathEscape(s) },
	// before and after cut at an @.
	"local": func(s string, _ values) string { before, _, _ := strings.Cut(s, "@"); return before },
	// later is the later of a time that a provider has and the cut's: a cut line
	// only moves forward. It keeps the provider's form.
	"later": func(s string, v values) string { return later(s, v["cut_time"]) },
	// epoch is a time as seconds since 1970.
	"epoch": func(s string, _ values) string { return epoch(s) },
	// last8 is what a value ends with.
	"last8": func(s string, _ values) string { return s[max(0, len(s)-8):] },
}

// quoted is s as a JSON text, as SCIM filters and many query languages take it.
func quoted(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(s) != nil {
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// later returns the later of two times. A number stays one, in the unit it has
// (seconds, or milliseconds where it is that large).
func later(have, cut string) string {
	a, known := moment(have)
	b, ok := moment(cut)
	if !ok || known && a >= b {
		return have
	}
	if n, err := strconv.ParseFloat(have, 64); err == nil {
		if n > 1e12 {
			b *= 1000
		}
		return strconv.FormatInt(int64(b), 10)
	}
	return cut
}

// epoch is a time of RFC 3339 in whole seconds, rounded up: a line that is
// drawn a moment too early lets through what was issued in that moment.
func epoch(s string) string {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return s
	}
	if t.Nanosecond() > 0 {
		t = t.Add(time.Second)
	}
	return strconv.FormatInt(t.Unix(), 10)
}
