package daemon

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// maxConsole bounds connections to the console's listener.
	maxConsole = 4096
	// spareFiles are kept for everything but agents: the console, the database,
	// connectors.
	spareFiles = maxConsole/4 + 512
	// certificateAge is how long a certificate's files are believed before they
	// are looked at again.
	certificateAge = time.Minute
)

// maxAgents is how many agents this process can hold at once.
func maxAgents() int {
	const least = 1024
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return least
	}
	return max(least, int(min(limit.Cur, 1<<20))-spareFiles)
}

// listenTCP listens and says which flag to change if it cannot.
func listenTCP(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s %s is in use by another program (choose another address with %s)", flag, addr, flag)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s %s is not allowed to this user (ports below 1024 need root)", flag, addr)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return l, nil
}

// reachable is a listener's address as a client on this machine uses it.
func reachable(l net.Listener) string {
	host, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return l.Addr().String()
	}
	if unspecified(host) {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}

// certificateFiles is a certificate kept in files, read again when they change,
// so that a renewed one needs no restart.
type certificateFiles struct {
	cert, key string
	now       func() time.Time
	log       *slog.Logger

	mu      sync.Mutex
	current *tls.Certificate
	stamp   [2]time.Time
	looked  time.Time
}

// get is tls.Config.GetCertificate's answer. Files that cannot be read leave
// the last good certificate in place.
func (c *certificateFiles) get() (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Sub(c.looked) < certificateAge {
		return c.current, nil
	}
	c.looked = c.now()
	if stamp, err := c.changedAt(); err == nil && stamp == c.stamp {
		return c.current, nil
	}
	if err := c.read(); err != nil {
		c.log.Error("read the console's certificate again", "err", err)
	}
	return c.current, nil
}

// load is the first reading, which must succeed.
func (c *certificateFiles) load() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.looked = c.now()
	return c.read()
}

func (c *certificateFiles) read() error {
	stamp, err := c.changedAt()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "tls: "))
	}
	c.current, c.stamp = &pair, stamp
	return nil
}

func (c *certificateFiles) changedAt() (stamp [2]time.Time, err error) {
	for i, path := range []string{c.cert, c.key} {
		info, err := os.Stat(path)
		if err != nil {
			return stamp, err
		}
		stamp[i] = info.ModTime()
	}
	return stamp, nil
}
