// Package loadtest simulates a fleet over the real wire: enrolled agents with
// keys, certificates and streams of their own against a cutoff-server in a
// process of its own, whose memory and processor time are read from the
// outside. It starts everything it needs in a scratch folder and removes it.
// It must not reach into the server: what it knows comes over the wire.
package loadtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"
)

// perProcess is how many agents one process carries: a process may open some
// 20,000 files.
const perProcess = 15000

// options are the flags.
type options struct {
	agents   int
	single   int
	fleet    int
	items    int
	idle     time.Duration
	baseline bool
}

const example = `  cutoff-server loadtest --agents 1000
  cutoff-server loadtest --agents 10000 --baseline`

// Command is `cutoff-server loadtest`. Its output is one JSON document.
func Command() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "loadtest [--agents N] [--baseline]",
		Short: "simulate a fleet over the real wire and print what it cost, as JSON",
		Long: "Starts a server in a scratch folder, enrols and connects a simulated fleet, cuts single\n" +
			"devices and then many at once, and prints times, processor time and memory as JSON.",
		Example: example,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.agents < 1 || o.agents > 60000 {
				return errors.New("--agents must be between 1 and 60000")
			}
			o.single = min(o.single, o.agents/2)
			o.fleet = min(o.fleet, o.agents-o.single)
			return run(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	cmd.Flags().IntVar(&o.agents, "agents", 1000, "how many agents")
	cmd.Flags().IntVar(&o.single, "single", 200, "how many devices are cut one after another, the rest idle")
	cmd.Flags().IntVar(&o.fleet, "fleet", 2000, "how many devices are cut in one case")
	cmd.Flags().IntVar(&o.items, "items", 10, "how many items a receipt has")
	cmd.Flags().DurationVar(&o.idle, "idle", 5*time.Second, "how long the fleet idles before memory is read")
	cmd.Flags().BoolVar(&o.baseline, "baseline", false, "measure raw TLS connections in the same run")
	cmd.AddCommand(workerCommand(), baselineCommand())
	return cmd
}

// Result is what loadtest prints.
type Result struct {
	Agents    int       `json:"agents"`
	Processes int       `json:"processes"`
	CPUs      int       `json:"cpus"`
	Enrol     Phase     `json:"enrol"`
	Connect   Phase     `json:"connect"`
	Idle      Memory    `json:"idle"`
	Single    *Latency  `json:"single_order,omitempty"`
	Push      *Cost     `json:"push_without_rows,omitempty"`
	Fleet     *Fleet    `json:"fleet_order,omitempty"`
	Commit    *Latency  `json:"durable_commit,omitempty"`
	Baseline  *Baseline `json:"baseline,omitempty"`
}

// Phase is how long a phase took and what it cost the server.
type Phase struct {
	Seconds   float64 `json:"seconds"`
	ServerCPU float64 `json:"server_cpu_seconds"`
}

// Memory is the server's resident memory with the fleet connected and idle.
type Memory struct {
	EmptyKB    int64   `json:"server_rss_empty_kb"`
	ServerKB   int64   `json:"server_rss_kb"`
	PerAgentKB float64 `json:"per_agent_kb"`
	CPUPercent float64 `json:"server_cpu_percent"`
}

// Latency is a distribution in milliseconds; of an order, from the commit of its
// cut, as the server reports it, to the agent's receipt of it.
type Latency struct {
	N   int     `json:"n"`
	P50 float64 `json:"p50_ms"`
	P90 float64 `json:"p90_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
	// CallP50 is from the API call to the agent's receipt of the order.
	CallP50 float64 `json:"call_p50_ms,omitempty"`
	CallP99 float64 `json:"call_p99_ms,omitempty"`
	// ReceiptP50 is from the API call to the acknowledged receipt.
	ReceiptP50 float64 `json:"receipt_p50_ms,omitempty"`
	ReceiptP99 float64 `json:"receipt_p99_ms,omitempty"`
	CPUMicros  float64 `json:"server_cpu_us,omitempty"`
}

// Cost is the server's processor time per device of a bulk act.
type Cost struct {
	Devices   int     `json:"devices"`
	Seconds   float64 `json:"seconds"`
	CPUMicros float64 `json:"server_cpu_us_per_device"`
}

// Fleet is one case over many devices.
type Fleet struct {
	Cost
	OpenSeconds float64 `json:"open_seconds"`
	FirstMS     float64 `json:"first_received_ms"`
	LastMS      float64 `json:"last_received_ms"`
	AckedMS     float64 `json:"last_acknowledged_ms"`
}

// Baseline is the same fleet as raw TLS 1.3 connections with client
// certificates: one 300-byte message to one of them, and its answer.
type Baseline struct {
	Push       Latency `json:"push"`
	PerAgentKB float64 `json:"per_connection_kb"`
	CPUMicros  float64 `json:"server_cpu_us_per_delivery"`
}

func run(ctx context.Context, o options, out, progress io.Writer) error {
	dir, err := os.MkdirTemp("", "cutoff-loadtest-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	result := Result{Agents: o.agents, CPUs: runtime.NumCPU()}
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(progress, format+"\n", args...) }

	say("starting a server in %s", dir)
	server, err := startServer(ctx, dir, o)
	if err != nil {
		return err
	}
	defer server.stop()
	fleet, err := startFleet(ctx, server, o, say)
	if err != nil {
		return err
	}
	defer fleet.stop()
	result.Processes = len(fleet.workers)
	result.Enrol, result.Connect = fleet.enrol, fleet.connect

	if result.Idle, err = idle(ctx, server, fleet, o); err != nil {
		return err
	}
	say("idle: %.1f KB a device", result.Idle.PerAgentKB)
	if result.Commit, err = commits(ctx, dir); err != nil {
		return err
	}
	if result.Single, err = single(ctx, server, fleet, o); err != nil {
		return fmt.Errorf("single orders: %w", err)
	}
	say("single orders: p50 %.2f ms", result.Single.P50)
	if result.Push, err = push(ctx, server, fleet, o); err != nil {
		return fmt.Errorf("push: %w", err)
	}
	if result.Fleet, err = cutFleet(ctx, server, fleet, o); err != nil {
		return fmt.Errorf("fleet order: %w", err)
	}
	say("fleet order: %d devices in %.1f s", result.Fleet.Devices, result.Fleet.Seconds)
	fleet.stop()
	server.stop()
	if o.baseline {
		if result.Baseline, err = baseline(ctx, dir, o); err != nil {
			return fmt.Errorf("baseline: %w", err)
		}
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(result)
}
