package loadtest

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
)

// baselineMessage is the size of an order in bytes, about.
const baselineMessage = 300

// baselineCommand is the raw server: TLS 1.3, client certificates, one
// goroutine a connection. A line "i" on its input sends a message to its i-th
// connection; the answer is one byte.
func baselineCommand() *cobra.Command {
	return &cobra.Command{
		Use: "baseline-server", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cert, err := pair()
			if err != nil {
				return err
			}
			ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
				MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, ClientAuth: tls.RequireAnyClientCert,
			})
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(cmd.OutOrStdout(), ln.Addr()); err != nil {
				return err
			}
			return serveBaseline(ln, cmd.InOrStdin())
		},
	}
}

func serveBaseline(ln net.Listener, in io.Reader) error {
	var mu sync.Mutex
	conns := map[int]net.Conn{}
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				var id [4]byte
				if _, err := io.ReadFull(conn, id[:]); err != nil {
					return
				}
				mu.Lock()
				conns[int(binary.BigEndian.Uint32(id[:]))] = conn
				mu.Unlock()
				_, _ = conn.Write([]byte{0})
				_, _ = io.Copy(io.Discard, conn) // the answers
			}()
		}
	}()
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var i int
		if _, err := fmt.Sscan(lines.Text(), &i); err != nil {
			return err
		}
		mu.Lock()
		conn := conns[i]
		mu.Unlock()
		message := make([]byte, baselineMessage)
		binary.BigEndian.PutUint64(message, uint64(time.Now().UnixMicro()))
		if _, err := conn.Write(message); err != nil {
			return err
		}
	}
	return ln.Close()
}

// baseline connects as many raw clients as the fleet had agents and pushes to
// one after another.
func baseline(ctx context.Context, dir string, o options) (*Baseline, error) {
	n := min(o.agents, perProcess)
	p, err := start(ctx, filepath.Join(dir, "baseline.log"), "loadtest", "baseline-server")
	if err != nil {
		return nil, err
	}
	defer p.stop()
	address, err := p.out.ReadString('\n')
	if err != nil {
		return nil, err
	}
	empty := p.rss()
	conns, err := dialBaseline(ctx, address[:len(address)-1], n)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Second) // let it come to rest, as the fleet did
	rss := p.rss()
	var times []time.Duration
	cpu := p.cpu()
	pushes := max(o.single, 1) * 5
	for i := range pushes {
		which := i % n
		if _, err := fmt.Fprintln(p.in, which); err != nil {
			return nil, err
		}
		message := make([]byte, baselineMessage)
		if _, err := io.ReadFull(conns[which], message); err != nil {
			return nil, err
		}
		sent := time.UnixMicro(int64(binary.BigEndian.Uint64(message)))
		times = append(times, time.Since(sent))
		if _, err := conns[which].Write([]byte{1}); err != nil {
			return nil, err
		}
	}
	return &Baseline{
		Push: *distribution(times), PerAgentKB: float64(rss-empty) / float64(n),
		CPUMicros: float64((p.cpu() - cpu).Microseconds()) / float64(pushes),
	}, nil
}

func dialBaseline(ctx context.Context, address string, n int) ([]net.Conn, error) {
	cert, err := pair()
	if err != nil {
		return nil, err
	}
	conns := make([]net.Conn, n)
	group, _ := errgroup.WithContext(ctx)
	group.SetLimit(connectAt)
	for i := range conns {
		group.Go(func() error {
			//nolint:gosec // both ends are this program's, on the loopback address
			conn, err := tls.Dial("tcp", address, &tls.Config{
				MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, Certificates: []tls.Certificate{cert},
			})
			if err != nil {
				return err
			}
			var id [4]byte
			binary.BigEndian.PutUint32(id[:], uint32(i))
			if _, err := conn.Write(id[:]); err != nil {
				return err
			}
			if _, err := io.ReadFull(conn, id[:1]); err != nil {
				return err
			}
			conns[i] = conn
			return nil
		})
	}
	return conns, group.Wait()
}

// pair makes a throw-away certificate.
func pair() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
