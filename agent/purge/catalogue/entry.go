package catalogue

import (
	"slices"
	"strconv"

	"gopkg.in/yaml.v3"

	"cutoff/agent/purge/format"
)

// product reads one file: what its credentials share, and each of them.
func (r *reader) product(n *yaml.Node) *File {
	file := &File{}
	var (
		shared      Credential
		list, their *yaml.Node
	)
	r.fields(n, []string{"id", "product", "confidence"}, map[string]func(*yaml.Node){
		"id":          r.id(&file.ID),
		"product":     r.text(&file.Title),
		"confidence":  r.oneOf(&shared.Confidence, confidences),
		"holders":     r.texts(&shared.Holders),
		"flatpak":     r.roots(&shared.Flatpak),
		"snap":        r.roots(&shared.Snap),
		"engines":     func(v *yaml.Node) { their = v },
		"credentials": func(v *yaml.Node) { list = v },
	})
	shared.Product = file.ID
	if their != nil {
		file.entries = r.uses(their, shared)
	}
	if list != nil || their == nil {
		file.entries = append(file.entries, r.entries(list, shared)...)
	}
	return file
}

// entries reads a list of credentials.
func (r *reader) entries(list *yaml.Node, shared Credential) []entry {
	if list == nil {
		r.bad(&yaml.Node{Line: 1, Column: 1}, `key "credentials" is missing`)
		return nil
	}
	if list.Kind != yaml.SequenceNode || len(list.Content) == 0 {
		r.bad(list, "want a list of credentials")
		return nil
	}
	var out []entry
	for _, item := range list.Content {
		out = append(out, r.entry(item, shared))
	}
	return out
}

// roots reads the folder names of an application's sandbox.
func (r *reader) roots(into *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		r.texts(into)(n)
		for i, name := range *into {
			if !rootPattern.MatchString(name) {
				r.bad(n.Content[i], "want the id or name of an application, not %q", name)
			}
		}
	}
}

func (r *reader) entry(n *yaml.Node, shared Credential) entry {
	shared.Holders = slices.Clone(shared.Holders)
	e := entry{Credential: shared, line: n.Line, column: n.Column,
		paths: map[string][]string{}, files: map[string][]string{}, keyring: map[string][]map[string]string{}}
	r.fields(n, []string{"id", "what", "danger", "action", "regain"}, map[string]func(*yaml.Node){
		"id":          r.id(&e.ID),
		"what":        r.text(&e.What),
		"danger":      r.danger(&e.Danger),
		"paths":       func(v *yaml.Node) { r.paths(v, e.paths) },
		"files":       func(v *yaml.Node) { r.files(v, e.files) },
		"trees":       r.texts(&e.Trees),
		"except":      r.texts(&e.Except),
		"keyring":     func(v *yaml.Node) { r.keyrings(v, e.keyring) },
		"format":      r.oneOf((*string)(&e.Format), formats),
		"secrets":     r.texts(&e.Secrets),
		"action":      r.oneOf((*string)(&e.Action), actions),
		"regain":      r.oneOf((*string)(&e.Regain), []string{"sign-in", "none"}),
		"unreadable":  r.oneOf(&e.Unreadable, []string{"delete", "leave"}),
		"only-if":     r.oneOf(&e.OnlyIf, tests),
		"identify":    r.identify(&e.Credential),
		"identifiers": r.texts(&e.Identifiers),
		"follow":      r.oneOf(&e.Follow, followers),
		"follow-as":   r.id(&e.FollowAs),
		"copies":      r.oneOf(&e.Copies, copiers),
		"tokens":      r.tokens(&e.Tokens),
		"harmless":    r.flag(&e.Harmless),
		"policy":      r.oneOf(&e.Policy, policies),
		"last":        r.flag(&e.Last),
		"system":      r.flag(&e.System),
		"confidence":  r.oneOf(&e.Confidence, confidences),
		"holders":     r.texts(&e.Holders),
	})
	r.fits(n, e)
	return e
}

// Words for what is read out of a file. A test holds package identify to them.
var (
	tests     = []string{"private-key", "private-key-inside", "gcp-credential"}
	followers = []string{"kubeconfig", "ssh-config", "git-config", "ansible-config", "npmrc"}
	copiers   = []string{"trash", "vscode-history", "path-name"}
	readers   = []string{
		"aws-credentials", "aws-config", "aws-sso", "aws-cli-cache", "aws-login", "gcp", "gcloud-store", "azure",
		"kubeconfig", "docker", "terraform", "gh", "git-credentials", "netrc", "npmrc", "pypirc", "cargo", "pgpass", "pg-service",
		"rclone", "ssh-key", "private-key", "certificates", "certificate-beside", "age-keys", "cloudflared", "subversion", "tailscale", "openvpn",
		"browser-profile", "firefox-profile", "gnupg-key", "ccache",
	}
)

// Readers, Tests and Followers are the words a catalogue may use.
func Readers() []string { return slices.Clone(readers) }

// Tests are the words of only-if.
func Tests() []string { return slices.Clone(tests) }

// Followers are the words of follow.
func Followers() []string { return slices.Clone(followers) }

// Copiers are the words of copies.
func Copiers() []string { return slices.Clone(copiers) }

// fits checks what depends on two keys.
func (r *reader) fits(n *yaml.Node, e entry) {
	editable := slices.Contains(format.Formats(), string(e.Format))
	switch {
	case e.Action == Edit && !editable:
		r.bad(n, "action edit needs a format that can be edited")
	case e.Action == Edit && len(e.Secrets) == 0:
		r.bad(n, "action edit needs secrets: what is cut out")
	case e.Action == Edit && e.Unreadable == "":
		r.bad(n, "action edit needs unreadable: delete or leave")
	case e.Action != Edit && len(e.Secrets) > 0:
		r.bad(n, "secrets are for action edit only")
	case (e.Action == KeyringDelete || e.Action == KernelKey) && len(e.keyring) == 0:
		r.bad(n, "action %s needs keyring: which items", e.Action)
	case e.Action != KeyringDelete && e.Action != KernelKey && len(e.keyring) > 0:
		r.bad(n, "keyring is for actions keyring-delete and kernel-key only")
	case len(e.keyring) > 0 && len(TokenVariables([]Credential{e.Credential})) > 0:
		r.bad(n, "tokens of a keyring name no variable: it is read beside the environment")
	case e.Action == AgentClear && len(e.paths) == 0:
		r.bad(n, "action agent-clear needs paths: the sockets")
	case e.Action == End && (len(e.Holders) == 0 || len(e.paths) > 0):
		r.bad(n, "action end needs holders: what ends, and no paths")
	case e.Action == Look && e.Follow == "" && e.Copies == "":
		r.bad(n, "action look needs follow or copies: what is found")
	case e.Copies != "" && e.Action != Look:
		r.bad(n, "copies is for action look only")
	case (e.Follow == "") != (e.FollowAs == ""):
		r.bad(n, "follow and follow-as go together")
	case len(e.Names) > 0 && !slices.Contains(structured, e.Format) && !onlyFileNames(e.Names):
		r.bad(n, "identify by paths needs a format that has them")
	case (e.Identify == "" && len(e.Names) == 0) != (len(e.Identifiers) == 0) && !slices.Contains([]Action{KeyringDelete, KernelKey, AgentClear, End}, e.Action):
		r.bad(n, "identify and identifiers go together")
	}
	if editable && len(e.Secrets) > 0 {
		if err := format.Check(string(e.Format), e.Secrets); err != nil {
			r.bad(n, "%v", err)
		}
	}
}

func (r *reader) danger(into *int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		v, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || v < 1 || v > 99 {
			r.bad(n, "want a number from 1, the most dangerous, to 99")
			return
		}
		*into = v
	}
}

func (r *reader) flag(into *bool) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
			r.bad(n, "want true or false")
			return
		}
		*into = n.Value == "true"
	}
}

func (r *reader) paths(n *yaml.Node, into map[string][]string) {
	r.perSystem(n, func(goos string, v *yaml.Node) {
		var list []string
		r.texts(&list)(v)
		for i, p := range list {
			if !pathPattern.MatchString(p) {
				r.bad(v.Content[i], "want a path that begins with ~/, / or $NAME, not %q", p)
			}
		}
		into[goos] = append(into[goos], list...)
	})
}

func (r *reader) keyrings(n *yaml.Node, into map[string][]map[string]string) {
	r.perSystem(n, func(goos string, v *yaml.Node) {
		if v.Kind != yaml.SequenceNode || len(v.Content) == 0 {
			r.bad(v, "want a list of attributes")
			return
		}
		for _, item := range v.Content {
			if item.Kind != yaml.MappingNode || len(item.Content) == 0 {
				r.bad(item, "want at least one attribute: an empty match would take everything")
				continue
			}
			match := map[string]string{}
			for i := 0; i+1 < len(item.Content); i += 2 {
				var s string
				r.text(&s)(item.Content[i+1])
				if s == "*" {
					r.bad(item.Content[i+1], "a match of anything")
				}
				if name := item.Content[i]; !attribute(goos, name.Value) {
					r.bad(name, "no attribute of a keyring of %s", goos)
				}
				match[item.Content[i].Value] = s
			}
			into[goos] = append(into[goos], match)
		}
	})
}
