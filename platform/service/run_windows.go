package service

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/svc"
)

// run connects to the service control manager if it was the one that started
// this process. The library's own Run decides by the parent's name, which Wine
// gets wrong: asking the manager is certain.
func run(ctx context.Context, spec Spec, work func(ctx context.Context) error) error {
	h := &handler{ctx: ctx, work: work}
	err := svc.Run(spec.Name, h)
	if errors.Is(err, windows.ERROR_FAILED_SERVICE_CONTROLLER_CONNECT) {
		return work(ctx) // started by hand
	}
	if err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	return h.err
}

// handler speaks with the service control manager.
type handler struct {
	ctx  context.Context //nolint:containedctx // Execute takes none
	work func(ctx context.Context) error
	err  error
}

// Execute is svc.Handler. Work that ends by itself is a failure, which makes
// the manager start the service again.
func (h *handler) Execute(_ []string, requests <-chan svc.ChangeRequest, state chan<- svc.Status) (bool, uint32) {
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- h.work(ctx) }()
	state <- svc.Status{State: svc.Running, Accepts: svc.AcceptStop | svc.AcceptShutdown}
	for {
		select {
		case h.err = <-ended:
			return true, 1
		case r := <-requests:
			switch r.Cmd {
			case svc.Interrogate:
				state <- r.CurrentStatus
			case svc.Stop, svc.Shutdown:
				state <- svc.Status{State: svc.StopPending}
				cancel()
				h.err = <-ended
				return false, 0
			}
		}
	}
}
