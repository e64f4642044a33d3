package scan

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"sync"
)

//go:generate go -C gitleaks run . ../rules.json

// The rules are those of a gitleaks release (MIT License, see NOTICE), as data.
//
//go:embed rules.json
var rulesJSON []byte

// document is rules.json.
type document struct {
	Source  string      `json:"source"`
	License string      `json:"license"`
	Allow   []allowText `json:"allow"`
	Rules   []ruleText  `json:"rules"`
}

// ruleText is a rule as it is written.
type ruleText struct {
	ID    string `json:"id"`
	What  string `json:"what"`
	Regex string `json:"regex"`
	// Path is what the file's name must match.
	Path string `json:"path"`
	// Group of the expression is the secret; 0: the first that is not empty.
	Group int `json:"group"`
	// Entropy is what the secret's must exceed, in bits a character.
	Entropy  float64     `json:"entropy"`
	Keywords []string    `json:"keywords"`
	Allow    []allowText `json:"allow"`
}

// allowText says what is no secret though it looks like one. All: every part
// must hold, not just one.
type allowText struct {
	All   bool     `json:"all"`
	Paths []string `json:"paths"`
	// Target of Regexes: "match", "line", or the secret.
	Target    string   `json:"target"`
	Regexes   []string `json:"regexes"`
	StopWords []string `json:"stop_words"`
}

func embedded() document {
	var d document
	if err := json.Unmarshal(rulesJSON, &d); err != nil {
		panic(fmt.Sprintf("rules.json: %v", err)) // it was generated and tested
	}
	return d
}

// rule is a rule at work.
type rule struct {
	ruleText
	allow []*allowlist
	// regex and path compile when they are first asked for.
	regex, path func() *regexp.Regexp
	reach       func() reach
}

func newRule(t ruleText) *rule {
	r := &rule{ruleText: t, allow: allowlists(t.Allow)}
	r.regex = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(t.Regex) })
	r.path = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(t.Path) })
	r.reach = sync.OnceValue(func() reach { return reachOf(t.Regex, t.Keywords) })
	return r
}

// ofPath reports whether the rule says anything about a file of this name.
func (r *rule) ofPath(name string) bool {
	return (r.Path == "" || r.path().MatchString(name)) && !pathAllowed(r.allow, name)
}

// typed are the rules whose secret a person may have thought of.
var typed = []string{
	"curl-auth-header", "curl-auth-user", "generic-api-key", "hashicorp-tf-password", "kubernetes-secret-yaml",
	"nuget-config-password", "sidekiq-sensitive-url",
}

func (r *rule) generated() bool { return !slices.Contains(typed, r.ID) }

// secret takes the secret out of a match, or says that there is none.
func (r *rule) secret(match []byte) ([]byte, bool) {
	groups := r.regex().FindSubmatch(match)
	secret := match
	switch {
	case len(groups) < 2:
	case r.Group > 0:
		secret = groups[r.Group]
	default:
		if i := slices.IndexFunc(groups[1:], func(g []byte) bool { return len(g) > 0 }); i >= 0 {
			secret = groups[i+1]
		}
	}
	return secret, r.Entropy == 0 || entropy(secret) > r.Entropy
}

// entropy is Shannon's, in bits, of the characters over the length in bytes.
func entropy(text []byte) float64 {
	counts := map[rune]int{}
	for _, c := range string(text) {
		counts[c]++
	}
	sum := 0.0
	for _, n := range counts {
		share := float64(n) / float64(len(text))
		sum -= share * math.Log2(share)
	}
	return sum
}
