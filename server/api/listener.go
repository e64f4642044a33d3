package api

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// hostOf is addr without its port.
func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}

// Limited is l with at most n connections open at once; those beyond are
// closed at once, so that the ones that work go on working. Each gets its
// keepalive, so that a peer that vanished is noticed below TLS as well.
func Limited(l net.Listener, n int) net.Listener {
	return &limited{Listener: l, max: int64(n)}
}

type limited struct {
	net.Listener
	max  int64
	open atomic.Int64
}

// Accept is net.Listener.Accept.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) > l.max {
			l.open.Add(-1)
			_ = conn.Close()
			continue
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{
				Enable: true, Idle: time.Minute, Interval: 15 * time.Second, Count: 4,
			})
		}
		return &counted{Conn: conn, gone: l.leave}, nil
	}
}

func (l *limited) leave() { l.open.Add(-1) }

// counted tells its listener once when it is closed.
type counted struct {
	net.Conn
	once sync.Once
	gone func()
}

// Close is net.Conn.Close.
func (c *counted) Close() error {
	err := c.Conn.Close()
	c.once.Do(c.gone)
	return err
}
