package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
)

const (
	// drainTime bounds telling the streams that the server goes away.
	drainTime = 2 * time.Second
	// stopTime bounds finishing the calls under way after that.
	stopTime = 2 * time.Second
	// spread is over how long agents come back after a planned stop.
	spread = 10 * time.Second
	// gcPercent: most of the memory is that of idle agents, which makes no
	// garbage. Half the usual headroom saves some 10 KB an agent and costs no
	// time worth measuring. GOGC overrides it.
	gcPercent = 50
	// tidyEvery is how often cases are resumed and held ones lapse.
	tidyEvery = 5 * time.Second
	// silentEvery is how often silent devices are looked for.
	silentEvery = time.Second
	// receivedEvery is how often words that an order arrived are kept, where the
	// receipt did not bring them.
	receivedEvery = 100 * time.Millisecond
)

// ready is the first line on standard output.
type ready struct {
	Agents  string `json:"agents"`
	Console string `json:"console"`
	Admin   string `json:"admin"`
}

// Run serves until ctx ends, then stops: streams are told, calls under way are
// finished or broken off (what they began is in rows and goes on at the next
// start), and the database is closed last. The first line to out is JSON.
func (s *Server) Run(ctx context.Context, out, notices io.Writer) error {
	defer s.close()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	line := ready{Agents: reachable(s.agentsAt), Console: "https://" + reachable(s.consoleAt), Admin: s.dir.file(socketFile)}
	if s.config.ConsoleURL != "" {
		line.Console = strings.TrimSuffix(s.config.ConsoleURL, "/")
	}
	if err := s.offerSetup(ctx, notices, line.Console); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, part := range []func(context.Context) error{
		s.runWriter, s.runHub, s.runQueue, s.runTidy, s.runSilence, s.runReceived, s.handler.Run,
		s.serveAgents, s.serveSocket, s.serveConsole,
	} {
		group.Go(func() error { return part(ctx) })
	}
	if err := json.NewEncoder(out).Encode(line); err != nil {
		return fmt.Errorf("say that the server is ready: %w", err)
	}
	s.log.Info("server is ready", "agents", line.Agents, "console", line.Console, "version", s.config.Version)
	err := group.Wait()
	s.log.Info("server has stopped", "err", err)
	return err
}

// runWriter ends the server if the database's writer ends before its time.
func (s *Server) runWriter(ctx context.Context) error {
	select {
	case err := <-s.stored:
		s.stored <- err
		return fmt.Errorf("database writer ended: %w", errors.Join(err, errors.New("it must not")))
	case <-ctx.Done():
		return nil
	}
}

func (s *Server) runHub(ctx context.Context) error { return s.hub.Run(ctx, s.flow) }

func (s *Server) runQueue(ctx context.Context) error {
	if err := s.queue.Run(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("step queue: %w", err)
	}
	return nil
}

// runTidy does what time alone makes due.
func (s *Server) runTidy(ctx context.Context) error {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		if err := s.flow.MarkEvidence(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "note where the evidence log stands", "err", err)
		}
		if err := errors.Join(s.flow.ResumeCases(ctx), s.flow.LapseHeld(ctx), s.flow.ConfirmShreds(ctx)); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "do what time made due", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// runSilence is the server's half of the dead man's switch.
func (s *Server) runSilence(ctx context.Context) error {
	tick := time.NewTicker(silentEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := s.flow.WatchSilence(ctx); err != nil && ctx.Err() == nil {
			s.log.ErrorContext(ctx, "look after silent devices", "err", err)
		}
	}
}

// runReceived keeps the words that orders arrived; what comes after it ended is
// kept when the server closes.
func (s *Server) runReceived(ctx context.Context) error {
	tick := time.NewTicker(receivedEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		s.keepReceived(ctx, false)
	}
}

func (s *Server) keepReceived(ctx context.Context, all bool) {
	if err := s.flow.KeepReceived(ctx, all); err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, "keep that orders were received", "err", err)
	}
}

func (s *Server) serveAgents(ctx context.Context) error {
	return serving(ctx, "agents", func() error { return s.agents.Serve(s.agentsAt) }, func(ctx context.Context) {
		// New connections are turned away first, so that a drained agent does
		// not come straight back.
		_ = s.agentsAt.Close()
		drain, cancel := context.WithTimeout(ctx, drainTime)
		defer cancel()
		s.hub.Drain(drain, spread)
		stopWithin(s.agents, stopTime)
	})
}

func (s *Server) serveSocket(ctx context.Context) error {
	return serving(ctx, "admin socket", func() error { return s.socket.Serve(s.socketAt) },
		func(context.Context) { stopWithin(s.socket, stopTime) })
}

func (s *Server) serveConsole(ctx context.Context) error {
	return serving(ctx, "console", func() error { return s.web.ServeTLS(s.consoleAt, "", "") },
		func(ctx context.Context) {
			s.console.Close()
			ctx, cancel := context.WithTimeout(ctx, stopTime)
			defer cancel()
			if s.web.Shutdown(ctx) != nil {
				_ = s.web.Close()
			}
			stopWithin(s.network, stopTime)
		})
}

// serving runs serve until it ends, or until ctx does: then stop has to make it
// end, and both are waited for.
func serving(ctx context.Context, what string, serve func() error, stop func(context.Context)) error {
	stopped := make(chan struct{})
	running := context.AfterFunc(ctx, func() {
		defer close(stopped)
		stop(context.WithoutCancel(ctx))
	})
	err := serve()
	if !running() {
		<-stopped
		return nil
	}
	if err == nil {
		err = errors.New("it ended by itself")
	}
	return fmt.Errorf("serve %s: %w", what, err)
}

// stopWithin lets calls finish for so long, then breaks them off.
func stopWithin(server *grpc.Server, d time.Duration) {
	late := time.AfterFunc(d, server.Stop)
	defer late.Stop()
	server.GracefulStop()
}
