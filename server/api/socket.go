package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"google.golang.org/grpc/credentials"
)

// ListenSocket listens on the admin socket at path, mode 0600. A socket left by
// a server that died is replaced; the caller holds the data directory's lock,
// so no other server has it.
func ListenSocket(path string) (net.Listener, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("look at %s: %w", path, err)
	case info.Mode()&os.ModeSocket == 0:
		return nil, fmt.Errorf("%s is in the way and is not a socket", path)
	default:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("remove the old socket: %w", err)
		}
	}
	l, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EINVAL) {
		return nil, fmt.Errorf("listen on %s: the path is too long for a socket (about 100 bytes)", path)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	// The directory is 0700, so nobody else got in before this.
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("close %s to others: %w", path, err)
	}
	return l, nil
}

// localUser is who is at the other end of the admin socket.
type localUser struct {
	credentials.CommonAuthInfo
	uid uint32
}

// AuthType is credentials.AuthInfo.
func (localUser) AuthType() string { return "local" }

// socketCredentials ask the kernel who is at the other end.
type socketCredentials struct{}

// ClientHandshake is credentials.TransportCredentials; the server never calls.
func (socketCredentials) ClientHandshake(
	context.Context, string, net.Conn,
) (net.Conn, credentials.AuthInfo, error) {
	return nil, nil, errors.ErrUnsupported
}

// ServerHandshake is credentials.TransportCredentials.
func (socketCredentials) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	unix, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, nil, fmt.Errorf("admin socket: connection of type %T", conn)
	}
	uid, err := peerUID(unix)
	if err != nil {
		return nil, nil, fmt.Errorf("admin socket: who calls: %w", err)
	}
	return conn, localUser{
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		uid:            uid,
	}, nil
}

// Info is credentials.TransportCredentials.
func (socketCredentials) Info() credentials.ProtocolInfo {
	return credentials.ProtocolInfo{SecurityProtocol: "local"}
}

// Clone is credentials.TransportCredentials.
func (c socketCredentials) Clone() credentials.TransportCredentials { return c }

// OverrideServerName is credentials.TransportCredentials.
func (socketCredentials) OverrideServerName(string) error { return nil }
