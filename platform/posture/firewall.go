package posture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"strings"
)

// chainInfo is what decides about a netfilter chain.
type chainInfo struct {
	family uint8
	kind   string // filter, nat, route
	base   bool
	hook   uint32
	policy uint32
	rules  uint32
}

// Numbers of the kernel's netfilter interface (linux/netfilter.h,
// linux/netfilter/nf_tables.h).
const (
	familyInet  = 1
	familyIPv4  = 2
	familyIPv6  = 10
	hookLocalIn = 1
	policyDrop  = 0

	attrChainHook   = 4
	attrChainPolicy = 5
	attrChainUse    = 6
	attrChainType   = 7
	attrHookNumber  = 1
)

// filters reports whether the chain filters what comes in: it stands at the
// input hook and drops by default or holds at least one rule.
func (c chainInfo) filters() bool {
	family := c.family == familyInet || c.family == familyIPv4 || c.family == familyIPv6
	return family && c.base && c.kind == "filter" && c.hook == hookLocalIn && (c.policy == policyDrop || c.rules > 0)
}

// legacy is what is known of the old iptables.
type legacy struct {
	// loaded: the kernel has its filter table; rules: it holds any.
	loaded bool
	rules  bool
	err    error
}

// decideFirewall reports whether something filters what comes in. What could
// not be looked at makes the answer unknown, unless something else is seen to
// filter.
func decideFirewall(chains []chainInfo, nftables error, old legacy, configured string) (bool, error) {
	for _, c := range chains {
		if c.filters() {
			return true, nil
		}
	}
	if old.loaded && old.rules && old.err == nil {
		return true, nil
	}
	if err := errors.Join(nftables, old.err); err != nil {
		if configured != "" {
			return false, fmt.Errorf("%s is configured, the kernel's rules cannot be read: %w", configured, err)
		}
		return false, fmt.Errorf("the kernel's rules cannot be read: %w", err)
	}
	return false, nil
}

// parseChain reads the attributes of one chain message.
func parseChain(family uint8, raw []byte) (chainInfo, error) {
	c := chainInfo{family: family, policy: 1}
	err := attributes(raw, func(kind uint16, value []byte) error {
		switch kind {
		case attrChainType:
			c.kind = strings.TrimRight(string(value), "\x00")
		case attrChainPolicy:
			return number(value, &c.policy)
		case attrChainUse:
			return number(value, &c.rules)
		case attrChainHook:
			c.base = true
			return attributes(value, func(kind uint16, value []byte) error {
				if kind == attrHookNumber {
					return number(value, &c.hook)
				}
				return nil
			})
		}
		return nil
	})
	return c, err
}

var errNetlink = errors.New("netlink message is damaged")

// attributes walks a run of netlink attributes.
func attributes(raw []byte, each func(kind uint16, value []byte) error) error {
	const header, align, kindMask = 4, 4, 0x3fff
	for len(raw) >= header {
		size := int(binary.NativeEndian.Uint16(raw))
		kind := binary.NativeEndian.Uint16(raw[2:]) & kindMask
		if size < header || size > len(raw) {
			return errNetlink
		}
		if err := each(kind, raw[header:size]); err != nil {
			return err
		}
		raw = raw[min((size+align-1)/align*align, len(raw)):]
	}
	return nil
}

func number(value []byte, into *uint32) error {
	if len(value) != 4 {
		return errNetlink
	}
	*into = binary.BigEndian.Uint32(value)
	return nil
}

// configuredFirewall names a firewall that is configured to be on: ufw or
// firewalld. read reads a file.
func configuredFirewall(read func(path string) ([]byte, error)) string {
	if raw, err := read("/etc/ufw/ufw.conf"); err == nil {
		for line := range strings.Lines(string(raw)) {
			if strings.EqualFold(strings.TrimSpace(line), "enabled=yes") {
				return "ufw"
			}
		}
	}
	// firewalld's service writes this link when it is enabled.
	if _, err := read("/etc/systemd/system/multi-user.target.wants/firewalld.service"); err == nil {
		return "firewalld"
	}
	return ""
}

// missing reports whether an error only says that a thing is not there.
func missing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
