package command

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// callTime bounds one call; watching and waiting have bounds of their own.
const callTime = 60 * time.Second

// socketName is the admin socket's name in the data directory.
const socketName = "admin.sock"

// call runs do with a client of the server that the flags name.
func (c *cli) call(ctx context.Context, do func(context.Context, cutoffv1.AdminServiceClient) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	return c.connected(ctx, do)
}

// connected is call without a bound of time.
func (c *cli) connected(ctx context.Context, do func(context.Context, cutoffv1.AdminServiceClient) error) error {
	conn, err := c.dial()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return c.explain(do(ctx, cutoffv1.NewAdminServiceClient(conn)))
}

// explain says what keeps the server from being reached, and what may help.
func (c *cli) explain(err error) error {
	s, ok := status.FromError(err)
	if !ok || s.Code() != codes.Unavailable || !unreached(s.Message()) {
		return err
	}
	if c.server != "" {
		if looksUntrusted(s.Message()) {
			return notf("the certificate of %s is not trusted: pass --ca DIR/keys/ca.crt of its data directory (%s)",
				c.server, s.Message())
		}
		return notf("cannot reach %s: %s", c.server, s.Message())
	}
	if _, missing := os.Stat(filepath.Join(c.data, socketName)); missing != nil {
		return notf("no server runs on %s (start it: cutoff-server serve --data %s)", c.data, c.data)
	}
	return notf("the server on %s does not answer: %s", c.data, s.Message())
}

func (c *cli) dial() (*grpc.ClientConn, error) {
	options := []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(520 << 20)),
		grpc.WithUserAgent("cutoff-server/" + c.Version),
	}
	switch {
	case c.data != "" && c.server != "":
		return nil, usagef("--data is the local way, --server the remote one", "--data and --server exclude each other")
	case c.server != "":
		return c.dialURL(options)
	case c.data != "":
		return c.dialSocket(options)
	default:
		return nil, usagef("pass --data DIR, or --server URL with CUTOFF_API_KEY", "which server: no --data and no --server")
	}
}

func (c *cli) dialSocket(options []grpc.DialOption) (*grpc.ClientConn, error) {
	if info, err := os.Stat(c.data); err != nil {
		return nil, usagef("", "data directory: %s", cause(err))
	} else if !info.IsDir() {
		return nil, usagef("", "--data %s is not a directory", c.data)
	}
	path := filepath.Join(c.data, socketName)
	return grpc.NewClient("passthrough:///"+socketName, append(options,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}))...)
}

func (c *cli) dialURL(options []grpc.DialOption) (*grpc.ClientConn, error) {
	u, err := url.Parse(c.server)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || (u.Path != "" && u.Path != "/") {
		return nil, usagef("it looks like https://cutoff.example:8443", "--server %q is not the URL of a server", c.server)
	}
	key := c.Getenv("CUTOFF_API_KEY")
	if key == "" {
		return nil, usagef("cutoff-server api-key create makes one", "CUTOFF_API_KEY is not set")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if c.ca != "" {
		pem, err := os.ReadFile(c.ca)
		if err != nil {
			return nil, usagef("", "read --ca: %s", cause(err))
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usagef("", "--ca %s holds no certificate in PEM", c.ca)
		}
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return grpc.NewClient("dns:///"+net.JoinHostPort(u.Hostname(), port), append(options,
		grpc.WithTransportCredentials(credentials.NewTLS(config)),
		grpc.WithPerRPCCredentials(bearer(key)))...)
}

// bearer presents an API key, over TLS only.
type bearer string

// GetRequestMetadata is credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity is credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return true }

// cause is a file error without Go's name of the system call.
func cause(err error) string {
	var path *os.PathError
	if errors.As(err, &path) {
		return fmt.Sprintf("%s: %s", path.Path, path.Err)
	}
	return err.Error()
}

// unreached tells a server that is not there from one that answers that a part
// it needs is not; grpc gives both as one code.
func unreached(message string) bool {
	for _, sign := range []string{"connection error", "error reading from server", "transport", "connection clos"} {
		if strings.Contains(message, sign) {
			return true
		}
	}
	return false
}

// looksUntrusted tells a certificate that is not trusted from a server that is
// not there.
func looksUntrusted(message string) bool { return strings.Contains(message, "x509:") }
