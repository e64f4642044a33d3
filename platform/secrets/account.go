package secrets

import (
	"strings"
)

// maxName bounds a value that may name an account.
const maxName = 2 << 10

// Of reports whether the label or an attribute is an e-mail address, a URL or a
// host of one of the domains. A text that only speaks of one is not: a note
// about the company is its writer's.
func (i Item) Of(domains []string) bool {
	if ofDomain(i.Label, domains) {
		return true
	}
	for name, value := range i.Attributes {
		if !strings.HasPrefix(name, "xdg:") && ofDomain(value, domains) {
			return true
		}
	}
	return false
}

func ofDomain(value string, domains []string) bool {
	host := hostOf(value)
	if host == "" {
		return false
	}
	for _, d := range domains {
		d = strings.ToLower(strings.Trim(d, ". "))
		if d != "" && (host == d || strings.HasSuffix(host, "."+d)) {
			return true
		}
	}
	return false
}

// hostOf is the host of an address, a URL, or a host with or without port.
func hostOf(value string) string {
	value = strings.ToLower(strings.TrimSpace(value))
	if len(value) > maxName || strings.ContainsAny(value, " \t\r\n") {
		return ""
	}
	if _, rest, ok := strings.Cut(value, "://"); ok {
		value = rest
	}
	if end := strings.IndexAny(value, "/?#"); end >= 0 {
		value = value[:end]
	}
	value = value[strings.LastIndexByte(value, '@')+1:]
	host, port, ok := strings.Cut(value, ":")
	if ok && strings.Trim(port, "0123456789") != "" {
		return ""
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
		return ""
	}
	return host
}
