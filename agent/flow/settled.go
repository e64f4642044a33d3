package flow

import "context"

// Settled is closed when the lease has been judged and what an earlier run
// left, or an expiry while the machine was off, has been carried out.
func (f *Flow) Settled() <-chan struct{} { return f.settled }

// settle belongs to the loop. A task that failed and waits is not done.
func (f *Flow) settle() {
	if f.loop.current != nil || len(f.loop.queue) > 0 {
		return
	}
	select {
	case <-f.settled:
	default:
		close(f.settled)
	}
}

// Alive returns nil once the loop has answered, which a loop that hangs does
// not.
func (f *Flow) Alive(ctx context.Context) error {
	answered := make(chan struct{})
	select {
	case f.inbox <- func() { close(answered) }:
	case <-f.ended:
		return nil // it ends in order
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-answered:
	case <-f.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}
