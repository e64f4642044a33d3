package provider

import (
	"context"
	"net/netip"
	"syscall"
)

// loopbackOnly lets a connection go to this machine only.
func loopbackOnly(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().Unmap().IsLoopback() {
		return ErrAddress
	}
	return nil
}
