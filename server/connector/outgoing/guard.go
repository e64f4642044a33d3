package outgoing

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Allow names private addresses and hosts a connector may reach. The zero
// value allows none: public addresses only.
type Allow struct {
	prefixes []netip.Prefix
	hosts    map[string]bool
}

// ParseAllow reads addresses, prefixes (10.0.0.0/8) and host names. A host
// name allows whatever private address that name has.
func ParseAllow(entries []string) (Allow, error) {
	a := Allow{hosts: map[string]bool{}}
	for _, e := range entries {
		if p, err := netip.ParsePrefix(e); err == nil {
			a.prefixes = append(a.prefixes, p.Masked())
			continue
		}
		if ip, err := netip.ParseAddr(e); err == nil {
			ip = ip.Unmap()
			a.prefixes = append(a.prefixes, netip.PrefixFrom(ip, ip.BitLen()))
			continue
		}
		if !isHostName(e) {
			return Allow{}, fmt.Errorf("%q is neither an address, a prefix nor a host name", e)
		}
		a.hosts[strings.ToLower(e)] = true
	}
	return a, nil
}

func isHostName(s string) bool {
	if s == "" || len(s) > 253 {
		return false
	}
	for _, r := range s {
		letter := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && r != '-' && r != '.' && r != '_' {
			return false
		}
	}
	return true
}

// permits reports whether ip, which host has, may be reached.
func (a Allow) permits(host string, ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if public(ip) || a.hosts[strings.ToLower(host)] {
		return true
	}
	for _, p := range a.prefixes {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// reserved are the special-purpose blocks that netip has no question for:
// carrier-grade NAT, protocol assignments, documentation, benchmarks, old 6to4
// relays, class E, and IPv6 forms that carry an IPv4 address within them.
var reserved = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"), netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"), netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"), netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("fec0::/10"), netip.MustParsePrefix("::/96"),
}

// public reports whether ip is an ordinary address of the internet. The
// metadata services of the clouds (169.254.169.254, fd00:ec2::254) are not.
func public(ip netip.Addr) bool {
	if !ip.IsValid() || !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() {
		return false
	}
	for _, p := range reserved {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}

// lookup returns the addresses of host, all of which are permitted. One that is
// not refuses them all: a name that points to both is not an honest one.
func (c *Client) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	var ips []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		ips = []netip.Addr{ip}
	} else if ips, err = c.look(ctx, host); err != nil {
		return nil, err
	}
	if len(ips) == 0 {
		return nil, &Error{Kind: Failed, Detail: "name-not-resolved"}
	}
	for _, ip := range ips {
		if !c.allow.permits(host, ip) {
			return nil, &Error{Kind: Refused, Detail: "address-not-allowed"}
		}
	}
	return ips, nil
}

// vet refuses a private target where a proxy would dial it for us. Without a
// proxy dial does it, on the address it then uses.
func (c *Client) vet(ctx context.Context, u *url.URL) error {
	proxy, err := c.proxy(&http.Request{URL: u, Header: http.Header{}})
	if err != nil {
		return &Error{Kind: Refused, Detail: "bad-proxy"}
	}
	if proxy == nil {
		return nil
	}
	if _, err := c.lookup(ctx, u.Hostname()); err != nil {
		if e, ok := err.(*Error); ok && e.Kind == Refused { //nolint:errorlint // lookup's own errors are not wrapped
			return err
		}
		// A name only the proxy can resolve: it decides.
	}
	return nil
}

// dial connects to an address that was checked, and to no other: the name is
// not resolved a second time.
func (c *Client) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, &Error{Kind: Refused, Detail: "bad-address"}
	}
	var ips []netip.Addr
	if c.isProxy(address) {
		ips, err = c.plain(ctx, host)
	} else {
		ips, err = c.lookup(ctx, host)
	}
	if err != nil {
		return nil, err
	}
	dialer := net.Dialer{Timeout: c.limits.Timeout}
	for _, ip := range ips {
		var conn net.Conn
		if conn, err = dialer.DialContext(ctx, network, net.JoinHostPort(ip.Unmap().String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// isProxy reports whether address is the proxy that the environment names for
// https or http; the administrator of this machine chose it.
func (c *Client) isProxy(address string) bool {
	for _, scheme := range []string{"https", "http"} {
		u, err := c.proxy(&http.Request{URL: &url.URL{Scheme: scheme, Host: "proxy-question.invalid"}, Header: http.Header{}})
		if err == nil && u != nil && strings.EqualFold(hostPort(u), address) {
			return true
		}
	}
	return false
}

func hostPort(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "https":
		port = "443"
	case u.Scheme == "socks5", u.Scheme == "socks5h":
		port = "1080"
	default:
		port = "80"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

func (c *Client) plain(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	return c.look(ctx, host)
}
