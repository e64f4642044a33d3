package command

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

func (c *cli) catalogueCommand() *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "list what was added to the agents' catalogue, newest first", Args: exactly(),
		Example: "  cutoff-server catalogue list --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.ListCatalogue(ctx, &cutoffv1.ListCatalogueRequest{})
				if err != nil {
					return err
				}
				if c.json {
					return c.document(plain(resp))
				}
				t := table{head: []string{"CHANGE", "STATE", "VERSION", "PRODUCTS", "CANARY", "ASKED BY", "APPROVED BY", "PLANNED"}}
				for _, k := range resp.GetChanges() {
					t.add(text(k.GetChangeId()), word(k.GetState()), text(number(k.GetVersion())), text(strings.Join(k.GetProducts(), " ")),
						text(k.GetCanary()), text(k.GetAskedBy()), text(k.GetApprovedBy()),
						text(fmt.Sprintf("%d of %d", k.GetCanaryPlanned(), k.GetCanaryDevices())))
				}
				return c.print(t, "Nothing was added. Propose something: cutoff-server catalogue propose FILE --canary GROUP")
			})
		},
	}
	show := &cobra.Command{
		Use: "show CHANGE", Short: "show a change, its files and what it would take", Args: exactly("CHANGE"),
		Example: "  cutoff-server catalogue show cat_7k… --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.GetCatalogue(ctx, &cutoffv1.GetCatalogueRequest{ChangeId: args[0]})
				if err != nil {
					return err
				}
				return c.showChange(resp.GetChange(), true)
			})
		},
	}
	return group("catalogue", "what administrators add to the agents' catalogue",
		"  cutoff-server catalogue propose acme.yaml --canary pilots --data /var/lib/cutoff",
		c.catalogueProposeCommand(), c.catalogueCheckCommand(), list, show,
		c.changeCommand("count", "ask connected devices anew what a change would take; nothing is touched", "",
			func(ctx context.Context, admin cutoffv1.AdminServiceClient, id string) (*cutoffv1.CatalogueChange, error) {
				resp, err := admin.CountCatalogue(ctx, &cutoffv1.CountCatalogueRequest{ChangeId: id})
				return resp.GetChange(), err
			}),
		c.changeCommand("approve", "let a proposal out to its canary group; who asked for it cannot", "It is out to the canary group. When it has reported: cutoff-server catalogue promote %s",
			func(ctx context.Context, admin cutoffv1.AdminServiceClient, id string) (*cutoffv1.CatalogueChange, error) {
				resp, err := admin.ApproveCatalogue(ctx, &cutoffv1.ApproveCatalogueRequest{ChangeId: id})
				return resp.GetChange(), err
			}),
		c.changeCommand("promote", "let a change out to all groups, once its canary group has reported; who asked for it cannot", "",
			func(ctx context.Context, admin cutoffv1.AdminServiceClient, id string) (*cutoffv1.CatalogueChange, error) {
				resp, err := admin.PromoteCatalogue(ctx, &cutoffv1.PromoteCatalogueRequest{ChangeId: id})
				return resp.GetChange(), err
			}),
		c.changeCommand("withdraw", "take a change back, wherever it has got to; one person may", "",
			func(ctx context.Context, admin cutoffv1.AdminServiceClient, id string) (*cutoffv1.CatalogueChange, error) {
				resp, err := admin.WithdrawCatalogue(ctx, &cutoffv1.WithdrawCatalogueRequest{ChangeId: id})
				return resp.GetChange(), err
			}),
	)
}

// number is a count that is nothing at 0.
func number(n int64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

// changeCommand is a step of a change; hint, if set, says what comes next.
func (c *cli) changeCommand(
	name, short, hint string,
	do func(context.Context, cutoffv1.AdminServiceClient, string) (*cutoffv1.CatalogueChange, error),
) *cobra.Command {
	return &cobra.Command{
		Use: name + " CHANGE", Short: short, Args: exactly("CHANGE"),
		Example: "  cutoff-server catalogue " + name + " cat_7k… --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				change, err := do(ctx, admin, args[0])
				if err != nil {
					return err
				}
				if err := c.showChange(change, false); err != nil || hint == "" || c.json {
					return err
				}
				return c.say(hint, change.GetChangeId())
			})
		},
	}
}

const catalogueRules = `A product file is as those of the agents' own catalogue, with narrower rules: ids begin with
org-, every credential has a content test (only-if, contains or key), paths lie in the home (or are
absolute, written out and of a file that a user or service account owns, not root), no **, and the
last component is written out unless the format is listed.

  id: org-acme
  product: Acme CLI
  credentials:
    - id: org-acme-token
      what: The command line's token
      danger: 30                      # 1 goes first, 99 last
      paths: {linux: [~/.config/acme/token]}
      format: text
      contains: acme_pat_             # a file without it is left
      action: delete                  # or edit, with secrets: [path.to.key]
      regain: sign-in                 # what it costs the user to get it back; or none`

func (c *cli) catalogueProposeCommand() *cobra.Command {
	req := &cutoffv1.ProposeCatalogueRequest{}
	propose := &cobra.Command{
		Use: "propose FILE|DIR", Short: "propose product files; another person approves them", Args: exactly("FILE or DIR"),
		Long: "Propose product files. Connected devices are asked what a cut would take with them, and nothing else\n" +
			"happens until another person approves: first to the canary group, then, promoted, to all.\n\n" + catalogueRules,
		Example: "  cutoff-server catalogue propose acme.yaml --canary pilots --reason \"the new CLI\" --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if req.GetCanary() == "" {
				return usagef("the group that gets it first", "catalogue propose needs --canary")
			}
			if req.Files, err = c.productFiles(args[0]); err != nil {
				return err
			}
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.ProposeCatalogue(ctx, req)
				if err != nil {
					return err
				}
				if resp.GetChange() == nil {
					return c.fileProblems(resp)
				}
				if err := c.showChange(resp.GetChange(), false); err != nil || c.json {
					return err
				}
				return c.say("Another person approves it: cutoff-server catalogue approve %s", resp.GetChange().GetChangeId())
			})
		},
	}
	propose.Flags().StringVar(&req.Canary, "canary", "", "the `GROUP` that gets it first")
	propose.Flags().StringVar(&req.Reason, "reason", "", "why, for whoever approves it")
	return propose
}

func (c *cli) catalogueCheckCommand() *cobra.Command {
	return &cobra.Command{
		Use: "check FILE|DIR", Short: "say what is wrong with product files; nothing is proposed", Args: exactly("FILE or DIR"),
		Long:    "Say what is wrong with product files.\n\n" + catalogueRules,
		Example: "  cutoff-server catalogue check acme.yaml --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := c.productFiles(args[0])
			if err != nil {
				return err
			}
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.ProposeCatalogue(ctx, &cutoffv1.ProposeCatalogueRequest{Files: files, CheckOnly: true})
				if err != nil {
					return err
				}
				if len(resp.GetProblems()) > 0 {
					return c.fileProblems(resp)
				}
				return c.done(object{{"problems", plainAll(resp.GetProblems())}}, "%s is in order.", args[0])
			})
		},
	}
}

// productFiles reads one file, or every *.yaml of a folder, by their own names.
func (c *cli) productFiles(from string) ([]*cutoffv1.CatalogueFile, error) {
	names := []string{from}
	if info, err := os.Stat(from); err == nil && info.IsDir() {
		if names, err = filepath.Glob(filepath.Join(from, "*.yaml")); err != nil || len(names) == 0 {
			return nil, usagef("its product files end in .yaml", "%s has no product file", from)
		}
		slices.Sort(names)
	}
	files := make([]*cutoffv1.CatalogueFile, 0, len(names))
	for _, name := range names {
		yaml, err := c.readText(name)
		if err != nil {
			return nil, err
		}
		files = append(files, &cutoffv1.CatalogueFile{Name: filepath.Base(name), Yaml: yaml})
	}
	return files, nil
}

// fileProblems says what is wrong in which file.
func (c *cli) fileProblems(resp *cutoffv1.ProposeCatalogueResponse) error {
	if c.json {
		if err := c.document(object{{"problems", plainAll(resp.GetProblems())}}); err != nil {
			return err
		}
	}
	lines := make([]string, 0, len(resp.GetProblems()))
	for _, p := range resp.GetProblems() {
		lines = append(lines, fmt.Sprintf("%s:%d:%d: %s", clean(p.GetFile()), p.GetLine(), p.GetColumn(), clean(p.GetMessage())))
	}
	return &usageError{text: strings.Join(lines, "\n") + "\nnothing was changed"}
}

// showChange prints a change, with its files if they are asked for.
func (c *cli) showChange(k *cutoffv1.CatalogueChange, files bool) error {
	if c.json {
		return c.document(plain(k))
	}
	rows := [][2]string{
		{"change", k.GetChangeId()}, {"state", k.GetState()}, {"products", strings.Join(k.GetProducts(), " ")},
		{"version", number(k.GetVersion())}, {"canary group", k.GetCanary()}, {"reason", k.GetReason()},
		{"asked for", by(k.GetAskedBy(), when(k.GetAskedAt()))}, {"approved", by(k.GetApprovedBy(), when(k.GetApprovedAt()))},
		{"promoted", by(k.GetPromotedBy(), when(k.GetPromotedAt()))}, {"withdrawn", by(k.GetWithdrawnBy(), when(k.GetWithdrawnAt()))},
	}
	if n := k.GetCount(); n != nil {
		rows = append(rows, [2]string{"would take", fmt.Sprintf("%d items on %d devices; %d of %d devices answered, %s",
			n.GetItems(), n.GetMatching(), n.GetAnswered(), n.GetDevices(), when(n.GetAt()))})
		for _, p := range n.GetProblems() {
			rows = append(rows, [2]string{"a device said", p})
		}
	}
	if k.GetState() == "canary" || k.GetState() == "active" {
		rows = append(rows, [2]string{"canary reports", fmt.Sprintf("%d of %d devices planned with it: %d items on %d devices",
			k.GetCanaryPlanned(), k.GetCanaryDevices(), k.GetCanaryItems(), k.GetCanaryMatching())})
	}
	if err := c.facts(rows...); err != nil {
		return err
	}
	if !files {
		return nil
	}
	for _, f := range k.GetFiles() {
		if err := c.say("\n--- %s", clean(f.GetName())); err != nil {
			return err
		}
		for _, line := range strings.Split(strings.TrimRight(f.GetYaml(), "\n"), "\n") {
			if err := c.say("%s", clean(line)); err != nil {
				return err
			}
		}
	}
	return nil
}

// by is who did something and when, or nothing.
func by(who, at string) string {
	if who == "" {
		return ""
	}
	return who + ", " + at
}
