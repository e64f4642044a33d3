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
	//	.                       the whole content, or the secret of a keyring's item
	//	attribute.service       an attribute of a keyring's item
	//	after attribute.service what follows its first colon
	//	host attribute.server   the host of an address
	//	key hosts.*             the name of the place, not what stands there
	//	registry *:_authToken   the host in an npmrc key
	//	iss id_token            the issuer that a token names; aud: the client
	//	text %.crt              the content of a file beside this one; %: NAME of NAME.key or NAME_key
	//	serial %.crt ROOTS      the serial number of the certificate in it, in decimal, if
	//	                        a certificate in the file ROOTS vouches for it
	//	json ../x.json ca-url   a value of a file of JSON: above this one, below ~/, or at an
	//	                        absolute place of the machine's
	//	$VAULT_ADDR             a variable of the user's environment
	//	= github.com            what follows
	Values map[string]string `json:"values"`
	// If is "PATH PATTERN", or with after or host before them: it is such a token only
	// if what stands there is like the pattern, in which * stands for any text.
	If string `json:"if,omitempty"`
}

var (
	tokenValue = regexp.MustCompile(`^(\$[A-Z][A-Z0-9_]*|= \S+|((key|registry|iss|aud|after|host|text) )?[^\s=$]\S*|(json|serial) \S+ \S+)$`)
	tokenIf    = regexp.MustCompile(`^((after|host) )?[^\s=$]\S* \S+$`)
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
				case name.Value == "if" && tokenIf.MatchString(value.Value):
					t.If = value.Value
				case !valueName.MatchString(name.Value) || value.Kind != yaml.ScalarNode || !tokenValue.MatchString(value.Value):
					r.bad(value, "want a path, or key, registry, iss, aud, after, host, text, serial or json before one, or $VARIABLE, or = and a word")
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
