package connector

import (
	"cmp"
	"slices"

	"cutoff/server/connector/config"
	"cutoff/server/connector/declarative"
)

// Offer is something an administrator may add by answering questions: a
// shipped entry, or a kind in Go.
type Offer struct {
	// Name is an entry's or a kind's.
	Name string
	// Kind is what is stored with the connector.
	Kind string
	// About is the product, or what the kind is for.
	About     string
	Questions []config.Question
}

// Offers are all there are, by name.
func Offers() []Offer {
	var all []Offer
	for _, k := range kinds() {
		if k.questions != nil {
			all = append(all, Offer{k.name, k.name, k.about, append(k.questions(), config.LinkQuestions()...)})
		}
	}
	for _, e := range declarative.Offers() {
		all = append(all, Offer{e.Name, "http", e.Product, append(e.Questions, config.LinkQuestions()...)})
	}
	slices.SortFunc(all, func(a, b Offer) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// File makes the connector's file of answers, keyed as the questions are.
func (o Offer) File(answers map[string]string) string {
	text := config.Render(o.Questions, answers)
	if o.Kind == "http" {
		text = "use: " + o.Name + "\n" + text
	}
	return text
}
