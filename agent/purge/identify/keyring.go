package identify

import "strings"

// Keyring names an item by its attributes, which are no secrets by the
// keyring's own rules; only those known to name an account are taken.
func Keyring(product, label string, attributes map[string]string) Finding {
	n := &notes{}
	service, user := attributes["service"], or(attributes["username"], attributes["user"])
	switch product {
	case "gh":
		n.add("github-host", strings.TrimPrefix(service, "gh:"))
		n.add("github-user", user)
	case "git":
		n.add("git-host", or(attributes["server"], hostOf(service)))
		n.add("git-user", or(user, attributes["account"]))
	case "docker":
		n.add("docker-registry", attributes["server"])
		n.add("docker-user", user)
	case "cargo":
		n.add("cargo-registry", strings.TrimPrefix(service, "cargo-registry:"))
	default:
		n.add("keyring-service", or(service, or(attributes["server"], attributes["domain"])))
		n.add("keyring-user", or(user, attributes["account"]))
	}
	n.add("keyring-label", label)
	n.until(never)
	return n.finding()
}

func hostOf(service string) string {
	service = strings.TrimPrefix(service, "git:")
	_, host, ok := strings.Cut(service, "://")
	if !ok {
		return ""
	}
	host, _, _ = strings.Cut(host, "/")
	return host[strings.LastIndexByte(host, '@')+1:]
}
