package loadtest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// idle lets the fleet rest, then reads the server's memory.
func idle(ctx context.Context, s *server, f *fleet, o options) (Memory, error) {
	cpu := s.cpu()
	select {
	case <-time.After(o.idle):
	case <-ctx.Done():
		return Memory{}, ctx.Err()
	}
	rss := s.rss()
	return Memory{
		EmptyKB: s.empty, ServerKB: rss, PerAgentKB: float64(rss-s.empty) / float64(len(f.devices)),
		CPUPercent: 100 * (s.cpu() - cpu).Seconds() / o.idle.Seconds(),
	}, nil
}

// commits times what one durable commit costs on this disk: a 4 KB append and
// its flush, which is what a write-ahead log does.
func commits(ctx context.Context, dir string) (*Latency, error) {
	file, err := os.Create(filepath.Join(dir, "commit"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	var times []time.Duration
	for range 200 {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		begun := time.Now()
		if _, err := file.Write(make([]byte, 4096)); err != nil {
			return nil, err
		}
		if err := file.Sync(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begun))
	}
	return distribution(times), nil
}

// single cuts devices one after another while all others idle.
func single(ctx context.Context, s *server, f *fleet, o options) (*Latency, error) {
	var durable, call, receipt []time.Duration
	cpu := s.cpu()
	for _, device := range f.devices[:o.single] {
		begun := time.Now()
		answer, err := s.admin.OpenCut(ctx, &cutoffv1.OpenCutRequest{Device: device, Level: "seal", Reason: "load test"})
		if err != nil {
			return nil, fmt.Errorf("cut %s: %w", device, err)
		}
		if len(answer.GetCuts()) != 1 || answer.GetCuts()[0].GetState() == "held" {
			return nil, fmt.Errorf("cut of %s is not open: %v", device, answer.GetCuts())
		}
		if answer.GetDurableAt() == nil {
			return nil, fmt.Errorf("cut of %s was there before", device)
		}
		committed := answer.GetDurableAt().AsTime()
		ordered, acked := time.Time{}, time.Time{}
		for ordered.IsZero() || acked.IsZero() {
			e, err := f.next(ctx)
			switch {
			case err != nil:
				return nil, err
			case e.Kind == "order" && e.Device == device:
				ordered = time.UnixMicro(e.At)
			case e.Kind == "ack" && e.Device == device:
				if e.Note != "" {
					return nil, fmt.Errorf("receipt of %s refused: %s", device, e.Note)
				}
				acked = time.UnixMicro(e.At)
			}
		}
		durable = append(durable, ordered.Sub(committed))
		call = append(call, ordered.Sub(begun))
		receipt = append(receipt, acked.Sub(begun))
	}
	if len(durable) == 0 {
		return nil, nil
	}
	latency := distribution(durable)
	latency.CPUMicros = float64((s.cpu() - cpu).Microseconds()) / float64(len(durable))
	calls, receipts := distribution(call), distribution(receipt)
	latency.CallP50, latency.CallP99 = calls.P50, calls.P99
	latency.ReceiptP50, latency.ReceiptP99 = receipts.P50, receipts.P99
	return latency, nil
}

// A dry run asks so many devices live at the most; the rounds make up for it.
const (
	pushDevices = 200
	pushRounds  = 10
)

// push measures delivery and answer without signing and rows: a dry run asks
// the devices of one person what they would remove.
func push(ctx context.Context, s *server, f *fleet, o options) (*Cost, error) {
	const person = "push@example.com"
	devices := f.devices[o.single : o.single+min(o.fleet, pushDevices)]
	if len(devices) == 0 {
		return nil, nil
	}
	if err := assign(ctx, s, person, devices); err != nil {
		return nil, err
	}
	begun, cpu := time.Now(), s.cpu()
	live := 0
	for range pushRounds {
		answer, err := s.admin.PreviewCut(ctx, &cutoffv1.PreviewCutRequest{Person: person, Level: "seal"})
		if err != nil {
			return nil, err
		}
		for _, d := range answer.GetDevices() {
			if d.GetLive() {
				live++
			}
		}
	}
	if want := pushRounds * len(devices); live < want*99/100 {
		return nil, fmt.Errorf("only %d of %d devices answered the dry run", live, want)
	}
	return &Cost{
		Devices: live, Seconds: time.Since(begun).Seconds(),
		CPUMicros: float64((s.cpu() - cpu).Microseconds()) / float64(live),
	}, nil
}

// assign gives devices to a person.
func assign(ctx context.Context, s *server, person string, devices []string) error {
	if _, err := s.admin.LinkPerson(ctx, &cutoffv1.LinkPersonRequest{Email: person, Name: "Load"}); err != nil {
		return err
	}
	for _, d := range devices {
		if _, err := s.admin.AssignDevice(ctx, &cutoffv1.AssignDeviceRequest{Device: d, Person: person}); err != nil {
			return fmt.Errorf("assign %s: %w", d, err)
		}
	}
	return nil
}

// cutFleet opens one case over the person's devices: signed, durable, receipts
// stored.
func cutFleet(ctx context.Context, s *server, f *fleet, o options) (*Fleet, error) {
	if o.fleet == 0 {
		return nil, nil
	}
	const person = "fleet@example.com"
	if err := assign(ctx, s, person, f.devices[o.single:o.single+o.fleet]); err != nil {
		return nil, err
	}
	begun, cpu := time.Now(), s.cpu()
	if _, err := s.admin.OpenCut(ctx, &cutoffv1.OpenCutRequest{Person: person, Level: "seal", Reason: "load test"}); err != nil {
		return nil, err
	}
	result := &Fleet{OpenSeconds: time.Since(begun).Seconds()}
	orders, acks := 0, 0
	for acks < o.fleet {
		e, err := f.next(ctx)
		if err != nil {
			return nil, fmt.Errorf("after %d orders and %d receipts: %w", orders, acks, err)
		}
		at := float64(time.UnixMicro(e.At).Sub(begun).Microseconds()) / 1000
		switch e.Kind {
		case "order":
			if orders == 0 {
				result.FirstMS = at
			}
			orders, result.LastMS = orders+1, max(result.LastMS, at)
		case "ack":
			acks, result.AckedMS = acks+1, max(result.AckedMS, at)
		}
	}
	result.Cost = Cost{
		Devices: o.fleet, Seconds: time.Since(begun).Seconds(),
		CPUMicros: float64((s.cpu() - cpu).Microseconds()) / float64(o.fleet),
	}
	return result, nil
}

func distribution(times []time.Duration) *Latency {
	slices.Sort(times)
	at := func(q float64) float64 {
		return float64(times[min(len(times)-1, int(q*float64(len(times))))].Microseconds()) / 1000
	}
	return &Latency{N: len(times), P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: at(1)}
}
