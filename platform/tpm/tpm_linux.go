package tpm

import (
	"context"
	"io"
	"net"
	"os"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"

	"cutoff/platform/files"
)

// resourceManaged is the TPM through the kernel's resource manager, which shares
// it with others.
const resourceManaged = "/dev/tpmrm0"

func open(root string) (transport.TPM, io.Closer, error) {
	if root == "" {
		t, err := linuxtpm.Open(resourceManaged)
		return t, t, err
	}
	top, err := files.Open(root)
	if err != nil {
		return nil, nil, err
	}
	s := simulator{top}
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	conn, err := s.dial(ctx)
	if err != nil {
		_ = top.Close()
		return nil, nil, err
	}
	return s, top, conn.Close()
}

// simulator speaks to a TPM simulator: a connection for each command.
type simulator struct{ root *files.Dir }

const (
	answerTime = 3 * time.Second
	maxAnswer  = 4096
)

func (s simulator) dial(ctx context.Context) (net.Conn, error) {
	return s.root.Dial(ctx, "run/tpm.sock", uint32(os.Geteuid()))
}

// Send is transport.TPM.
func (s simulator) Send(command []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answerTime)
	defer cancel()
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if _, err := conn.Write(command); err != nil {
		return nil, err
	}
	answer := make([]byte, maxAnswer)
	n, err := conn.Read(answer)
	return answer[:n], err
}
