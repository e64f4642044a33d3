package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"cutoff/agent/config"
	"cutoff/agent/enroll"
	"cutoff/agent/journal"
	"cutoff/agent/purge"
	"cutoff/agent/purge/catalogue"
	"cutoff/agent/scope"
	"cutoff/platform/clock"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// item is one credential as plan prints it, in the words of a cut's items.
type item struct {
	ID            string       `json:"id"`
	Product       string       `json:"product"`
	User          string       `json:"user"`
	Path          string       `json:"path"`
	Action        string       `json:"action"`
	Outcome       string       `json:"outcome"`
	Detail        string       `json:"detail"`
	ResidualUntil string       `json:"residual_until"`
	Identifiers   []identifier `json:"identifiers"`
	Sealed        bool         `json:"sealed"`
	Regain        string       `json:"regain"`
	Confidence    string       `json:"confidence"`
}

type identifier struct {
	Kind  string `json:"kind"`
	Value string `json:"value"`
}

func itemOf(m *cutoffv1.Item) item {
	made := item{
		ID: m.GetId(), Product: m.GetProduct(), User: m.GetUser(), Path: m.GetPath(), Action: m.GetAction(),
		Outcome: outcome(m.GetOutcome()), Detail: m.GetDetail(), ResidualUntil: residual(m),
		Identifiers: []identifier{}, Sealed: m.GetSealed(), Regain: m.GetRegain(), Confidence: m.GetConfidence(),
	}
	for _, i := range m.GetIdentifiers() {
		made.Identifiers = append(made.Identifiers, identifier{i.GetKind(), i.GetValue()})
	}
	return made
}

func outcome(o cutoffv1.Outcome) string {
	if o == cutoffv1.Outcome_OUTCOME_UNSPECIFIED {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(o.String(), "OUTCOME_"))
}

// residual is until when the credential may still work: a time, none or
// unbounded.
func residual(m *cutoffv1.Item) string {
	switch {
	case m.GetResidualUnbounded():
		return "unbounded"
	case m.GetResidualUntil() != nil:
		return m.GetResidualUntil().AsTime().UTC().Format(time.RFC3339)
	}
	return "none"
}

func planCommand(t terminal) *cobra.Command {
	c := &cobra.Command{
		Use:   "plan [--root DIR] [--json]",
		Short: "List what a cut would take; touches nothing",
		Example: `  cutoff-agent plan
  cutoff-agent plan --root /tmp/trial/root --json`,
	}
	root := c.Flags().String("root", "", "look below this directory only: for trials")
	asJSON := c.Flags().Bool("json", false, "print JSON")
	state := stateFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		dir, err := stateDir(*state)
		if err != nil {
			return err
		}
		below := *root
		if below != "" {
			if below, err = filepath.Abs(below); err != nil {
				return err
			}
		}
		found, err := purge.Plan(c.Context(), purge.Config{
			Root: below, State: string(dir), Boot: clock.Boot, Log: slog.New(slog.NewTextHandler(t.err, nil)),
			Scope: func() catalogue.Scope { return keptScope(dir) },
		})
		if err != nil && below != "" && errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: a trial root needs its users in etc/passwd: %w", errUsage, err)
		}
		if err != nil {
			return fmt.Errorf("list what a cut would take: %w", err)
		}
		items := make([]item, 0, len(found))
		for _, m := range found {
			items = append(items, itemOf(m))
		}
		if *asJSON {
			return printJSON(t.out, map[string]any{"items": items})
		}
		return printItems(t.out, items)
	}
	return c
}

// keptScope is what a cut of this device would go by, if it is enrolled; else
// the narrowest.
func keptScope(dir config.Dir) catalogue.Scope {
	enrolled, err := dir.Read()
	if err != nil {
		return catalogue.Scope{}
	}
	envelope, err := dir.Roster()
	if err != nil {
		return catalogue.Scope{}
	}
	roster, err := enroll.OpenRoster(envelope, enrolled.RootKey, enrolled.TrustDomain)
	if err != nil {
		return catalogue.Scope{}
	}
	return scope.Open(scope.Config{
		State: dir, DeviceID: enrolled.DeviceID, TrustDomain: enrolled.TrustDomain,
		Keys: func() signed.Keys { return roster.OrderKeys }, Log: slog.New(slog.DiscardHandler),
	}).Scope()
}

func printJSON(out io.Writer, value any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}

func printItems(out io.Writer, items []item) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "PRODUCT\tUSER\tPATH\tACTION\tREGAIN\tCONFIDENCE\tIDENTIFIERS")
	unconfirmed := 0
	for _, i := range items {
		var names []string
		for _, id := range i.Identifiers {
			names = append(names, id.Kind+"="+id.Value)
		}
		if i.Confidence != "confirmed" {
			unconfirmed++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", i.Product, i.User, plain(i.Path), i.Action, i.Regain, i.Confidence, plain(strings.Join(names, " ")))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if unconfirmed > 0 {
		fmt.Fprintf(out, "%d are unconfirmed: nobody has held the place or the form against the tool itself yet\n", unconfirmed)
	}
	_, err := fmt.Fprintf(out, "%d credentials; nothing was touched\n", len(items))
	return err
}

// plain keeps a file name from moving the reader's cursor.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, text)
}

func statusCommand(t terminal) *cobra.Command {
	c := &cobra.Command{
		Use: "status [--state DIR] [--json]", Short: "Say how this device stands",
		Example: "  cutoff-agent status --json\n  cutoff-agent status --challenge -o laptop-7.request",
	}
	state := stateFlag(c)
	asJSON := c.Flags().Bool("json", false, "print JSON")
	challenge := c.Flags().Bool("challenge", false, "make a file that asks for a lift, for a device without a network")
	request := c.Flags().StringP("out", "o", "", "the `FILE` of --challenge")
	c.RunE = func(c *cobra.Command, _ []string) error {
		dir, err := stateDir(*state)
		if err != nil {
			return err
		}
		if *challenge || *request != "" {
			return saveRequest(c.Context(), t, dir, *request, *asJSON)
		}
		s, err := readStatus(dir)
		if err != nil {
			return err
		}
		if *asJSON {
			return printJSON(t.out, s)
		}
		return s.print(t.out)
	}
	return c
}

// status is how a device stands, as it was last known here.
type status struct {
	DeviceID    string     `json:"device_id"`
	Server      string     `json:"server"`
	TrustDomain string     `json:"trust_domain"`
	Root        string     `json:"root"`
	Trial       bool       `json:"trial"`
	Running     bool       `json:"running"`
	Connected   bool       `json:"connected"`
	Trust       string     `json:"trust"`
	LeaseUntil  *time.Time `json:"lease_until"`
	Cuts        []string   `json:"cuts"`
	Acting      string     `json:"acting"`
	Tamper      bool       `json:"tamper"`
	Version     string     `json:"agent_version"`
}

func readStatus(dir config.Dir) (status, error) {
	enrolled, err := dir.Read()
	if err != nil {
		return status{}, err
	}
	s := status{Trust: "unknown", Cuts: []string{}, Version: version}
	raw, err := dir.Status()
	if err == nil {
		err = json.Unmarshal(raw, &s)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return status{}, fmt.Errorf("read status: %w", err)
	}
	s.DeviceID, s.Server, s.TrustDomain = enrolled.DeviceID, enrolled.Server, enrolled.TrustDomain
	s.Root, s.Trial = enrolled.Root, enrolled.Root != ""
	if s.Running, err = journal.Running(dir.Journal()); err != nil {
		return status{}, err
	}
	s.Connected = s.Connected && s.Running
	return s, nil
}

func (s status) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	lease := "none"
	if s.LeaseUntil != nil {
		lease = s.LeaseUntil.Format(time.RFC3339)
	}
	for _, row := range [][2]string{
		{"device", s.DeviceID}, {"server", s.Server}, {"running", yes(s.Running)}, {"connected", yes(s.Connected)},
		{"trust", s.Trust}, {"lease until", lease}, {"cuts that stand", strings.Join(s.Cuts, " ")}, {"trial root", s.Root},
	} {
		if row[1] == "" {
			continue
		}
		fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
	}
	return w.Flush()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
