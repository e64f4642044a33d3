// Command gitleaks writes the rules of the gitleaks release that this module
// pins as package scan's rules.json. It is a module of its own so that the
// product does not depend on gitleaks; its tests hold the two engines to the
// same finds.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/viper"
	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/regexp"
)

// document is rules.json, as package scan reads it.
type document struct {
	Source  string  `json:"source"`
	License string  `json:"license"`
	Allow   []allow `json:"allow"`
	Rules   []rule  `json:"rules"`
}

type rule struct {
	ID       string   `json:"id"`
	What     string   `json:"what"`
	Regex    string   `json:"regex,omitempty"`
	Path     string   `json:"path,omitempty"`
	Group    int      `json:"group,omitempty"`
	Entropy  float64  `json:"entropy,omitempty"`
	Keywords []string `json:"keywords,omitempty"`
	Allow    []allow  `json:"allow,omitempty"`
}

type allow struct {
	All       bool     `json:"all,omitempty"`
	Paths     []string `json:"paths,omitempty"`
	Target    string   `json:"target,omitempty"`
	Regexes   []string `json:"regexes,omitempty"`
	StopWords []string `json:"stop_words,omitempty"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gitleaks FILE")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gitleaks:", err)
		os.Exit(1)
	}
}

func write(name string) error {
	c, err := load()
	if err != nil {
		return err
	}
	d := document{
		Source:  "gitleaks v8.30.1, config/gitleaks.toml, github.com/gitleaks/gitleaks",
		License: "MIT License, Copyright (c) 2019 Zachary Rice",
		Allow:   allows(c.Allowlists),
	}
	for _, r := range c.Rules {
		if len(r.RequiredRules) > 0 || r.SkipReport {
			return fmt.Errorf("rule %s needs other rules: package scan cannot do that", r.RuleID)
		}
		d.Rules = append(d.Rules, rule{ID: r.RuleID, What: r.Description, Regex: text(r.Regex), Path: text(r.Path),
			Group: r.SecretGroup, Entropy: r.Entropy, Keywords: lower(r.Keywords), Allow: allows(r.Allowlists)})
	}
	slices.SortFunc(d.Rules, func(a, b rule) int { return strings.Compare(a.ID, b.ID) })
	out, err := json.MarshalIndent(d, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(out, '\n'), 0o644)
}

// load reads the configuration that the release carries.
func load() (config.Config, error) {
	v := viper.New()
	v.SetConfigType("toml")
	if err := v.ReadConfig(strings.NewReader(config.DefaultConfig)); err != nil {
		return config.Config{}, err
	}
	var raw config.ViperConfig
	if err := v.Unmarshal(&raw); err != nil {
		return config.Config{}, err
	}
	return raw.Translate()
}

func allows(all []*config.Allowlist) []allow {
	var out []allow
	for _, a := range all {
		words := lower(a.StopWords)
		out = append(out, allow{All: a.MatchCondition == config.AllowlistMatchAnd, Paths: texts(a.Paths), Target: a.RegexTarget,
			Regexes: texts(a.Regexes), StopWords: words})
	}
	return out
}

func text(r *regexp.Regexp) string {
	if r == nil {
		return ""
	}
	return r.String()
}

func texts(all []*regexp.Regexp) []string {
	var out []string
	for _, r := range all {
		out = append(out, r.String())
	}
	return out
}

// lower is the words in lower case, sorted, each once.
func lower(words []string) []string {
	var out []string
	for _, w := range words {
		out = append(out, strings.ToLower(w))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
