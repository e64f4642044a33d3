// Package control is how a command on this machine speaks to the running agent:
// one request and one answer over a socket in the state directory, which only
// the agent's user and root can reach. It must not decide anything, and carries
// no order.
package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"
)

// Request is what a command asks. One of its fields is set.
type Request struct {
	// Code extends the lease by a code, File by a file; File may also be the
	// answer to a lift that was asked for.
	Code string `json:"code,omitempty"`
	File []byte `json:"file,omitempty"`
	// Lift asks for the request file of a lift.
	Lift bool `json:"lift,omitempty"`
}

// Answer is what the agent says.
type Answer struct {
	// Error is why not, in words for whoever asked; empty: done.
	Error string `json:"error,omitempty"`
	// Lifting is the cut that is being lifted.
	Lifting string `json:"lifting,omitempty"`
	// Added and Until say what came of an extension.
	Added time.Duration `json:"added,omitempty"`
	Until time.Time     `json:"until,omitzero"`
	// CutID and File are of a request for a lift.
	CutID string `json:"cut_id,omitempty"`
	File  []byte `json:"file,omitempty"`
}

// ErrNotRunning: no agent listens.
var ErrNotRunning = errors.New("no agent is running on this state directory")

// Bounds of one exchange.
const (
	maxMessage   = 16 << 20
	exchangeTime = time.Minute
	atOnce       = 4
	// longest is what fits into a socket's address on every system.
	longest = 100
)

// address is a name of path that fits into a socket's address; done lets go of
// what it takes.
func address(path string) (name string, done func(), err error) {
	if len(path) <= longest || runtime.GOOS != "linux" {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { _ = dir.Close() }, nil
}

// Serve answers requests at path until ctx ends. The directory is private, which
// keeps others out; the caller holds the journal, so no other agent listens here.
func Serve(ctx context.Context, path string, handle func(context.Context, Request) Answer) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the old socket: %w", err)
	}
	name, done, err := address(path)
	if err != nil {
		return fmt.Errorf("listen for commands: %w", err)
	}
	l, err := net.Listen("unix", name)
	done()
	if err != nil {
		return fmt.Errorf("listen for commands: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // its name may not be path
	defer func() { _ = os.Remove(path) }()
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("close the socket to others: %w", err), l.Close())
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	var work errgroup.Group
	work.SetLimit(atOnce)
	for {
		conn, err := l.Accept()
		if err != nil {
			_ = l.Close()
			_ = work.Wait()
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("listen for commands: %w", err)
		}
		work.Go(func() error {
			serveOne(ctx, conn, handle)
			return nil
		})
	}
}

// serveOne answers one request. A caller that goes away misses the answer only.
func serveOne(ctx context.Context, conn net.Conn, handle func(context.Context, Request) Answer) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(exchangeTime))
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	var request Request
	if err := json.NewDecoder(io.LimitReader(conn, maxMessage)).Decode(&request); err != nil {
		return
	}
	_ = json.NewEncoder(conn).Encode(handle(ctx, request))
}

// Call asks the agent that listens at path.
func Call(ctx context.Context, path string, request Request) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	name, done, err := address(path)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", name)
	done()
	if errors.Is(err, fs.ErrPermission) {
		return Answer{}, err
	}
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %w", ErrNotRunning, err)
	}
	defer func() { _ = conn.Close() }()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if err := json.NewEncoder(conn).Encode(request); err != nil {
		return Answer{}, fmt.Errorf("ask the agent: %w", err)
	}
	var answer Answer
	if err := json.NewDecoder(io.LimitReader(conn, maxMessage)).Decode(&answer); err != nil {
		return Answer{}, fmt.Errorf("the agent did not answer: %w", err)
	}
	return answer, nil
}
