package loadtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// job is what a worker is told on its first line of input.
type job struct {
	Agents string `json:"agents"`
	Token  string `json:"token"`
	First  int    `json:"first"`
	N      int    `json:"n"`
	Items  int    `json:"items"`
}

// event is one line of a worker's output. At is in microseconds.
type event struct {
	Kind   string `json:"k"`
	Device string `json:"d,omitempty"`
	At     int64  `json:"t,omitempty"`
	Note   string `json:"n,omitempty"`
}

// enrolAt and connectAt bound what a worker does at once.
const (
	enrolAt   = 4
	connectAt = 48
)

func workerCommand() *cobra.Command {
	return &cobra.Command{
		Use: "worker", Hidden: true, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			in := bufio.NewReader(cmd.InOrStdin())
			line, err := in.ReadBytes('\n')
			if err != nil {
				return err
			}
			var j job
			if err := json.Unmarshal(line, &j); err != nil {
				return err
			}
			return work(cmd.Context(), j, in, cmd.OutOrStdout())
		},
	}
}

// work enrols and connects j.N agents and reports what they receive until its
// input ends.
func work(ctx context.Context, j job, in *bufio.Reader, out io.Writer) error {
	events := bufio.NewWriter(out)
	enc := json.NewEncoder(events)
	var mu sync.Mutex
	tell := func(e event) {
		mu.Lock()
		defer mu.Unlock()
		_ = enc.Encode(e)
		_ = events.Flush()
	}
	agents, err := enrolAll(ctx, j)
	if err != nil {
		return err
	}
	tell(event{Kind: "enrolled"})
	if _, err := in.ReadBytes('\n'); err != nil { // "connect"
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group, _ := errgroup.WithContext(ctx)
	group.SetLimit(connectAt)
	for _, a := range agents {
		group.Go(func() error {
			// The stream outlives this function.
			if err := a.connect(ctx, j.Agents); err != nil {
				return fmt.Errorf("connect %s: %w", a.id, err)
			}
			tell(event{Kind: "device", Device: a.id, At: time.Now().UnixMicro()})
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	tell(event{Kind: "connected"})
	var streams sync.WaitGroup
	for _, a := range agents {
		streams.Go(func() {
			if err := a.serve(tell); ctx.Err() == nil {
				tell(event{Kind: "lost", Device: a.id, Note: err.Error()})
			}
		})
	}
	_, _ = io.Copy(io.Discard, in)
	cancel()
	streams.Wait()
	return nil
}

func enrolAll(ctx context.Context, j job) ([]*agent, error) {
	secret, err := secretOf(j.Token)
	if err != nil {
		return nil, err
	}
	// A load test trusts the server it started; a real agent checks the roster
	// against its token's pin first.
	conn, err := grpc.NewClient("passthrough:///"+j.Agents,
		dialOptions(credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true}))...) //nolint:gosec // see above
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	agents := make([]*agent, j.N)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(enrolAt)
	for i := range agents {
		group.Go(func() (err error) {
			agents[i], err = enrol(ctx, conn, secret, j.First+i, j.Items)
			return err
		})
	}
	return agents, group.Wait()
}

// fleet is the coordinator's side of all workers.
type fleet struct {
	workers []*process
	devices []string
	events  chan event
	enrol   Phase
	connect Phase
	once    sync.Once
}

func startFleet(ctx context.Context, s *server, o options, say func(string, ...any)) (*fleet, error) {
	token, err := s.token(ctx, o.agents)
	if err != nil {
		return nil, err
	}
	f := &fleet{events: make(chan event, 4*o.agents+1024)}
	say("enrolling %d agents", o.agents)
	begun, cpu := time.Now(), s.cpu()
	for first := 0; first < o.agents; first += perProcess {
		n := min(perProcess, o.agents-first)
		w, err := start(ctx, filepath.Join(filepath.Dir(s.dir()), fmt.Sprintf("worker-%d.log", first)), "loadtest", "worker")
		if err != nil {
			f.stop()
			return nil, err
		}
		f.workers = append(f.workers, w)
		if err := json.NewEncoder(w.in).Encode(job{Agents: s.agents, Token: token, First: first, N: n, Items: o.items}); err != nil {
			f.stop()
			return nil, err
		}
		go f.pump(w)
	}
	if err := f.await(ctx, "enrolled", len(f.workers)); err != nil {
		f.stop()
		return nil, err
	}
	f.enrol = Phase{time.Since(begun).Seconds(), (s.cpu() - cpu).Seconds()}
	say("connecting them")
	begun, cpu = time.Now(), s.cpu()
	for _, w := range f.workers {
		if _, err := io.WriteString(w.in, "connect\n"); err != nil {
			f.stop()
			return nil, err
		}
	}
	if err := f.await(ctx, "leased", o.agents); err != nil {
		f.stop()
		return nil, err
	}
	f.connect = Phase{time.Since(begun).Seconds(), (s.cpu() - cpu).Seconds()}
	return f, nil
}

// pump forwards a worker's events until it ends.
func (f *fleet) pump(w *process) {
	dec := json.NewDecoder(w.out)
	for {
		var e event
		if err := dec.Decode(&e); err != nil {
			f.events <- event{Kind: "gone", Note: w.said()}
			return
		}
		f.events <- e
	}
}

// await takes events until n of kind came.
func (f *fleet) await(ctx context.Context, kind string, n int) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	for n > 0 {
		e, err := f.next(ctx)
		if err != nil {
			return fmt.Errorf("wait for %d × %s: %w", n, kind, err)
		}
		if e.Kind == "device" {
			f.devices = append(f.devices, e.Device)
		}
		if e.Kind == kind {
			n--
		}
	}
	return nil
}

func (f *fleet) next(ctx context.Context) (event, error) {
	select {
	case e := <-f.events:
		switch e.Kind {
		case "gone":
			return e, fmt.Errorf("a worker ended: %s", e.Note)
		case "lost":
			return e, fmt.Errorf("agent %s lost its stream: %s", e.Device, e.Note)
		}
		return e, nil
	case <-ctx.Done():
		return event{}, ctx.Err()
	}
}

func (f *fleet) stop() {
	f.once.Do(func() {
		for _, w := range f.workers {
			w.stop()
		}
	})
}
