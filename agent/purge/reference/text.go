package reference

import (
	"fmt"
	"strings"
)

// writers write mixed files, by format.
var writers = map[string]func(*document) string{
	"json": writeJSON(false), "jsonc": writeJSON(true), "yaml": writeYAML, "toml": writeTOML, "ini": writeINI, "hcl": writeHCL,
	"dotenv": writeDotenv, "properties": writeProperties, "npmrc": writeNpmrc, "netrc": writeNetrc, "lines": writeLines, "xml": writeXML,
}

func writeINI(d *document) string {
	sections, order := map[string][]string{}, []string{}
	put := func(section, key, value string) {
		if sections[section] == nil {
			order = append(order, section)
		}
		sections[section] = append(sections[section], key+[]string{" = ", "=", " : "}[d.m.rand.IntN(2)]+value)
	}
	put("general", "comment", d.stay())
	d.each(func(selector, value string) {
		parts := split(selector)
		section := []string{"default", d.m.word()}[d.m.rand.IntN(2)]
		if len(parts) == 2 {
			section = d.flat(parts[0])
		}
		key := d.flat(parts[len(parts)-1])
		put(section, key, value)
		if !d.selected([]string{key + "-id"}) && !d.selected([]string{section, key + "-id"}) {
			put(section, key+"-id", d.stay())
		}
	})
	var b strings.Builder
	for _, s := range order {
		fmt.Fprintf(&b, "[%s]\n# of %s\n%s\n\n", s, s, strings.Join(sections[s], "\n"))
	}
	return b.String()
}

func writeHCL(d *document) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# set by hand\ncomment = %q\n", d.stay())
	d.each(func(selector, value string) {
		parts := split(selector)
		if parts[0] == "**" {
			parts = parts[1:]
			if d.m.rand.IntN(2) == 0 {
				parts = append([]string{d.m.word()}, parts...)
			}
		}
		for i := range parts {
			parts[i] = d.flat(parts[i])
		}
		last := parts[len(parts)-1]
		if len(parts) == 1 {
			fmt.Fprintf(&b, "%s = %q\n", last, value)
			return
		}
		b.WriteString(parts[0])
		for _, label := range parts[1 : len(parts)-1] {
			fmt.Fprintf(&b, " %q", label)
		}
		fmt.Fprintf(&b, " {\n  %s = %q\n  region = %q\n}\n", last, value, d.stay())
	})
	return b.String()
}

func writeDotenv(d *document) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# set by hand\nREGION=%s\n", d.stay())
	d.each(func(selector, value string) {
		key := strings.ToUpper(strings.NewReplacer("-", "_").Replace(d.flat(selector)))
		form := []string{"%s=%s\n", "export %s=\"%s\"\n", "%s='%s'\n"}[d.m.rand.IntN(3)]
		fmt.Fprintf(&b, form, key, value)
	})
	fmt.Fprintf(&b, "LOG_LEVEL=%s\n", d.stay())
	return b.String()
}

func writeProperties(d *document) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# set by hand\norg.gradle.parallel=%s\n", d.stay())
	d.each(func(selector, value string) {
		fmt.Fprintf(&b, "%s%s%s\n", d.flat(selector), []string{"=", " = ", ": "}[d.m.rand.IntN(3)], value)
	})
	return b.String() + "org.gradle.jvmargs=" + d.stay() + "\n"
}

func writeNpmrc(d *document) string {
	var b strings.Builder
	fmt.Fprintf(&b, "registry=https://%s.example/\n", d.stay())
	d.each(func(selector, value string) {
		fmt.Fprintf(&b, "//%s.example/:%s=%s\n", d.m.word(), d.flat(selector), value)
	})
	return b.String() + "; last\nsave-prefix=" + d.stay() + "\n"
}

func writeNetrc(d *document) string {
	var b strings.Builder
	fmt.Fprintf(&b, "machine %s.example login alice\n", d.stay())
	d.each(func(selector, value string) {
		fmt.Fprintf(&b, "machine %s.example\n  login %s\n  %s %s\n", d.m.word(), d.stay(), d.flat(selector), value)
	})
	return b.String()
}

func writeLines(d *document) string {
	var b strings.Builder
	fmt.Fprintf(&b, "region %s\n", d.stay())
	d.each(func(selector, value string) {
		switch first, last, block := strings.Cut(selector, " ... "); {
		case block:
			fmt.Fprintf(&b, "%s\n%s\n%s\n%s\n", first, value, d.m.canary(), last)
		case strings.HasSuffix(selector, "*"):
			fmt.Fprintf(&b, "%s %s\n", d.flat(strings.TrimSuffix(selector, "*")), value)
		default:
			fmt.Fprintf(&b, "%s\n", strings.Replace(selector, "*", value, 1))
		}
	})
	fmt.Fprintf(&b, "label %s\n", d.stay())
	return b.String()
}

// writeXML writes a chain of elements for each selector, in one root.
func writeXML(d *document) string {
	root := "project"
	if len(d.selectors) > 0 && split(d.selectors[0])[0] != "**" {
		root = split(d.selectors[0])[0]
	}
	var b strings.Builder
	fmt.Fprintf(&b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- set by hand -->\n<%s>\n  <comment>%s</comment>\n", root, d.stay())
	d.each(func(selector, value string) {
		parts := split(selector)[1:]
		open, shut := "", ""
		for i, p := range parts {
			if p == "**" {
				continue
			}
			name, condition, _ := strings.Cut(strings.TrimSuffix(p, "]"), "[")
			name = d.flat(name)
			attributes := ""
			if of, want, ok := strings.Cut(condition, "="); ok {
				attributes += fmt.Sprintf(" %s=%q", of, d.flat(want))
			}
			if i+1 < len(parts) && strings.HasPrefix(parts[i+1], "@") {
				b.WriteString("  " + open + fmt.Sprintf("<%s%s %s=%q id=%q/>", name, attributes, parts[i+1][1:], value, d.stay()) + shut + "\n")
				return
			}
			if strings.HasPrefix(name, "@") {
				b.WriteString("  " + open + fmt.Sprintf("<entry %s=%q id=%q/>", name[1:], value, d.stay()) + shut + "\n")
				return
			}
			open, shut = open+"<"+name+attributes+">", "</"+name+">"+shut
		}
		b.WriteString("  " + open + value + shut + "\n")
	})
	return b.String() + "</" + root + ">\n"
}
