package identify

import (
	"slices"
	"strings"

	"cutoff/agent/purge/catalogue"
)

// Token is a token of a file, with what its provider's calls need. Its values
// are secret: they stay in the process that read the file.
type Token struct {
	Provider string
	Values   map[string]string
}

// mostTokens bounds those of one file.
const mostTokens = 16

// Tokens reads the tokens of one file as its catalogue entry says. variable
// gives the value of a variable of the user's environment.
func Tokens(c *catalogue.Credential, content []byte, variable func(string) string) []Token {
	if len(c.Tokens) == 0 {
		return nil
	}
	leaves := tree(string(c.Format), content)
	if c.Format == catalogue.Text {
		leaves = []leaf{{[]string{""}, strings.TrimSpace(string(content))}}
	}
	var out []Token
	for _, spec := range c.Tokens {
		want := steps(spec.Values["token"])
		for _, l := range leaves {
			if len(l.path) != len(want) || l.value == "" || !matches(want, l.path) {
				continue
			}
			values, ok := valuesOf(spec, l, leaves, variable)
			if !ok {
				continue
			}
			if out = append(out, Token{spec.Provider, values}); len(out) == mostTokens {
				return out
			}
		}
	}
	return out
}

// steps splits a path; "." is the whole content.
func steps(path string) []string {
	if path == "." {
		return []string{""}
	}
	return strings.Split(path, ".")
}

// valuesOf collects what stands around a token. It is not ok where something is
// missing: then nobody knows whose the token is.
func valuesOf(spec catalogue.Token, token leaf, all []leaf, variable func(string) string) (map[string]string, bool) {
	values := map[string]string{}
	for name, text := range spec.Values {
		v := token.value
		if name != "token" {
			v = valueOf(text, token, all, variable)
		}
		if v == "" && name != "session" { // keys of AWS may have none
			return nil, false
		}
		values[name] = v
	}
	return values, true
}

func valueOf(text string, token leaf, all []leaf, variable func(string) string) string {
	if name, ok := strings.CutPrefix(text, "$"); ok {
		return variable(name)
	}
	how, path, ok := strings.Cut(text, " ")
	if !ok {
		return near(steps(text), token, all)
	}
	switch want := steps(path); how {
	case "=":
		return path
	case "key":
		if len(want) <= len(token.path) && matches(want, token.path[:len(want)]) {
			return token.path[len(want)-1]
		}
	case "registry":
		key := strings.TrimPrefix(token.path[len(token.path)-1], "//")
		host, _, _ := strings.Cut(key, "/")
		return host
	case "iss":
		c, _ := claimsOf(near(want, token, all))
		return c.Issuer
	case "aud":
		c, _ := claimsOf(near(want, token, all))
		if c.Authorized != "" {
			return c.Authorized
		}
		if len(c.Audience) == 1 {
			return c.Audience[0]
		}
	}
	return ""
}

// near is the value at a path that has the token's own steps as far as both
// go together.
func near(want []string, token leaf, all []leaf) string {
	for _, l := range all {
		shared := min(len(l.path), len(token.path)) - 1
		if len(l.path) == len(want) && matches(want, l.path) && slices.Equal(l.path[:max(shared, 0)], token.path[:max(shared, 0)]) {
			return l.value
		}
	}
	return ""
}
