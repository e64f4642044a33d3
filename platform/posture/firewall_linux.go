package posture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

func firewallOn() (bool, error) {
	chains, err := nftChains()
	return decideFirewall(chains, err, oldTables(), configuredFirewall(readSmall))
}

// readSmall reads at most 64 KiB.
func readSmall(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, 64<<10))
}

// Messages of nf_tables.
const (
	getChain = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETCHAIN
	newChain = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_NEWCHAIN
	// maxMessages bounds an answer.
	maxMessages = 4096
)

// nftChains asks the kernel for every chain of nf_tables, which iptables uses
// too on systems of the last years. It needs CAP_NET_ADMIN.
func nftChains() ([]chainInfo, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, nil // a kernel without netfilter filters nothing
	}
	if err != nil {
		return nil, fmt.Errorf("netfilter: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2})
	request := make([]byte, unix.NLMSG_HDRLEN+4)
	binary.NativeEndian.PutUint32(request, uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], getChain)
	binary.NativeEndian.PutUint16(request[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("netfilter: %w", err)
	}
	return readChains(fd)
}

func readChains(fd int) ([]chainInfo, error) {
	var chains []chainInfo
	buffer := make([]byte, 32<<10)
	for range maxMessages {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err != nil {
			return nil, fmt.Errorf("netfilter: %w", err)
		}
		more, done, err := chainMessages(buffer[:n])
		if err != nil {
			return nil, fmt.Errorf("netfilter: %w", err)
		}
		chains = append(chains, more...)
		if done {
			return chains, nil
		}
	}
	return nil, errNetlink
}

// chainMessages reads one datagram of the answer.
func chainMessages(raw []byte) (chains []chainInfo, done bool, err error) {
	for len(raw) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(raw))
		if size < unix.NLMSG_HDRLEN || size > len(raw) {
			return nil, false, errNetlink
		}
		body := raw[unix.NLMSG_HDRLEN:size]
		switch binary.NativeEndian.Uint16(raw[4:]) {
		case unix.NLMSG_DONE:
			return chains, true, nil
		case unix.NLMSG_ERROR:
			return nil, true, netlinkError(body)
		case newChain:
			if len(body) < 4 {
				return nil, false, errNetlink
			}
			c, err := parseChain(body[0], body[4:])
			if err != nil {
				return nil, false, err
			}
			chains = append(chains, c)
		}
		raw = raw[min((size+3)/4*4, len(raw)):]
	}
	return chains, false, nil
}

func netlinkError(body []byte) error {
	if len(body) < 4 {
		return errNetlink
	}
	code := int32(binary.NativeEndian.Uint32(body))
	switch errno := unix.Errno(-code); {
	case code == 0, errno == unix.ENOENT, errno == unix.EOPNOTSUPP, errno == unix.EINVAL:
		return nil // a kernel without nf_tables
	default:
		return errno
	}
}

// oldTables looks at the iptables of before nf_tables, and never loads them.
func oldTables() legacy {
	names, err := readSmall("/proc/net/ip_tables_names")
	if missing(err) {
		return legacy{}
	}
	if err != nil {
		return legacy{err: err}
	}
	found := legacy{}
	for line := range strings.Lines(string(names)) {
		found.loaded = found.loaded || strings.TrimSpace(line) == "filter"
	}
	if found.loaded {
		found.rules, found.err = filterHasRules()
	}
	return found
}

// ipTable is struct ipt_getinfo of linux/netfilter_ipv4/ip_tables.h.
type ipTable struct {
	name      [32]byte
	hooks     uint32
	entry     [5]uint32
	underflow [5]uint32
	entries   uint32
	size      uint32
}

const (
	getTableInfo = 64 // IPT_SO_GET_INFO
	// emptyEntries are those of a filter table without rules: one policy for
	// each of its three chains and the end mark.
	emptyEntries = 4
)

func filterHasRules() (bool, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return false, fmt.Errorf("iptables: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	table := ipTable{}
	copy(table.name[:], "filter")
	size := uint32(unsafe.Sizeof(table))
	// x/sys has no getsockopt for a struct of one's own.
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_IP, getTableInfo,
		uintptr(unsafe.Pointer(&table)), uintptr(unsafe.Pointer(&size)), 0) //nolint:gosec // see above
	if errno != 0 {
		return false, fmt.Errorf("iptables: %w", errno)
	}
	return table.entries > emptyEntries, nil
}
