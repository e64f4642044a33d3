package identify

import (
	"net/url"
	"slices"
	"strings"
)

// section is one part of an ini file, with its keys in lower case.
type section struct {
	name string
	keys map[string]string
}

// sections reads ini leniently: what it does not know it passes over.
func sections(content []byte) []section {
	out := []section{{keys: map[string]string{}}}
	for raw := range strings.Lines(string(content)) {
		text := strings.TrimSpace(strings.TrimPrefix(raw, "\uFEFF"))
		if text == "" || text[0] == '#' || text[0] == ';' {
			continue
		}
		if text[0] == '[' {
			name, _, _ := strings.Cut(text[1:], "]")
			out = append(out, section{name: strings.TrimSpace(name), keys: map[string]string{}})
			continue
		}
		if i := strings.IndexAny(text, "=:"); i > 0 {
			key := strings.ToLower(strings.TrimSpace(text[:i]))
			out[len(out)-1].keys[key] = strings.TrimSpace(text[i+1:])
		}
	}
	return out
}

func awsINI(content []byte, _ Around, n *notes) {
	for _, s := range sections(content) {
		k := s.keys
		if k["aws_secret_access_key"] != "" || k["aws_access_key_id"] != "" {
			n.add("aws-profile", strings.TrimPrefix(s.name, "profile "))
			n.add("aws-access-key-id", accessKey(k["aws_access_key_id"]))
			n.until(never)
		}
		n.add("aws-role-arn", k["role_arn"])
		n.add("aws-sso-start-url", address(k["sso_start_url"]))
	}
}

// accessKey lets through only what has the form of an access key id, so that a
// secret in the wrong line stays here.
func accessKey(v string) string {
	if len(v) < 16 || len(v) > 32 || strings.Trim(v, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
		return ""
	}
	if !slices.Contains([]string{"AKIA", "ASIA", "AIDA", "AROA"}, v[:4]) {
		return ""
	}
	return v
}

// address drops user information, query and fragment of a URL.
func address(v string) string {
	u, err := url.Parse(strings.Trim(v, `"' `))
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host + u.Path
}

func pypirc(content []byte, _ Around, n *notes) {
	for _, s := range sections(content) {
		if s.keys["password"] == "" {
			continue
		}
		n.add("pypi-index", s.name)
		n.add("pypi-repository", address(s.keys["repository"]))
		n.add("pypi-user", s.keys["username"])
		n.until(never)
	}
}

func rclone(content []byte, _ Around, n *notes) {
	for _, s := range sections(content) {
		if s.name == "" {
			continue
		}
		n.add("rclone-remote", s.name)
		n.add("rclone-type", s.keys["type"])
		n.add("aws-access-key-id", accessKey(s.keys["access_key_id"]))
		n.until(never)
	}
}

func pgService(content []byte, _ Around, n *notes) {
	for _, s := range sections(content) {
		if k := s.keys; k["password"] != "" {
			n.add("postgres-login", strings.Join([]string{or(k["host"], "localhost"), or(k["port"], "5432"), or(k["dbname"], "*"), k["user"]}, ":"))
			n.until(never)
		}
	}
}

func npmrc(content []byte, _ Around, n *notes) {
	for raw := range strings.Lines(string(content)) {
		key, value, ok := strings.Cut(strings.TrimSpace(raw), "=")
		if !ok || strings.HasPrefix(key, "#") || strings.HasPrefix(key, ";") {
			continue
		}
		key = strings.TrimSpace(key)
		i := strings.LastIndexByte(key, ':')
		name := key[i+1:]
		registry := "registry.npmjs.org"
		if i > 0 {
			registry = strings.Trim(key[:i], "/")
		}
		switch name {
		case "_authToken", "_auth", "_password":
			n.add("npm-registry", registry)
			n.until(never)
		case "username":
			n.add("npm-user", strings.TrimSpace(value))
		}
	}
}

func cargo(content []byte, _ Around, n *notes) {
	for raw := range strings.Lines(string(content)) {
		text := strings.TrimSpace(raw)
		name, ok := strings.CutPrefix(text, "[registries.")
		switch {
		case ok:
			n.add("cargo-registry", strings.Trim(strings.TrimSuffix(name, "]"), `"' `))
			n.until(never)
		case text == "[registry]" || strings.HasPrefix(text, "registry.token"):
			n.add("cargo-registry", "crates-io")
			n.until(never)
		}
	}
}

func or(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}
