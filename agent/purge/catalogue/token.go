package catalogue

import (
	"regexp"

	"gopkg.in/yaml.v3"
)

// Token says whose the tokens of a file are, so that their own provider can be
// asked to end them (at a purge) or for what names them.
type Token struct {
	// Provider is the id of a file of package provider.
	Provider string `json:"provider"`
	// Values are those of the provider's calls, each by where it stands: "token",
	// and what else the provider needs, such as "host".
	//
	//	hosts.*.token           the value at a dotted path; beside the token where a * stands
	//	.                       the whole content, of a file of text
	//	key hosts.*             the name of the place, not what stands there
	//	registry *:_authToken   the host in an npmrc key
	//	iss id_token            the issuer that a token names; aud: the client
	//	$VAULT_ADDR             a variable of the user's environment
	//	= github.com            what follows
	Values map[string]string `json:"values"`
}

var (
	tokenValue = regexp.MustCompile(`^(\$[A-Z][A-Z0-9_]*|= \S+|((key|registry|iss|aud) )?[^\s=$]\S*)$`)
	valueName  = regexp.MustCompile(`^[a-z]+$`)
)

// tokens reads a list of tokens.
func (r *reader) tokens(into *[]Token) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
			r.bad(n, "want a list of tokens")
			return
		}
		for _, item := range n.Content {
			t := Token{Values: map[string]string{}}
			if item.Kind != yaml.MappingNode {
				r.bad(item, "want provider, token, and what else the provider's calls need")
				continue
			}
			for i := 0; i+1 < len(item.Content); i += 2 {
				name, value := item.Content[i], item.Content[i+1]
				switch {
				case name.Value == "provider":
					r.id(&t.Provider)(value)
				case !valueName.MatchString(name.Value) || value.Kind != yaml.ScalarNode || !tokenValue.MatchString(value.Value):
					r.bad(value, "want a path, or key, registry, iss or aud before one, or $VARIABLE, or = and a word")
				default:
					t.Values[name.Value] = value.Value
				}
			}
			if t.Provider == "" || t.Values["token"] == "" {
				r.bad(item, "a token needs provider and token")
			}
			*into = append(*into, t)
		}
	}
}

// TokenVariables are the names of all variables that tokens' values are read
// from.
func TokenVariables(all []Credential) []string {
	var names []string
	for _, c := range all {
		for _, t := range c.Tokens {
			for _, v := range t.Values {
				if v[0] == '$' {
					names = append(names, v[1:])
				}
			}
		}
	}
	return names
}
