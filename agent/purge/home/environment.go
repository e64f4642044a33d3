package home

import (
	"context"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
	"cutoff/platform/paths"
	"cutoff/platform/session"
)

// environment is what start-up files and running processes say about where
// tools keep their files. It is a hint: a name in it is treated like any other.
type environment map[string][]string

// Start-up files, below the home and below the root.
var (
	homeFiles = []string{".profile", ".bash_profile", ".bash_login", ".bashrc", ".zshenv", ".zprofile", ".zshrc", ".zlogin",
		".zlogout", ".bash_aliases", ".kshrc", ".mkshrc", ".xinitrc", ".xsession",
		".pam_environment", ".xprofile", ".xsessionrc", ".config/environment.d/*.conf", ".config/plasma-workspace/env/*.sh", ".config/uwsm/env",
		".config/fish/config.fish", ".config/fish/conf.d/*.fish", ".config/fish/fish_variables"}
	rootFiles = []string{"etc/environment", "etc/environment.d/*.conf", "etc/profile", "etc/profile.d/*.sh", "etc/bash.bashrc",
		"etc/bashrc", "etc/zshenv", "etc/zsh/zshenv", "etc/zsh/zshrc"}
)

const (
	maxStartup   = 256 << 10
	maxOverrides = 32 // values of one variable
	// managerTime bounds the talk with a user's systemd, which may be hostile.
	managerTime = time.Second
)

// moved are start-up files that lie where a variable says.
var moved = map[string][]string{
	"ZDOTDIR":         {".zshenv", ".zprofile", ".zshrc", ".zlogin", ".zlogout"},
	"XDG_CONFIG_HOME": {"environment.d/*.conf", "fish/config.fish", "fish/conf.d/*.fish", "fish/fish_variables"},
}

// readEnvironment collects the named variables, and no others.
func (w *Worker) readEnvironment() environment {
	names := append(catalogue.Variables(w.job.Catalogue), "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME",
		"XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "ZDOTDIR", "KRB5CCNAME", "KRB5_CONFIG")
	names = append(names, catalogue.TokenVariables(w.job.Catalogue)...)
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = true
	}
	env := environment{}
	for _, pattern := range rootFiles {
		for _, name := range w.root.Glob(pattern) {
			if data, _, err := w.root.Read(name, maxStartup); err == nil {
				env.parse(data, wanted, w.job.Home)
			}
		}
	}
	for _, pattern := range homeFiles {
		w.readStartup(env, pattern, wanted)
	}
	// zsh reads its files where ZDOTDIR says, and environment.d moves along.
	for variable, patterns := range moved {
		for _, folder := range env[variable] {
			for _, at := range w.written(folder) {
				for _, pattern := range patterns {
					if at.base == wire.InHome {
						w.readStartup(env, path.Join(at.name, pattern), wanted)
					}
				}
			}
		}
	}
	w.askManager(env, names)
	if w.job.Root == "" && w.job.Mode != wire.Restore {
		for name, values := range session.Variables(names) {
			for _, v := range values {
				env.add(name, v)
			}
		}
	}
	return env
}

// readStartup reads the start-up files of the home that a pattern matches.
func (w *Worker) readStartup(env environment, pattern string, wanted map[string]bool) {
	for _, name := range w.home.Glob(pattern) {
		found, err := w.home.Resolve(name, w.inside)
		if err != nil || found.Outside || found.Info.Kind != files.Regular {
			continue
		}
		data, _, err := w.home.Read(found.Name, maxStartup)
		if err != nil {
			continue
		}
		if path.Base(name) == "fish_variables" {
			env.universal(data, wanted)
			continue
		}
		env.parse(data, wanted, w.job.Home)
	}
}

// askManager asks the user's systemd, over his bus, what it gives to every
// program. In a trial the bus counts only below the root.
func (w *Worker) askManager(env environment, names []string) {
	if w.job.Mode == wire.Restore {
		return
	}
	ctx, cancel := context.WithTimeout(w.ctx, managerTime)
	defer cancel()
	conn, err := w.root.Dial(ctx, strings.TrimPrefix(paths.Runtime(strconv.FormatUint(uint64(w.job.UID), 10)), "/")+"/bus", w.job.UID)
	if err != nil {
		return // nobody is logged in
	}
	found, err := session.ManagerVariables(ctx, conn, names)
	if err != nil {
		return // no systemd is on this bus, or it does not answer
	}
	for name, values := range found {
		for _, v := range values {
			env.add(name, v)
		}
	}
}

func (e environment) add(name, value string) {
	if value != "" && len(e[name]) < maxOverrides && !slices.Contains(e[name], value) {
		e[name] = append(e[name], value)
	}
}

// parse takes assignments of wanted variables out of a start-up file: sh, fish,
// environment.d and pam_env. What it cannot read for sure it passes over.
func (e environment) parse(data []byte, wanted map[string]bool, home string) {
	local := map[string]string{"HOME": home}
	for raw := range strings.Lines(string(data)) {
		words := shellWords(strings.TrimSpace(raw))
		if len(words) == 0 {
			continue
		}
		if words[0].text == "set" { // fish
			e.fish(words[1:], wanted, local)
			continue
		}
		if len(words) == 2 && strings.HasPrefix(words[1].text, "DEFAULT=") { // pam_env
			words = []word{{text: words[0].text + "=" + strings.TrimPrefix(words[1].text, "DEFAULT=")}}
		}
		for _, w := range words {
			name, value, ok := strings.Cut(w.text, "=")
			if !ok {
				continue
			}
			e.take(name, word{text: value, literal: w.literal}, wanted, local)
		}
	}
}

// universal reads fish's file of variables that every session has: lines
// "SETUVAR --export NAME:value", special characters as \\x2f.
func (e environment) universal(data []byte, wanted map[string]bool) {
	for raw := range strings.Lines(string(data)) {
		words := strings.Fields(raw)
		if len(words) < 2 || words[0] != "SETUVAR" {
			continue
		}
		name, value, ok := strings.Cut(words[len(words)-1], ":")
		if !ok || !wanted[name] {
			continue
		}
		if text, err := strconv.Unquote(`"` + strings.ReplaceAll(value, `"`, `\"`) + `"`); err == nil {
			e.add(name, strings.ReplaceAll(text, "\x1e", ":"))
		}
	}
}

func (e environment) fish(words []word, wanted map[string]bool, local map[string]string) {
	words = slices.DeleteFunc(slices.Clone(words), func(w word) bool { return strings.HasPrefix(w.text, "-") })
	if len(words) == 2 {
		e.take(words[0].text, words[1], wanted, local)
	}
}

func (e environment) take(name string, value word, wanted map[string]bool, local map[string]string) {
	if !variableName(name) {
		return
	}
	text, ok := value.text, true
	if !value.literal {
		text, ok = expand(value.text, local)
	}
	if !ok {
		return
	}
	local[name] = text
	if wanted[name] {
		e.add(name, text)
	}
}

func variableName(s string) bool {
	return s != "" && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789") == ""
}

// word is one word of a shell line; literal: in single quotes, nothing in it
// stands for something else.
type word struct {
	text    string
	literal bool
}

// shellWords splits a line as a shell does, without what ends a command.
func shellWords(text string) []word {
	var (
		out     []word
		current strings.Builder
		inWord  bool
		literal bool
	)
	end := func() {
		if inWord {
			out = append(out, word{current.String(), literal})
		}
		current.Reset()
		inWord, literal = false, false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case ' ', '\t', ';':
			end()
		case '#':
			if !inWord {
				return out
			}
			current.WriteByte(c)
		case '\'':
			j := strings.IndexByte(text[i+1:], '\'')
			if j < 0 {
				return out
			}
			inWord, literal = true, true
			current.WriteString(text[i+1 : i+1+j])
			i += j + 1
		case '"':
			j := quoted(text, i)
			if j < 0 {
				return out
			}
			inWord = true
			current.WriteString(text[i+1 : j])
			i = j
		case '\\':
			if i++; i < len(text) {
				inWord = true
				current.WriteByte(text[i])
			}
		default:
			inWord = true
			current.WriteByte(c)
		}
	}
	end()
	return out
}

func quoted(text string, at int) int {
	for i := at + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return -1
}

// expand puts in variables that are known; a word with anything else to be
// worked out is not taken.
func expand(text string, known map[string]string) (string, bool) {
	if strings.ContainsAny(text, "`") || strings.Contains(text, "$(") {
		return "", false
	}
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '$' {
			out.WriteByte(text[i])
			continue
		}
		name, width, ok := variable(text[i:])
		if !ok {
			return "", false
		}
		value, ok := known[name]
		if !ok {
			return "", false
		}
		out.WriteString(value)
		i += width - 1
	}
	return out.String(), true
}

// variable reads $NAME or ${NAME} or ${NAME:-default} as NAME.
func variable(text string) (name string, width int, ok bool) {
	if strings.HasPrefix(text, "${") {
		end := strings.IndexByte(text, '}')
		if end < 0 {
			return "", 0, false
		}
		name = text[2:end]
		return name, end + 1, variableName(name)
	}
	i := 1
	for i < len(text) && variableName(text[i:i+1]) {
		i++
	}
	return text[1:i], i, i > 1
}

// usual expands a catalogue path to where it is without any override.
func (w *Worker) usual(p string) []place {
	p = strings.ReplaceAll(p, "{uid}", strconv.FormatUint(uint64(w.job.UID), 10))
	name, rest, list, ok := paths.Variable(p)
	switch {
	case !ok && strings.HasPrefix(p, "/"):
		return []place{w.literal(p)}
	case !ok:
		return w.written(p)
	}
	if list {
		return nil
	}
	if name == "XDG_RUNTIME_DIR" {
		return []place{w.literal(paths.Runtime(strconv.FormatUint(uint64(w.job.UID), 10)) + "/" + rest)}
	}
	base, ok := paths.Base(name)
	if !ok {
		return nil
	}
	return w.written("~/" + base + "/" + rest)
}

// overridden expands a catalogue path to where variables put it.
func (w *Worker) overridden(p string) []place {
	name, rest, list, ok := paths.Variable(p)
	if !ok {
		return nil
	}
	var out []place
	for _, value := range w.env[name] {
		values := []string{value}
		if list {
			values = strings.Split(value, ":")
		}
		for _, v := range values {
			v = strings.TrimPrefix(strings.TrimPrefix(v, "FILE:"), "DIR:") // of Kerberos
			if v == "" || strings.ContainsAny(v, "*?[") {
				continue // a user's own value is a name, not a pattern
			}
			if rest != "" {
				v = strings.TrimSuffix(v, "/") + "/" + rest
			}
			out = append(out, w.written(v)...)
		}
	}
	return out
}

// literal is an absolute path of the catalogue's own: the one kind of place
// outside root's home that root's child may work on. What a user's environment
// or file names never gets here (see locate).
func (w *Worker) literal(p string) place {
	return place{base: wire.InRoot, name: strings.TrimPrefix(path.Clean(p), "/")}
}

// written turns a path as somebody wrote it into a place, if it is absolute.
func (w *Worker) written(p string) []place {
	if rest, ok := paths.InHome(p); ok {
		return []place{{base: wire.InHome, name: strings.TrimPrefix(rest, "/")}}
	}
	if !strings.HasPrefix(p, "/") {
		return nil
	}
	if at, ok := w.locate(path.Clean(p)); ok {
		return []place{at}
	}
	return nil
}
