package format_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/goccy/go-yaml"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/joho/godotenv"
	"github.com/magiconair/properties"
	"github.com/tidwall/jsonc"
	"github.com/zclconf/go-cty/cty"
	"gopkg.in/ini.v1"

	"github.com/hashicorp/hcl/v2"

	"cutoff/agent/purge/format"
)

// entry is one value of a document: table.key.
type entry struct {
	table, key, value string
	secret            bool
}

// chunk is a piece of a rendered document; one with a secret in it may change.
type chunk struct {
	text   string
	secret bool
}

// A writer renders entries; an independent reader reads them again as table.key.
var documents = []struct {
	format    string
	selectors []string
	write     func(r *rand.Rand, all []entry) []chunk
	read      func(data []byte) (map[string]string, error)
}{
	{"json", []string{"*.token", "*.*password*"}, writeJSON(false), readJSON},
	{"jsonc", []string{"**.token", "*.*password*"}, writeJSON(true), func(data []byte) (map[string]string, error) { return readJSON(jsonc.ToJSON(data)) }},
	{"yaml", []string{"*.token", "*.*password*"}, writeYAML, readYAML},
	{"toml", []string{"*.token", "*.*password*"}, writeTOML, readTOML},
	{"hcl", []string{"*.token", "*.*password*"}, writeHCL, readHCL},
	{"ini", []string{"token", "*password*"}, writeINI, readINI},
	{"dotenv", []string{"*__token", "*password*"}, writeDotenv, readDotenv},
	{"properties", []string{"*.token", "*password*"}, writeProperties, readProperties},
	{"xml", []string{"root.*.token", "root.*.*password*", "root.*.@token"}, writeXML, readXML},
	{"netrc", []string{"password"}, writeNetrc, readNetrc},
}

func TestPropertyAFileWithoutItsSecretsIsEqualElsewhere(t *testing.T) {
	seeds := 60
	if os.Getenv("CUTOFF_HEAVY") != "" {
		seeds = 3000
	}
	for _, d := range documents {
		t.Run(d.format, func(t *testing.T) {
			for seed := range uint64(seeds) {
				r := rand.New(rand.NewPCG(seed, 9))
				chunks := d.write(r, entries(r))
				end, head := "\n", ""
				if r.IntN(3) == 0 {
					end = "\r\n"
				}
				if r.IntN(3) == 0 {
					head = "\uFEFF"
				}
				var in strings.Builder
				in.WriteString(head)
				for i := range chunks {
					chunks[i].text = strings.ReplaceAll(chunks[i].text, "\n", end)
					in.WriteString(chunks[i].text)
				}
				same(t, seed, []byte(in.String()), chunks, d.format, d.selectors, d.read)
				if t.Failed() {
					return
				}
			}
		})
	}
}

// same holds a cut against the reader, and against the bytes.
func same(t *testing.T, seed uint64, in []byte, chunks []chunk, name string, selectors []string, read func([]byte) (map[string]string, error)) {
	t.Helper()
	reads := func(data []byte) (map[string]string, error) { return read(bytes.TrimPrefix(data, []byte("\uFEFF"))) }
	was, err := reads(in)
	if err != nil {
		t.Fatalf("seed %d: the test's own document does not read: %v\n%s", seed, err, in)
	}
	out, _, err := format.Cut(name, in, selectors)
	if err != nil {
		t.Fatalf("seed %d: %v\n%s", seed, err, in)
	}
	is, err := reads(out)
	if err != nil {
		t.Fatalf("seed %d: what is left does not read: %v\n%s\nwas\n%s", seed, err, out, in)
	}
	for key, value := range was {
		switch left, ok := is[key]; {
		case strings.Contains(value, secret):
			if ok && left != "" {
				t.Errorf("seed %d: %s is %q\n%s\nwas\n%s", seed, key, left, out, in)
			}
		case !ok || left != value:
			t.Errorf("seed %d: %s is %q, was %q\n%s\nwas\n%s", seed, key, left, value, out, in)
		}
	}
	if bytes.Contains(out, []byte(secret)) || len(is) > len(was) {
		t.Errorf("seed %d: a secret is left, or a key came\n%s\nwas\n%s", seed, out, in)
	}
	rest := out
	for _, c := range chunks {
		if c.secret {
			continue
		}
		_, after, ok := bytes.Cut(rest, []byte(c.text))
		if !ok {
			t.Fatalf("seed %d: %q is not there any more\n%s\nwas\n%s", seed, c.text, out, in)
		}
		rest = after
	}
}

// entries makes up a document: names that only look like secrets', values that
// look like syntax.
func entries(r *rand.Rand) []entry {
	var all []entry
	for table := range 1 + r.IntN(4) {
		seen := map[string]bool{}
		for range 1 + r.IntN(6) {
			key := []string{"token", "db_password", "password2", "tokens", "pass", "name", "url", "a"}[r.IntN(8)]
			if seen[key] {
				continue
			}
			seen[key] = true
			e := entry{table: fmt.Sprintf("t%d", table), key: key, value: value(r), secret: key == "token" || strings.Contains(key, "password")}
			if e.secret {
				e.value = value(r) + secret + value(r)
			}
			all = append(all, e)
		}
	}
	return all
}

func value(r *rand.Rand) string {
	var b strings.Builder
	for range 1 + r.IntN(5) {
		b.WriteString([]string{"a", "b c", "#x", ";", ":", "=", "ä", "{", "}", "[", "]", ",", "'", `"`, `\`, "&", "<", ">", "-", "!", "/", "//", "/*", "*/", "@", "€", "0", "true"}[r.IntN(28)])
	}
	return b.String()
}

func pick(r *rand.Rand, texts ...string) string { return texts[r.IntN(len(texts))] }

func quoted(text string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text)
	return strings.TrimSuffix(b.String(), "\n")
}

// byTable groups entries, in order.
func byTable(all []entry) [][]entry {
	var out [][]entry
	for _, e := range all {
		if n := len(out); n > 0 && out[n-1][0].table == e.table {
			out[n-1] = append(out[n-1], e)
		} else {
			out = append(out, []entry{e})
		}
	}
	return out
}

func writeJSON(comments bool) func(r *rand.Rand, all []entry) []chunk {
	return func(r *rand.Rand, all []entry) []chunk {
		remark := func() string {
			if !comments {
				return ""
			}
			return pick(r, "", " // a remark\n", " /* two\n lines */")
		}
		out := []chunk{{text: "{" + remark()}}
		tables := byTable(all)
		for i, t := range tables {
			out = append(out, chunk{text: pick(r, "\n", " ", "\n\t") + quoted(t[0].table) + pick(r, ":", " : ") + "{" + remark()})
			for j, e := range t {
				out = append(out, chunk{text: pick(r, "\n  ", "", "\t") + quoted(e.key) + pick(r, ":", ": ", " :\n")}, chunk{quoted(e.value), e.secret})
				if j < len(t)-1 || comments && r.IntN(2) == 0 {
					out = append(out, chunk{text: "," + remark()})
				}
			}
			out = append(out, chunk{text: "}"})
			if i < len(tables)-1 || comments && r.IntN(2) == 0 {
				out = append(out, chunk{text: "," + remark()})
			}
		}
		return append(out, chunk{text: pick(r, "}", "\n}\n", "} \n\n")})
	}
}

func flatten(prefix string, v any, into map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for k, below := range v {
			flatten(prefix+"."+k, below, into)
		}
	case nil:
		into[prefix] = ""
	default:
		into[prefix] = fmt.Sprint(v)
	}
}

func readJSON(data []byte) (map[string]string, error) {
	var v any
	err := json.Unmarshal(data, &v)
	out := map[string]string{}
	flatten("", v, out)
	return out, err
}

func writeYAML(r *rand.Rand, all []entry) []chunk {
	out := []chunk{{text: pick(r, "", "# a remark\n", "---\n")}}
	for _, t := range byTable(all) {
		indent := pick(r, "  ", "    ", " ")
		out = append(out, chunk{text: t[0].table + ":" + pick(r, "", " # of a table") + "\n"})
		for _, e := range t {
			out = append(out, chunk{text: indent + e.key + ":"})
			text := " " + quoted(e.value)
			switch r.IntN(3) {
			case 0:
				text = " '" + strings.ReplaceAll(e.value, "'", "''") + "'"
			case 1:
				text = " |-\n" + indent + "   " + e.value + "\n" + indent + "   " + e.value
			}
			out = append(out, chunk{text, e.secret}, chunk{text: pick(r, "\n", "\n", "\n\n", "\n"+indent+"# a remark\n")})
		}
	}
	return out
}

func readYAML(data []byte) (map[string]string, error) {
	var v map[string]any
	err := yaml.Unmarshal(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), &v)
	out := map[string]string{}
	flatten("", v, out)
	return out, err
}

func writeTOML(r *rand.Rand, all []entry) []chunk {
	out := []chunk{{text: pick(r, "", "# a remark\n")}}
	for _, t := range byTable(all) {
		out = append(out, chunk{text: "[" + t[0].table + "]" + pick(r, "", " # of a table") + "\n"})
		for _, e := range t {
			text := quoted(e.value)
			switch {
			case r.IntN(3) == 0 && !strings.Contains(e.value, "'"):
				text = "'" + e.value + "'"
			case r.IntN(3) == 0 && !strings.ContainsAny(e.value, `"\`):
				text = `"""` + "\n" + e.value + "\n" + e.value + `"""`
			}
			out = append(out, chunk{text: pick(r, "", "  ") + e.key + pick(r, "=", " = ")}, chunk{text, e.secret}, chunk{text: pick(r, "\n", " # why\n", "\n\n")})
		}
	}
	return out
}

func readTOML(data []byte) (map[string]string, error) {
	var v map[string]any
	err := toml.Unmarshal(data, &v)
	out := map[string]string{}
	flatten("", v, out)
	return out, err
}

func writeHCL(r *rand.Rand, all []entry) []chunk {
	out := []chunk{{text: pick(r, "", "# a remark\n", "// one\n", "/* two\n lines */\n")}}
	for _, t := range byTable(all) {
		out = append(out, chunk{text: t[0].table + " {" + pick(r, "", " # of a block") + "\n"})
		for _, e := range t {
			out = append(out, chunk{text: pick(r, "", "  ") + e.key + pick(r, "=", " = ")}, chunk{quoted(e.value), e.secret}, chunk{text: pick(r, "\n", " # why\n", " // why\n", "\n\n")})
		}
		out = append(out, chunk{text: "}\n"})
	}
	return out
}

func readHCL(data []byte) (map[string]string, error) {
	file, problems := hclsyntax.ParseConfig(data, "x", hcl.InitialPos)
	if problems.HasErrors() {
		return nil, problems
	}
	out := map[string]string{}
	for _, b := range file.Body.(*hclsyntax.Body).Blocks {
		for name, a := range b.Body.Attributes {
			v, problems := a.Expr.Value(nil)
			if problems.HasErrors() || v.Type() != cty.String {
				return nil, fmt.Errorf("%s: %w", name, problems)
			}
			out[b.Type+"."+name] = v.AsString()
		}
	}
	return out, nil
}

// plain is a value that needs no quotes.
func plain(e entry) string {
	text := strings.Map(func(c rune) rune {
		if strings.ContainsRune(`#;"'`+"`\\", c) {
			return '+'
		}
		return c
	}, e.value)
	return strings.Trim(text, " [")
}

func writeINI(r *rand.Rand, all []entry) []chunk {
	out := []chunk{{text: pick(r, "", "# a remark\n", "; one\n\n")}}
	for _, t := range byTable(all) {
		out = append(out, chunk{text: "[" + t[0].table + "]\n"})
		for _, e := range t {
			out = append(out, chunk{e.key + pick(r, "=", " = ") + plain(e) + "x\n", e.secret}, chunk{text: pick(r, "", "\n", "# a remark\n")})
		}
	}
	return out
}

func readINI(data []byte) (map[string]string, error) {
	file, err := ini.LoadSources(ini.LoadOptions{IgnoreInlineComment: true}, data)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, s := range file.Sections() {
		for _, k := range s.Keys() {
			out[s.Name()+"."+k.Name()] = k.Value()
		}
	}
	return out, nil
}

func writeDotenv(r *rand.Rand, all []entry) []chunk {
	out := []chunk{{text: pick(r, "", "# a remark\n", "\n")}}
	for _, e := range all {
		head := chunk{text: pick(r, "", "", "export ") + e.table + "__" + e.key + "="}
		text := strings.ReplaceAll(plain(e), "/", "+") + "x"
		switch r.IntN(3) {
		case 0:
			head.text += "'"
			out = append(out, head, chunk{text + " # no remark\nand more", e.secret}, chunk{text: "'" + pick(r, "\n", " # why\n")})
			continue
		case 1:
			head.text += `"`
			out = append(out, head, chunk{text + ` \"x\" # no remark`, e.secret}, chunk{text: `"` + pick(r, "\n", " # why\n")})
			continue
		}
		out = append(out, head, chunk{text, e.secret}, chunk{text: pick(r, "\n", " # why\n", "\n\n")})
	}
	return out
}

func readDotenv(data []byte) (map[string]string, error) {
	return godotenv.UnmarshalBytes(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")))
}

func writeProperties(r *rand.Rand, all []entry) []chunk {
	out := []chunk{{text: pick(r, "", "# a remark\n", "! one\n\n")}}
	for _, e := range all {
		text := strings.NewReplacer(`\`, `\\`, "ä", `\u00e4`).Replace(e.value)
		if i := strings.IndexByte(text, ' '); i > 0 && r.IntN(2) == 0 {
			text = text[:i+1] + "\\\n    " + text[i+1:]
		}
		out = append(out, chunk{text: pick(r, "", "  ") + e.table + "." + e.key + pick(r, "=", " = ", ": ", " : ")}, chunk{"x" + text, e.secret}, chunk{text: pick(r, "\n", "\n\n", "\n# a remark\n")})
	}
	return out
}

func readProperties(data []byte) (map[string]string, error) {
	p, err := (&properties.Loader{Encoding: properties.UTF8, DisableExpansion: true}).LoadBytes(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")))
	if err != nil {
		return nil, err
	}
	return p.Map(), nil
}

func writeXML(r *rand.Rand, all []entry) []chunk {
	out := []chunk{{text: pick(r, "", "<?xml version='1.0' encoding='utf-8'?>\n") + pick(r, "", "<!-- a remark -->\n") + "<root>"}}
	escaped := func(text string) string {
		var b strings.Builder
		_ = xml.EscapeText(&b, []byte(text))
		return b.String()
	}
	for _, t := range byTable(all) {
		out = append(out, chunk{text: "\n  <" + t[0].table})
		for _, e := range t {
			if e.key != "token" && e.key != "name" || r.IntN(2) == 0 {
				continue
			}
			mark := pick(r, `"`, "'")
			out = append(out, chunk{text: pick(r, " ", "\n   ") + e.key + "=" + mark}, chunk{escaped(e.value), e.secret}, chunk{text: mark})
		}
		out = append(out, chunk{text: ">"})
		for _, e := range t {
			text := escaped(e.value)
			if r.IntN(4) == 0 && !strings.Contains(e.value, "]]") {
				text = "<![CDATA[" + e.value + "]]>"
			}
			out = append(out, chunk{text: pick(r, "", "\n    ") + "<" + e.key + ">"}, chunk{text, e.secret}, chunk{text: "</" + e.key + ">" + pick(r, "", "<!-- why -->")})
		}
		out = append(out, chunk{text: "</" + t[0].table + ">"})
	}
	return append(out, chunk{text: "\n</root>\n"})
}

func readXML(data []byte) (map[string]string, error) {
	out := map[string]string{}
	var path []string
	for dec := xml.NewDecoder(bytes.NewReader(data)); ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			path = append(path, token.Name.Local)
			for _, a := range token.Attr {
				out[strings.Join(path, ".")+".@"+a.Name.Local] = a.Value
			}
		case xml.EndElement:
			path = path[:len(path)-1]
		case xml.CharData:
			if len(path) > 0 {
				out[strings.Join(path, ".")] += strings.TrimSpace(string(token))
			}
		}
	}
}

func writeNetrc(r *rand.Rand, all []entry) []chunk {
	out := []chunk{{text: pick(r, "", "# a remark\n")}}
	for i, e := range all {
		word := strings.NewReplacer(" ", "_", `"`, "_", "#", "_").Replace(e.value)
		out = append(out, chunk{text: fmt.Sprintf("machine h%d", i)}, chunk{text: pick(r, " ", "\n  ") + "login u"})
		if e.secret {
			out = append(out, chunk{pick(r, " ", "\n\t") + "password x" + word, true})
		}
		out = append(out, chunk{text: "\n"})
	}
	return out
}

// readNetrc reads words, as every netrc is: there are no quotes in these.
func readNetrc(data []byte) (map[string]string, error) {
	words := strings.Fields(strings.TrimPrefix(string(data), "# a remark"))
	if len(words)%2 != 0 {
		return nil, fmt.Errorf("%d words", len(words))
	}
	out, machine := map[string]string{}, ""
	for pair := range slices.Chunk(words, 2) {
		if pair[0] == "machine" {
			machine = pair[1]
		}
		out[machine+"."+pair[0]] = pair[1]
	}
	return out, nil
}
