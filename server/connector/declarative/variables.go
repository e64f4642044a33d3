package declarative

import (
	"slices"
	"strings"

	"cutoff/server/document"
)

// subjectVariables are what a step's requests know of whom and what it is
// about; id.KIND is an identifier of the credential.
var subjectVariables = []string{
	"account", "email", "device", "hostname", "level", "action", "target", "step", "cut", "now", "cut_time", "cause", "scope", "person",
	"credential", "product", "path", "credentials",
}

// vet notes each variable of t that does not exist where t stands.
func (f *file) vet(list ...template) {
	for _, t := range list {
		at := 0
		for _, p := range t.parts {
			at += len(p.literal)
			if p.variable == "" {
				continue
			}
			if why := f.unknown(p.variable); why != "" {
				t.node.FaultAt(1, t.at+at, "%s", why)
			}
			at += len(p.variable) + 2
			for _, name := range p.functions {
				at += len(name) + 1
			}
		}
	}
}

func (f *file) unknown(name string) string {
	if secret, ok := strings.CutPrefix(name, "secret."); ok {
		switch {
		case !f.inAuth:
			return "secrets are for auth only"
		case !slices.Contains(f.spec.secrets, secret):
			return "there is no secret \"" + secret + "\": list it under secrets"
		}
		return ""
	}
	if _, ok := f.spec.settings[name]; ok {
		return ""
	}
	if base, ok := strings.CutSuffix(name, ".host"); ok && (f.spec.bases[base] != nil || f.spec.needsAddress(base)) {
		return ""
	}
	if f.spec.bases[name] != nil {
		return "{" + name + "} is an address: it can only begin one"
	}
	if f.inAuth {
		return "unknown variable {" + name + "}: auth knows settings and secrets"
	}
	if slices.Contains(subjectVariables, name) || f.taken[name] || strings.HasPrefix(name, "id.") && len(name) > 3 {
		return ""
	}
	known := append(slices.Clone(subjectVariables), "id.KIND")
	for k := range f.spec.settings {
		known = append(known, k)
	}
	for k := range f.taken {
		known = append(known, k)
	}
	slices.Sort(known)
	return "unknown variable {" + name + "}; known here are " + strings.Join(known, ", ")
}

// template reads n as a template and vets it.
func (f *file) template(n document.Node) template {
	t := parseTemplate(n, n.Text(), 0)
	f.vet(t)
	return t
}

// tests reads n as conditions and vets their templates.
func (f *file) tests(n document.Node) []test {
	list := parseTests(n)
	for _, t := range list {
		f.vet(t.templates()...)
	}
	return list
}
