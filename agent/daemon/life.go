package daemon

import (
	"context"
	"errors"
	"time"

	"cutoff/platform/service"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

const (
	// bootTime is how long the start of what is ordered after the agent, logins
	// among it, may wait for a seal that is due: then it goes on beside it.
	bootTime = 20 * time.Second
	// leaveTime bounds the last word: a machine that shuts down waits.
	leaveTime = 8 * time.Second
	// aliveTime is how long the loop may take to answer.
	aliveTime = 10 * time.Second
)

// settle tells the service manager that the agent is ready when what was due at
// the start is done.
func (a *agent) settle(ctx context.Context) error {
	late := time.NewTimer(bootTime)
	defer late.Stop()
	select {
	case <-a.flow.Settled():
	case <-late.C:
		a.options.Log.Warn("what is due at the start takes long; logins go on")
	case <-ctx.Done():
		return nil
	}
	if err := service.Ready(); err != nil {
		a.options.Log.Warn("service manager not told", "err", err)
	}
	return nil
}

// watched gives signs of life while alive says so.
func watched(ctx context.Context, o Options, alive func(ctx context.Context) error) error {
	every := service.Watched() / 3
	if every <= 0 {
		return nil
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		asked, cancel := context.WithTimeout(ctx, min(aliveTime, every))
		err := alive(asked)
		cancel()
		if err == nil {
			err = service.Alive()
		}
		if err != nil && ctx.Err() == nil {
			o.Log.Error("no sign of life", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// leave says the last word once told is over, while the agent still works, and
// then ends it.
func (a *agent) leave(told, ctx context.Context) error { //nolint:revive // two lives: the order to end, and the work
	select {
	case <-told.Done():
	case <-ctx.Done():
		return nil
	}
	if err := service.Stopping(); err != nil {
		a.options.Log.Warn("service manager not told", "err", err)
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	reason := a.parting(ctx)
	if err := a.lastWord(ctx, reason); err != nil {
		a.options.Log.Info("ending unheard", "reason", reason.String(), "err", err)
	} else {
		a.options.Log.Info("ending, and the server knows", "reason", reason.String())
	}
	return context.Canceled
}

// parting is why this process ends, as far as anyone can say.
func (a *agent) parting(ctx context.Context) cutoffv1.LeavingReason {
	if a.options.State.Announced() {
		return cutoffv1.LeavingReason_LEAVING_REASON_REMOVED
	}
	switch service.WhyEnding(ctx, a.options.Service) {
	case service.Disabled:
		return cutoffv1.LeavingReason_LEAVING_REASON_DISABLED
	case service.Stopped:
		return cutoffv1.LeavingReason_LEAVING_REASON_STOPPED
	case service.Restart:
		return cutoffv1.LeavingReason_LEAVING_REASON_RESTART
	case service.Shutdown, service.Unknown:
	}
	// Where nobody says, a stop by hand passes for a shutdown: the other way
	// round each evening would bring the whole fleet the shorter deadline.
	return cutoffv1.LeavingReason_LEAVING_REASON_SHUTDOWN
}

// damagedTime is between two starts on a state that cannot be worked with.
const damagedTime = 30 * time.Second

// damaged keeps a service whose state directory is no good from being started
// again every second, and logins from waiting for it.
func damaged(ctx context.Context, o Options, cause error) error {
	if service.Watched() == 0 {
		return cause // by hand: whoever started it wants to know
	}
	o.Log.Error("cannot start, will try again", "err", cause, "after", damagedTime.String())
	ctx, cancel := context.WithTimeout(ctx, damagedTime)
	defer cancel()
	if err := service.Ready(); err != nil {
		o.Log.Warn("service manager not told", "err", err)
	}
	return errors.Join(cause, watched(ctx, o, func(context.Context) error { return nil }))
}

// Leave tells the server that the agent of this state, which does not run, is
// being removed.
func Leave(ctx context.Context, o Options) error {
	a, err := open(o)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	return errors.Join(a.lastWord(ctx, cutoffv1.LeavingReason_LEAVING_REASON_REMOVED), a.journal.Close())
}

// lastWord shows the server its own permission, if it gave one.
func (a *agent) lastWord(ctx context.Context, reason cutoffv1.LeavingReason) error {
	permit, err := a.journal.Permitted()
	if err != nil {
		return err
	}
	return a.uplink.Leave(ctx, reason, permit)
}
