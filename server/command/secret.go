package command

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// readBounded reads a file, or standard input for "-".
func (c *cli) readBounded(path string) ([]byte, error) {
	from := c.In
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, usagef("", "%s", cause(err))
		}
		defer func() { _ = f.Close() }()
		from = f
	}
	raw, err := io.ReadAll(io.LimitReader(from, maxFile+1))
	if err != nil {
		return nil, usagef("", "%s", cause(err))
	}
	if len(raw) > maxFile {
		return nil, usagef("", "%s has more than %d bytes", path, maxFile)
	}
	return raw, nil
}

// readText reads a file a person wrote.
func (c *cli) readText(path string) (string, error) {
	raw, err := c.readBounded(path)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(raw) {
		return "", usagef("", "%s is not text in UTF-8", path)
	}
	return string(raw), nil
}

// readSecret reads one secret: from a file, from standard input, or from a
// person at a terminal, without echo. It never comes from an argument, where
// every process on the machine could read it.
func (c *cli) readSecret(path, flag, prompt string) (string, error) {
	if path == "" {
		return c.ask(flag, prompt)
	}
	raw, err := c.readBounded(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(raw), "\r\n")
	switch {
	case secret == "":
		return "", usagef("", "%s %s is empty", flag, path)
	case !utf8.ValidString(secret):
		return "", usagef("", "%s %s is not text in UTF-8", flag, path)
	}
	return secret, nil
}

func (c *cli) ask(flag, prompt string) (string, error) {
	in, ok := c.In.(*os.File)
	if !ok || !terminal(in) {
		return "", usagef("- is standard input", "no terminal to ask at: pass %s FILE", flag)
	}
	_, _ = fmt.Fprint(c.Err, prompt)
	raw, err := term.ReadPassword(int(in.Fd()))
	_, _ = fmt.Fprintln(c.Err)
	if err != nil {
		return "", notf("read from the terminal: %s", err)
	}
	if len(raw) == 0 {
		return "", usagef("", "nothing was typed")
	}
	return string(raw), nil
}

// readSecrets reads NAME=VALUE lines; empty ones and # comments are skipped. A
// key or a certificate in PEM goes on to its last line.
func (c *cli) readSecrets(path string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	text, err := c.readText(path)
	if err != nil {
		return nil, err
	}
	secrets := map[string]string{}
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line, n := lines[i], i+1
		if strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "#") {
			continue
		}
		// The line itself is not shown: it may be a secret without its name.
		name, value, ok := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		switch {
		case !ok || name == "" || value == "":
			return nil, usagef("", "%s:%d: not NAME=VALUE", path, n)
		case secrets[name] != "":
			return nil, usagef("", "%s:%d: %s is there twice", path, n, name)
		}
		if strings.HasPrefix(value, pemBegin) && !strings.Contains(value, pemEnd) {
			last := slices.IndexFunc(lines[i+1:], func(l string) bool { return strings.HasPrefix(l, pemEnd) })
			if last < 0 {
				return nil, usagef("", "%s:%d: %s has no line that begins with %s", path, n, name, strings.TrimSpace(pemEnd))
			}
			value = strings.Join(append([]string{value}, lines[i+1:i+2+last]...), "\n") + "\n"
			i += 1 + last
		}
		secrets[name] = value
	}
	return secrets, nil
}

// How what is in PEM begins and ends.
const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
)
