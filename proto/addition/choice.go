package addition

import (
	"path"
	"strings"
)

// WrongAccount says what is wrong with a company account's domain, or is empty.
// A domain without a dot would match half the world.
func WrongAccount(domain string) string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789-."
	labels := strings.Split(domain, ".")
	if len(labels) < 2 || len(domain) > 253 || strings.Trim(domain, letters) != "" {
		return "an account is a domain in small letters, such as example.com"
	}
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.HasPrefix(l, "-") || strings.HasSuffix(l, "-") {
			return "an account is a domain in small letters, such as example.com"
		}
	}
	return ""
}

// WrongTree says what is wrong with a work tree, or is empty: a folder of a
// home, or an absolute one, that is written out.
func WrongTree(tree string) string {
	rest, inHome := strings.CutPrefix(tree, "~/")
	switch {
	case len(tree) > maxPath:
		return "the work tree's path is too long"
	case strings.ContainsAny(tree, "*?[]$\\\x00"):
		return "a work tree is written out, without patterns and variables"
	case inHome && rest != "" && path.Clean(rest) == rest && !strings.HasPrefix(rest, "/") && !strings.HasPrefix(rest, ".."):
		return ""
	case !inHome && strings.Count(tree, "/") >= 2 && strings.HasPrefix(tree, "/") && path.Clean(tree) == tree && treeAllowed(tree):
		return ""
	}
	return "a work tree is a folder such as ~/src or /srv/code, not a home, a root or the system's own"
}

// treeAllowed keeps the scan out of the system's own folders.
func treeAllowed(tree string) bool {
	for _, n := range []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr", "/root", "/home"} {
		if tree == n || strings.HasPrefix(tree, n+"/") {
			return false
		}
	}
	return true
}
