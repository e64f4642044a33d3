package command

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// waitTime is how long --wait waits unless --timeout says otherwise.
const waitTime = 5 * time.Minute

// cutFlags are those of cut itself.
type cutFlags struct {
	person     string
	credential string
	level      string
	reason     string
	wait       bool
	dryRun     bool
	timeout    time.Duration
}

func (c *cli) cutCommand() *cobra.Command {
	var f cutFlags
	cut := &cobra.Command{
		Use:   "cut DEVICE | --person P | --credential C",
		Short: "cut a device, a person or a credential off",
		Long: "Cut a device off: its local secrets and its access in the clouds. --level seal can be lifted,\n" +
			"--level purge is final. With --wait it returns when all is done and proved, or 1 if not all was.",
		Example: `  cutoff-server cut laptop-7 --level seal --reason "lost on a train" --wait --data /var/lib/cutoff
  cutoff-server cut --person alice@example.com --level purge --reason "left" --dry-run --data /var/lib/cutoff`,
		RunE: func(cmd *cobra.Command, args []string) error {
			device, err := f.subject(cmd, args)
			if err != nil {
				return err
			}
			if f.dryRun {
				return c.preview(cmd.Context(), device, f)
			}
			return c.open(cmd.Context(), device, f)
		},
		Args: cobra.ArbitraryArgs,
	}
	flags := cut.Flags()
	flags.StringVar(&f.person, "person", "", "cut all devices and all access of a person (id or e-mail address)")
	flags.StringVar(&f.credential, "credential", "", "revoke one credential")
	flags.StringVar(&f.level, "level", "", "seal (can be lifted) or purge (final)")
	flags.StringVar(&f.reason, "reason", "", "why, for the record")
	flags.BoolVar(&f.wait, "wait", false, "wait until all is done and proved")
	flags.BoolVar(&f.dryRun, "dry-run", false, "show what would be removed and revoked; change nothing")
	spanFlag(cut, &f.timeout, "timeout", waitTime, "how long --wait waits")
	cut.AddCommand(c.cutListCommand(), c.cutShowCommand(),
		c.verdictCommand("approve", "let a held cut, and all of its case, through",
			func(ctx context.Context, admin cutoffv1.AdminServiceClient, id, reason string) (*cutoffv1.Cut, error) {
				resp, err := admin.ApproveCut(ctx, &cutoffv1.ApproveCutRequest{Id: id, Reason: reason})
				return resp.GetCut(), err
			}),
		c.verdictCommand("refuse", "turn a held cut down",
			func(ctx context.Context, admin cutoffv1.AdminServiceClient, id, reason string) (*cutoffv1.Cut, error) {
				resp, err := admin.RefuseCut(ctx, &cutoffv1.RefuseCutRequest{Id: id, Reason: reason})
				return resp.GetCut(), err
			}))
	return cut
}

// subject checks the flags and answers the device, if it is one.
func (f *cutFlags) subject(cmd *cobra.Command, args []string) (device string, err error) {
	hint := "see " + cmd.CommandPath() + " --help"
	if len(args) > 1 {
		return "", usagef(hint, "cut takes one DEVICE, got %q as well", args[1])
	}
	named := 0
	if len(args) == 1 {
		device = args[0]
		named++
	}
	for _, s := range []string{f.person, f.credential} {
		if s != "" {
			named++
		}
	}
	switch {
	case named == 0:
		return "", usagef(hint, "cut needs a DEVICE, --person or --credential")
	case named > 1:
		return "", usagef(hint, "cut takes one of DEVICE, --person and --credential")
	case f.level == "":
		return "", usagef("seal can be lifted, purge is final", "cut needs --level seal or --level purge")
	case f.level != "seal" && f.level != "purge":
		return "", usagef("", "--level %q is neither seal nor purge", f.level)
	case strings.TrimSpace(f.reason) == "" && !f.dryRun:
		return "", usagef("it is kept as evidence", "cut needs --reason")
	case f.wait && f.dryRun:
		return "", usagef("", "--wait and --dry-run exclude each other")
	case cmd.Flags().Changed("timeout") && !f.wait:
		return "", usagef("", "--timeout is of use with --wait only")
	}
	return device, nil
}

func (c *cli) preview(ctx context.Context, device string, f cutFlags) error {
	return c.call(ctx, func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
		resp, err := admin.PreviewCut(ctx, &cutoffv1.PreviewCutRequest{
			Device: device, Person: f.person, Credential: f.credential, Level: f.level,
		})
		if err != nil {
			return err
		}
		if c.json {
			return c.document(plain(resp))
		}
		return c.showPreview(resp)
	})
}

func (c *cli) showPreview(p *cutoffv1.PreviewCutResponse) error {
	for _, d := range p.GetDevices() {
		from := "asked just now"
		if !d.GetLive() {
			from = "from its inventory of " + when(d.GetAsOf())
			if d.GetError() != "" {
				from += "; " + clean(d.GetError())
			}
		}
		if err := c.say("On %s (%s), %s:", dash(clean(d.GetHostname())), d.GetDeviceId(), from); err != nil {
			return err
		}
		if err := c.print(itemTable(d.GetItems()), "  nothing"); err != nil {
			return err
		}
		if err := c.say(""); err != nil {
			return err
		}
	}
	if err := c.say("In the clouds:"); err != nil {
		return err
	}
	t := table{head: []string{"CONNECTOR", "ACTION", "TARGET", "SCOPE", "UNDO", "LIVES UNTIL", "DETAIL"}}
	for _, s := range p.GetSteps() {
		t.add(text(s.GetConnector()), text(s.GetAction()), text(s.GetTarget()), text(s.GetScope()),
			text(s.GetUndo()), word(s.GetResidualUntil()), text(s.GetDetail()))
	}
	if err := c.print(t, "  nothing"); err != nil {
		return err
	}
	if p.GetHeld() != "" {
		return c.say("\nThe cut would be held: %s", clean(p.GetHeld()))
	}
	return c.say("\nNothing was changed.")
}

func (c *cli) open(ctx context.Context, device string, f cutFlags) error {
	var opened *cutoffv1.OpenCutResponse
	err := c.call(ctx, func(ctx context.Context, admin cutoffv1.AdminServiceClient) (err error) {
		opened, err = admin.OpenCut(ctx, &cutoffv1.OpenCutRequest{
			Device: device, Person: f.person, Credential: f.credential, Level: f.level, Reason: f.reason,
		})
		return err
	})
	if err != nil {
		return err
	}
	r := result{caseID: opened.GetCaseId(), cuts: opened.GetCuts(), several: device == ""}
	if !f.wait {
		return c.opened(r)
	}
	r.cuts, err = c.follow(ctx, r.cuts, f.timeout, cutOver)
	return c.finish(r, err, proved)
}

// opened reports a cut that nobody waits for.
func (c *cli) opened(r result) error {
	held := ""
	for _, cut := range r.cuts {
		if cut.GetState() == "held" {
			held = cut.GetHeldReason()
		}
	}
	if c.json {
		if err := c.document(r.document()); err != nil {
			return err
		}
	} else {
		for _, cut := range r.cuts {
			if err := c.say("Cut %s of %s is %s.", cut.GetCutId(), subjectOf(cut), cut.GetState()); err != nil {
				return err
			}
		}
	}
	if held != "" {
		return notf("the cut is held: %s; another operator lets it through: cutoff-server cut approve %s",
			clean(held), r.caseID)
	}
	return nil
}

// result is what cut, cut show and lift print: one cut, or the cuts of a case.
type result struct {
	caseID string
	cuts   []*cutoffv1.Cut
	// several is set where the answer is a case, however many cuts it has.
	several bool
}

func (r result) document() any {
	if !r.several && len(r.cuts) == 1 {
		return plain(r.cuts[0])
	}
	return object{{"case_id", r.caseID}, {"cuts", plainAll(r.cuts)}}
}

func (c *cli) cutListCommand() *cobra.Command {
	var state, device string
	list := &cobra.Command{
		Use: "list", Short: "list cuts, newest first", Args: exactly(),
		Example: "  cutoff-server cut list --state open --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.ListCuts(ctx, &cutoffv1.ListCutsRequest{State: state, Device: device})
				if err != nil {
					return err
				}
				if c.json {
					cuts := make([]object, 0, len(resp.GetCuts()))
					for _, cut := range resp.GetCuts() {
						cuts = append(cuts, plain(cut).without("items", "steps", "approvals"))
					}
					return c.document(object{{"cuts", cuts}})
				}
				t := table{head: []string{"CUT", "OF", "LEVEL", "STATE", "EXPOSURE", "OPENED", "BY", "REASON"}}
				for _, cut := range resp.GetCuts() {
					t.add(text(cut.GetCutId()), text(subjectOf(cut)), text(cut.GetLevel()), word(cut.GetState()),
						word(cut.GetExposure()), text(when(cut.GetOpenedAt())), text(cut.GetActor()), text(cut.GetReason()))
				}
				return c.print(t, "No cuts.")
			})
		},
	}
	list.Flags().StringVar(&state, "state", "", "only cuts in this state")
	list.Flags().StringVar(&device, "device", "", "only cuts of this device")
	return list
}

func (c *cli) cutShowCommand() *cobra.Command {
	return &cobra.Command{
		Use: "show CUT | CASE", Short: "show a cut, or all cuts of a case: items, steps, outcomes, exposure",
		Args: exactly("CUT or CASE (an id)"), Example: "  cutoff-server cut show cut_k3x9 --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.GetCut(ctx, &cutoffv1.GetCutRequest{Id: args[0]})
				if err != nil {
					return err
				}
				r := result{caseID: args[0], cuts: resp.GetCuts(), several: true}
				if resp.GetCut() != nil {
					r = result{caseID: resp.GetCut().GetCaseId(), cuts: []*cutoffv1.Cut{resp.GetCut()}}
				}
				return c.show(r)
			})
		},
	}
}

func (c *cli) verdictCommand(
	name, short string,
	do func(ctx context.Context, admin cutoffv1.AdminServiceClient, id, reason string) (*cutoffv1.Cut, error),
) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: name + " ID", Short: short, Args: exactly("ID (of a cut or a case)"),
		Example: "  cutoff-server cut " + name + " case_k3x9 --reason \"spoke with Alice\" --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				cut, err := do(ctx, admin, args[0], reason)
				if err != nil {
					return err
				}
				return c.done(plain(cut), "Cut %s of %s is %s.", cut.GetCutId(), subjectOf(cut), cut.GetState())
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return cmd
}

func (c *cli) liftCommand() *cobra.Command {
	var reason, request, out string
	var wait bool
	var timeout time.Duration
	lift := &cobra.Command{
		Use: "lift CUT", Short: "end a cut: sealed secrets come back, accounts are enabled again",
		Args: exactly("CUT (an id)"), Example: "  cutoff-server lift cut_k3x9 --reason found --wait --data /var/lib/cutoff\n" +
			"  cutoff-server lift cut_k3x9 --reason found --request laptop.request -o laptop.answer --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return usagef("it is kept as evidence", "lift needs --reason")
			}
			if cmd.Flags().Changed("timeout") && !wait {
				return usagef("", "--timeout is of use with --wait only")
			}
			if request != "" || out != "" {
				return c.liftByFile(cmd.Context(), args[0], reason, request, out)
			}
			var cut *cutoffv1.Cut
			err := c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.LiftCut(ctx, &cutoffv1.LiftCutRequest{CutId: args[0], Reason: reason})
				cut = resp.GetCut()
				return err
			})
			if err != nil {
				return err
			}
			if !wait {
				return c.done(plain(cut), "Cut %s of %s is %s.", cut.GetCutId(), subjectOf(cut), cut.GetState())
			}
			r := result{caseID: cut.GetCaseId(), cuts: []*cutoffv1.Cut{cut}}
			r.cuts, err = c.follow(cmd.Context(), r.cuts, timeout, liftOver)
			return c.finish(r, err, restored)
		},
	}
	lift.Flags().StringVar(&reason, "reason", "", "why, for the record")
	lift.Flags().BoolVar(&wait, "wait", false, "wait until every sealed item is back")
	lift.Flags().StringVar(&request, "request", "", "the `FILE` that a device without a network made: cutoff-agent status --challenge -o FILE")
	lift.Flags().StringVarP(&out, "out", "o", "", "write the answer for that device to `FILE`")
	spanFlag(lift, &timeout, "timeout", waitTime, "how long --wait waits")
	return lift
}

// subjectOf names what a cut is of.
func subjectOf(cut *cutoffv1.Cut) string {
	switch {
	case cut.GetHostname() != "":
		return clean(cut.GetHostname())
	case cut.GetDeviceId() != "":
		return cut.GetDeviceId()
	case cut.GetPersonId() != "":
		return cut.GetPersonId()
	default:
		return cut.GetCredentialId()
	}
}

// show prints cuts whole.
func (c *cli) show(r result) error {
	if c.json {
		return c.document(r.document())
	}
	for i, cut := range r.cuts {
		if i > 0 {
			if err := c.say(""); err != nil {
				return err
			}
		}
		if err := c.showCut(cut); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) showCut(cut *cutoffv1.Cut) error {
	rows := [][2]string{
		{"cut", cut.GetCutId()}, {"case", cut.GetCaseId()}, {"of", subjectOf(cut)}, {"level", cut.GetLevel()},
		{"state", cut.GetState()}, {"exposure", cut.GetExposure()}, {"reason", cut.GetReason()},
		{"cause", cut.GetCause() + " (" + cut.GetActor() + ")"}, {"opened", when(cut.GetOpenedAt())},
	}
	if cut.GetHeldReason() != "" {
		rows = append(rows, [2]string{"held", cut.GetHeldReason()})
	}
	if cut.GetDeviceId() != "" {
		rows = append(rows, [2]string{"order", cut.GetOrderState()}, [2]string{"delivered", when(cut.GetOrderDeliveredAt())},
			[2]string{"receipt", when(cut.GetReceiptAt())})
	}
	if cut.GetFirstRemovedMs() > 0 {
		rows = append(rows, [2]string{"first removed", fmt.Sprintf("after %d ms", cut.GetFirstRemovedMs())})
	}
	if cut.GetLiftReason() != "" {
		rows = append(rows, [2]string{"lifted because", cut.GetLiftReason()})
	}
	for _, a := range cut.GetApprovals() {
		rows = append(rows, [2]string{a.GetVerdict(), a.GetActor() + " at " + when(a.GetAt()) + " " + a.GetReason()})
	}
	if err := c.facts(rows...); err != nil {
		return err
	}
	if len(cut.GetItems()) > 0 {
		if err := c.section(itemTable(cut.GetItems())); err != nil {
			return err
		}
	}
	if len(cut.GetSteps()) > 0 {
		return c.section(stepTable(cut.GetSteps()))
	}
	return nil
}

func itemTable(items []*cutoffv1.CutItem) table {
	t := table{head: []string{"USER", "PRODUCT", "PATH", "ACTION", "OUTCOME", "DETAIL", "LIVES UNTIL"}}
	for _, i := range items {
		t.add(text(i.GetUser()), text(i.GetProduct()), text(i.GetPath()), text(i.GetAction()),
			word(i.GetOutcome()), text(i.GetDetail()), word(i.GetResidualUntil()))
	}
	return t
}

func stepTable(steps []*cutoffv1.CutStep) table {
	t := table{head: []string{"CONNECTOR", "ACTION", "TARGET", "OUTCOME", "PROOF", "LIVES UNTIL", "DETAIL"}}
	for _, s := range steps {
		t.add(text(s.GetConnector()), text(s.GetAction()), text(s.GetTarget()), word(s.GetOutcome()),
			text(s.GetProof()), word(s.GetResidualUntil()), text(s.GetDetail()))
	}
	return t
}
