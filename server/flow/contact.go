package flow

import (
	"context"
	"time"
)

// Welcome answers a hello.
type Welcome struct {
	ReportInterval time.Duration
	// Inventory asks for an upload.
	Inventory bool
	// Roster is set (an envelope) when the agent's is old.
	Roster []byte
}

// OnHello verifies the hello envelope by the device key and the connection's
// channel binding, adopts its numbers and notes the contact.
func (f *Flow) OnHello(ctx context.Context, peer Peer, hello, binding []byte) (Welcome, error) {
	return Welcome{}, errUnbuilt
}

// OnClosed notes that the device's stream ended.
func (f *Flow) OnClosed(ctx context.Context, peer Peer) {}
