package config

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Question is one thing that adding a connector asks a person for. The answer
// becomes a line of the connector's file, or, of a Secret, a stored secret.
type Question struct {
	// Key is where the answer goes: the file's key, nested by dots
	// (client.id), or the secret's name. A secret whose key has dots is stored
	// by that name with underscores, and the file names it at its place.
	Key string
	// About is what to ask for, in people's words: "the server's address, like
	// https://login.example.com".
	About string
	// Default is the answer that an empty one stands for.
	Default string
	// Secret is never echoed, never in the file and stored encrypted.
	Secret bool
	// Optional may be left empty.
	Optional bool
	// Address must be https:// (see Link.Address).
	Address bool
	// Many is a list: typed with commas between.
	Many bool
	// File is the content of a file (a key in PEM): its path is asked for.
	File bool
}

// Required reports whether the question must be answered.
func (q Question) Required() bool { return !q.Optional && q.Default == "" }

// SecretName is the name under which the answer to a Secret is stored.
func (q Question) SecretName() string { return strings.ReplaceAll(q.Key, ".", "_") }

// LinkQuestions are those that every kind may have besides its own.
func LinkQuestions() []Question {
	return []Question{
		{Key: "allow", About: "private addresses, networks or hosts it may reach, like 10.0.0.0/8, login.internal", Optional: true, Many: true},
		{Key: "ca", About: "certificate authorities in PEM, instead of the system's", Optional: true, File: true},
	}
}

// Render makes a file of answers, keyed as the questions are, in the
// questions' order. Secrets are left out, but for the names of nested ones.
func Render(questions []Question, answers map[string]string) string {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, q := range questions {
		answer := answers[q.Key]
		nested := strings.Contains(q.Key, ".")
		switch {
		case answer == "" && !q.Secret:
			answer = q.Default
		case q.Secret && (answer == "" || !nested):
			answer = ""
		case q.Secret:
			answer = q.SecretName()
		}
		if answer == "" {
			continue
		}
		put(root, strings.Split(q.Key, "."), value(q, answer))
	}
	if len(root.Content) == 0 {
		return ""
	}
	text, err := yaml.Marshal(root)
	if err != nil {
		return ""
	}
	return string(text)
}

func value(q Question, answer string) *yaml.Node {
	if !q.Many {
		n := &yaml.Node{}
		n.SetString(answer)
		// Numbers and truth values are written plain: the reader wants them so.
		if !strings.Contains(answer, "\n") {
			plain := &yaml.Node{}
			if yaml.Unmarshal([]byte(answer), plain) == nil && len(plain.Content) == 1 &&
				slices.Contains([]string{"!!int", "!!bool", "!!float"}, plain.Content[0].Tag) {
				return &yaml.Node{Kind: yaml.ScalarNode, Tag: plain.Content[0].Tag, Value: answer}
			}
		}
		return n
	}
	list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
	for _, s := range Split(answer) {
		n := &yaml.Node{}
		n.SetString(s)
		list.Content = append(list.Content, n)
	}
	return list
}

// Split is the entries of an answer to a question for Many.
func Split(answer string) []string {
	var all []string
	for s := range strings.SplitSeq(answer, ",") {
		if s = strings.TrimSpace(s); s != "" {
			all = append(all, s)
		}
	}
	return all
}

func put(at *yaml.Node, path []string, v *yaml.Node) {
	for i := 0; i+1 < len(at.Content); i += 2 {
		if at.Content[i].Value == path[0] && len(path) > 1 {
			put(at.Content[i+1], path[1:], v)
			return
		}
	}
	key := &yaml.Node{}
	key.SetString(path[0])
	if len(path) > 1 {
		inner := &yaml.Node{Kind: yaml.MappingNode}
		put(inner, path[1:], v)
		v = inner
	}
	at.Content = append(at.Content, key, v)
}
