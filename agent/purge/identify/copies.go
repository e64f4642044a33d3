package identify

import (
	"encoding/json"
	"net/url"
	"path"
	"regexp"
	"strings"
)

// Copy is a file that some program keeps of another.
type Copy struct {
	// File is its name, from the folder of what names it.
	File string
	// Of is the path that the original had.
	Of string
	// Whole: it is in a form of its own, from which nothing can be cut.
	Whole bool
}

// ReadsCopies reports whether a reader of copies needs a file's content, or
// its name alone.
func ReadsCopies(reader string) bool { return reader != "path-name" }

// Copies runs the reader of that name on a file that says what was copied.
func Copies(reader, name string, content []byte) []Copy {
	switch reader {
	case "trash":
		return trash(name, content)
	case "vscode-history":
		return editorHistory(content)
	case "path-name":
		return pathName(name)
	}
	return nil
}

// trash reads NAME.trashinfo, whose file is NAME in the folder files beside its
// own. The path is absolute in a home's trash.
func trash(name string, content []byte) []Copy {
	name, ok := strings.CutSuffix(name, ".trashinfo")
	if !ok || !plainName(name) {
		return nil
	}
	for raw := range strings.Lines(string(content)) {
		escaped, ok := strings.CutPrefix(strings.TrimSpace(raw), "Path=")
		if !ok {
			continue
		}
		of, err := url.PathUnescape(escaped)
		if err != nil || !path.IsAbs(of) {
			return nil
		}
		return []Copy{{File: "../files/" + name, Of: of}}
	}
	return nil
}

// editorHistory reads entries.json of one edited file.
func editorHistory(content []byte) []Copy {
	var f struct {
		Resource string `json:"resource"`
		Entries  []struct {
			ID string `json:"id"`
		} `json:"entries"`
	}
	if json.Unmarshal(content, &f) != nil {
		return nil
	}
	u, err := url.Parse(f.Resource)
	if err != nil || !path.IsAbs(u.Path) {
		return nil
	}
	var out []Copy
	for _, e := range f.Entries {
		if plainName(e.ID) {
			out = append(out, Copy{File: e.ID, Of: u.Path})
		}
	}
	return out
}

var (
	swapEnd   = regexp.MustCompile(`\.sw[a-px]$`)
	backupEnd = regexp.MustCompile(`(~|\.~[0-9]+~|\.bak)$`)
)

// pathName reads a name that is a path with % (vim) or ! (emacs) for each
// slash, as undo, swap and backup folders have it.
func pathName(name string) []Copy {
	bare := strings.TrimSuffix(strings.TrimPrefix(name, "#"), "#")
	if bare == "" || bare[0] != '%' && bare[0] != '!' {
		return nil
	}
	of := strings.ReplaceAll(bare, bare[:1], "/")
	copied := Copy{File: name, Of: of, Whole: true}
	if backupEnd.MatchString(of) || bare != name {
		copied.Whole = false // the text as it was
	}
	copied.Of = backupEnd.ReplaceAllString(swapEnd.ReplaceAllString(of, ""), "")
	return []Copy{copied}
}

// plainName: a name in the same folder and nothing else.
func plainName(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.ContainsAny(name, "/\x00")
}
