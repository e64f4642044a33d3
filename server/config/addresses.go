package config

import (
	"net"
	"net/url"
	"strconv"
	"strings"

	"cutoff/server/document"
)

// maxAddresses bounds a list that every lease carries, maxAddress an entry.
const (
	maxAddresses = 8
	maxAddress   = 253
)

// texts reads a short list of texts of which each passes check.
func texts(n document.Node, check func(string) string) (all []string) {
	list := n.List()
	if len(list) > maxAddresses {
		n.Fault("%d entries, at most %d", len(list), maxAddresses)
		return nil
	}
	for _, item := range list {
		text := item.Text()
		wrong := check(text)
		if len(text) > maxAddress {
			wrong = "is too long"
		}
		if wrong != "" {
			item.Fault("%.80q %s", text, wrong)
			continue
		}
		all = append(all, text)
	}
	return all
}

func checkAddress(text string) string {
	host, port, err := net.SplitHostPort(text)
	if n, portErr := strconv.ParseUint(port, 10, 16); err != nil || portErr != nil || n == 0 {
		return "is not host:port"
	}
	if net.ParseIP(host) == nil && !hostName.MatchString(strings.ToLower(host)) {
		return "names no host"
	}
	return ""
}

// checkMirror takes plain HTTP too: the signature in a file is what counts.
func checkMirror(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return "is no https:// or http:// address"
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "has more than a host and a path"
	}
	return ""
}
