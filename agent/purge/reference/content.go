package reference

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"cutoff/agent/purge/catalogue"
)

// content makes the file of a credential, and what lies beside it by what its
// name has more.
func (m *maker) content(c *catalogue.Credential, name string) map[string]File {
	switch {
	case c.Action == catalogue.Edit && c.Format == "sqlite":
		return m.database(c)
	case c.Action == catalogue.Edit:
		return map[string]File{"": m.mixed(c, true)}
	}
	return map[string]File{"": m.whole(c, name)}
}

// whole makes a file that goes whole, in its format.
func (m *maker) whole(c *catalogue.Credential, name string) File {
	secret := m.canary()
	var text string
	switch {
	case c.OnlyIf == "gcp-credential":
		text = fmt.Sprintf("{\n  \"type\": %q,\n  \"client_email\": \"ci@acme.example\",\n  \"private_key_id\": \"%s\",\n  \"private_key\": \"%s\"\n}\n",
			[]string{"service_account", "authorized_user", "external_account"}[m.rand.IntN(3)], m.kept(), secret)
	case strings.HasPrefix(c.OnlyIf, "private-key"):
		text = m.privateKey(secret)
	case c.Format == "json":
		text = fmt.Sprintf("{\"version\": 1, \"account\": \"alice@acme.example\", \"token\": \"%s\", \"more\": [{\"secret\": \"%s\"}]}\n", secret, m.canary())
	case c.Format == "yaml":
		text = "# kept by its program\naccount: alice@acme.example\ntokens:\n  - value: " + secret + "\n"
	case c.Format == "toml":
		text = "[default]\naccount = \"alice@acme.example\"\ntoken = \"" + secret + "\"\n"
	case c.Format == "ini":
		text = "[default]\naccount = alice@acme.example\nsecret = " + secret + "\n"
	case c.Format == "dotenv":
		text = "# kept by its program\nexport API_KEY=\"" + secret + "\"\n"
	case c.Format == "properties":
		text = "realm=acme\nuser=alice\npassword=" + secret + "\n"
	case c.Format == "xml":
		text = "<?xml version=\"1.0\"?>\n<config><user>alice</user><password>" + secret + "</password></config>\n"
	case c.Format == catalogue.Binary || c.Format == "":
		return File{Data: m.binary(secret)}
	default:
		text = secret + "\n"
	}
	return File{Data: []byte(text)}
}

// privateKey is one in the form that its readers look for.
func (m *maker) privateKey(secret string) string {
	kind := []string{"OPENSSH ", "RSA ", "EC ", ""}[m.rand.IntN(4)]
	text := "-----BEGIN " + kind + "PRIVATE KEY-----\n" + secret + m.canary() + "\n" + m.canary() + "\n-----END " + kind + "PRIVATE KEY-----\n"
	if m.rand.IntN(3) == 0 {
		text = "Bag Attributes\n    friendlyName: work\n" + text
	}
	return text
}

// binary is a file of no form, with a secret somewhere in it.
func (m *maker) binary(secret string) []byte {
	var b bytes.Buffer
	for range 1 + m.rand.IntN(400) {
		b.WriteByte(byte(m.rand.IntN(256)))
	}
	b.WriteString(secret)
	for range m.rand.IntN(400) {
		b.WriteByte(byte(m.rand.IntN(256)))
	}
	return b.Bytes()
}

// extension is what files of a format are called.
func extension(format string) string {
	switch format {
	case "json", "yaml", "toml", "xml":
		return "." + format
	}
	return ""
}

// database makes a database that loses rows.
func (m *maker) database(c *catalogue.Credential) map[string]File {
	var rows []Row
	f := File{}
	table, column := "", ""
	for _, s := range c.Secrets {
		var pattern string
		var ok bool
		if table, pattern, ok = strings.Cut(strings.TrimSuffix(s, "]"), "["); ok {
			column, pattern, _ = strings.Cut(pattern, "=")
			for range 1 + m.rand.IntN(12) {
				rows = append(rows, Row{m.concrete(pattern), strings.Repeat(m.canary(), 1+m.rand.IntN(40))})
			}
		}
	}
	for range 20 {
		kept := m.kept()
		f.Kept = append(f.Kept, kept)
		rows = append(rows, Row{"theme." + m.word(), kept + strings.Repeat(" dark", m.rand.IntN(50))})
	}
	m.rand.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	out := map[string]File{}
	for suffix, data := range m.Database(table, column, rows) {
		if suffix == "" {
			out[suffix] = File{Data: data, Kept: f.Kept}
		} else {
			out[suffix] = File{Data: data}
		}
	}
	return out
}

// mixed makes a file that keeps what is not secret in it; without secrets it is
// only what stays.
func (m *maker) mixed(c *catalogue.Credential, secrets bool) File {
	d := &document{m: m, selectors: c.Secrets, secrets: secrets}
	write := writers[string(c.Format)]
	if write == nil {
		panic("reference: no writer for format " + string(c.Format)) // a new format needs one
	}
	text := write(d)
	if m.rand.IntN(6) == 0 && c.Format != "hcl" {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	kept := slices.DeleteFunc(d.kept, func(k string) bool { return !strings.Contains(text, k) })
	return File{Data: []byte(text), Kept: kept}
}

// document is a mixed file in the making.
type document struct {
	m         *maker
	selectors []string
	secrets   bool
	kept      []string
}

// stay draws a text that stays.
func (d *document) stay() string {
	k := d.m.kept()
	d.kept = append(d.kept, k)
	return k
}

// value draws what a selector takes, as its strip says: of a URL only a part.
func (d *document) value(selector string) string {
	_, strip, _ := strings.Cut(selector, "|")
	switch strip {
	case "userinfo":
		return "https://alice:" + d.m.canary() + "@" + d.stay() + ".example/simple/"
	case "path-token":
		return "https://" + d.stay() + ".example/t/" + d.m.canary() + "/main/"
	}
	return d.m.canary()
}

// each hands out the document's own choice of selectors, in any order.
func (d *document) each(do func(selector, value string)) {
	if !d.secrets {
		return
	}
	for _, i := range d.m.rand.Perm(len(d.selectors)) {
		body, _, _ := strings.Cut(d.selectors[i], "|")
		do(body, d.value(d.selectors[i]))
	}
}

// flat is a name that a flat selector has.
func (d *document) flat(selector string) string {
	return strings.ReplaceAll(d.m.concrete(selector), `\`, "")
}

// selected reports whether any selector has this path, or one above it.
func (d *document) selected(at []string) bool {
	for _, s := range d.selectors {
		body, _, _ := strings.Cut(s, "|")
		if below(split(body), at) {
			return true
		}
	}
	return false
}

func below(parts, at []string) bool {
	if len(parts) == 0 {
		return true
	}
	if parts[0] == "**" {
		return below(parts[1:], at) || len(at) > 0 && below(parts, at[1:])
	}
	if len(at) == 0 {
		return false
	}
	ok, err := path.Match(strings.ToLower(strings.ReplaceAll(parts[0], "/", "|")), strings.ToLower(strings.ReplaceAll(at[0], "/", "|")))
	return err == nil && ok && below(parts[1:], at[1:])
}

// split cuts a selector into its parts: a dot in brackets or after a backslash
// is a letter.
func split(selector string) []string {
	var out []string
	var one strings.Builder
	depth := 0
	for i := 0; i < len(selector); i++ {
		switch c := selector[i]; {
		case c == '\\' && i+1 < len(selector):
			i++
			one.WriteByte(selector[i])
		case c == '.' && depth == 0:
			out = append(out, one.String())
			one.Reset()
		default:
			depth += map[byte]int{'[': 1, ']': -1}[c]
			one.WriteByte(c)
		}
	}
	return append(out, one.String())
}
