package uplink

import (
	"context"
	"errors"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// outboxSize is how many messages may wait for a slow server.
const outboxSize = 64

// errSlow ends a stream whose server takes nothing any more: what matters is
// kept and sent again at the next one.
var errSlow = errors.New("the server does not take messages")

// Stream is an open stream.
type Stream struct {
	outbox chan *cutoffv1.ConnectRequest
	cancel context.CancelCauseFunc
}

// Send queues a message and never waits. A message to a stream that has ended
// is lost.
func (s *Stream) Send(m *cutoffv1.ConnectRequest) {
	select {
	case s.outbox <- m:
	default:
		s.cancel(errSlow)
	}
}

// drain sends what is queued.
func (s *Stream) drain(ctx context.Context, raw connectStream) error {
	for {
		select {
		case m := <-s.outbox:
			if err := raw.Send(m); err != nil {
				<-ctx.Done() // receive reads the stream's own error
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}
