package config

import (
	"net"
	"slices"
	"strings"
)

// mostAddresses bounds how many addresses are tried in turn.
const mostAddresses = 16

// Addresses are those of a list as it is written, HOST:PORT,HOST:PORT, in their
// order; what is none of them is left out.
func Addresses(text string) []string { return Known(strings.Split(text, ",")) }

// Known are the addresses of several lists in their order, each once.
func Known(lists ...[]string) []string {
	var all []string
	for _, list := range lists {
		for _, address := range list {
			address = strings.TrimSpace(address)
			if _, port, err := net.SplitHostPort(address); err != nil || port == "" || len(all) >= mostAddresses {
				continue
			}
			if !slices.Contains(all, address) {
				all = append(all, address)
			}
		}
	}
	return all
}
