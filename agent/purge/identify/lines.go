package identify

import (
	"net/url"
	"strings"
)

func gitCredentials(content []byte, _ Around, n *notes) {
	for raw := range strings.Lines(string(content)) {
		u, err := url.Parse(strings.TrimSpace(raw))
		if err != nil || u.Host == "" {
			continue
		}
		n.add("git-host", u.Host)
		if _, has := u.User.Password(); has { // a lone user part may be the token
			n.add("git-user", u.User.Username())
		}
		n.add("github-token-sha256", githubHash(or(password(u), u.User.Username())))
		n.until(never)
	}
}

func password(u *url.URL) string {
	p, _ := u.User.Password()
	return p
}

func netrc(content []byte, _ Around, n *notes) {
	words := strings.Fields(string(content))
	for i := 0; i+1 < len(words); i++ {
		switch words[i] {
		case "machine":
			n.add("netrc-machine", words[i+1])
			n.until(never)
		case "login":
			n.add("netrc-login", words[i+1])
		case "default":
			n.until(never)
			continue
		case "password":
			n.add("github-token-sha256", githubHash(words[i+1]))
		case "account":
		default:
			continue
		}
		i++
	}
}

func pgpass(content []byte, _ Around, n *notes) {
	for raw := range strings.Lines(string(content)) {
		text := strings.TrimRight(raw, "\r\n")
		if strings.HasPrefix(text, "#") {
			continue
		}
		if fields := splitEscaped(text); len(fields) >= 5 {
			n.add("postgres-login", strings.Join(fields[:4], ":"))
			n.until(never)
		}
	}
}

// splitEscaped splits at colons that no backslash precedes.
func splitEscaped(text string) []string {
	out := []string{""}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			out[len(out)-1] += text[i : i+1]
		case text[i] == ':':
			out = append(out, "")
		default:
			out[len(out)-1] += text[i : i+1]
		}
	}
	return out
}
