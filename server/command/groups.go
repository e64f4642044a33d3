package command

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// spanValue is a flag that takes what time.ParseDuration takes, and days: 36h,
// 90s, 14d.
type spanValue struct{ to *time.Duration }

// spanFlag adds such a flag.
func spanFlag(cmd *cobra.Command, to *time.Duration, name string, value time.Duration, usage string) {
	*to = value
	cmd.Flags().Var(spanValue{to}, name, usage)
}

// String is pflag.Value.
func (v spanValue) String() string {
	if v.to == nil || *v.to == 0 {
		return ""
	}
	return span(v.to.Milliseconds())
}

// Type is pflag.Value.
func (spanValue) Type() string { return "duration" }

// Set is pflag.Value.
func (v spanValue) Set(s string) error {
	d, err := parseSpan(s)
	if err != nil {
		return err
	}
	*v.to = d
	return nil
}

func parseSpan(s string) (time.Duration, error) {
	if n := len(s); n > 1 && s[n-1] == 'd' {
		days, err := strconv.ParseUint(s[:n-1], 10, 16)
		if err == nil {
			return time.Duration(days) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, usagef("", "%q is not a duration such as 90s, 48h or 14d", s)
	}
	return d, nil
}

func (c *cli) groupCommand() *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "list groups and their deadlines", Args: exactly(),
		Example: "  cutoff-server group list --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.ListGroups(ctx, &cutoffv1.ListGroupsRequest{})
				if err != nil {
					return err
				}
				if c.json {
					return c.document(plain(resp))
				}
				t := table{head: []string{"GROUP", "DEVICES", "WARN", "SEAL", "PURGE", "RENEW", "REPORT", "AT EXPIRY", "STOPPED", "COMES BACK", "APPROVALS", "A CUT TAKES"}}
				for _, g := range resp.GetGroups() {
					t.add(text(g.GetGroup()), text(strconv.Itoa(int(g.GetDevices()))), text(span(g.GetWarnMs())),
						text(span(g.GetSealMs())), text(span(g.GetPurgeMs())), text(span(g.GetRenewMs())),
						text(span(g.GetReportMs())), text(g.GetAtExpiry()), text(span(g.GetStoppedMs())), text(comesBack(g)), text(strconv.Itoa(int(g.GetApprovals()))), text(takes(g)))
				}
				return c.print(t, "No groups.")
			})
		},
	}
	return group("group", "groups and their deadlines", "  cutoff-server group list --data /var/lib/cutoff",
		list, c.groupSetCommand())
}

// takes says how far a cut of the group goes.
func takes(g *cutoffv1.Group) string {
	what := "the catalogue"
	if g.GetKeyring() == "everything" {
		what += ", every keyring item"
	}
	for _, part := range []struct {
		name string
		list []string
	}{{"accounts", g.GetAccounts()}, {"policies", g.GetPolicies()}, {"searches", g.GetWorkTrees()}} {
		if len(part.list) > 0 {
			what += "; " + part.name + " " + strings.Join(part.list, " ")
		}
	}
	if g.GetEnrich() {
		what += "; enriched"
	}
	if g.GetCatalogueVersion() > 0 {
		what += fmt.Sprintf(" (version %d)", g.GetCatalogueVersion())
	}
	return what
}

// choiceFlags are a group's choices on the command line. A list flag given
// empty ("--policy=") clears the list.
type choiceFlags struct {
	keyring                   string
	accounts, policies, trees []string
	enrich, wider             bool
}

func (f *choiceFlags) add(set *cobra.Command) {
	set.Flags().StringVar(&f.keyring, "keyring", "", "which keyring items a cut takes: catalogue, or everything on a company-owned device")
	set.Flags().StringSliceVar(&f.accounts, "account", nil, "the company's `DOMAIN`s: keyring items of accounts there go too; \"\" clears")
	set.Flags().StringSliceVar(&f.policies, "policy", nil, "allow what destroys data for good: gnupg, data-keys, backup-keys, vaults, system-agents, network, offline-data; \"\" clears")
	set.Flags().BoolVar(&f.enrich, "enrich", false, "ask tools' own providers for non-secret identifiers")
	set.Flags().StringSliceVar(&f.trees, "work-tree", nil, "`FOLDER`s to search for secrets in text, such as ~/src; \"\" clears")
	set.Flags().BoolVar(&f.wider, "wider", false, "yes, cuts shall take more than they would now")
}

// fill sets what was named.
func (f *choiceFlags) fill(set *cobra.Command, req *cutoffv1.SetGroupRequest) {
	if set.Flags().Changed("keyring") {
		req.Keyring = &f.keyring
	}
	if set.Flags().Changed("enrich") {
		req.Enrich = &f.enrich
	}
	for _, list := range []struct {
		name string
		from []string
		to   **cutoffv1.Texts
	}{{"account", f.accounts, &req.Accounts}, {"policy", f.policies, &req.Policies}, {"work-tree", f.trees, &req.WorkTrees}} {
		if set.Flags().Changed(list.name) {
			values := slices.DeleteFunc(list.from, func(s string) bool { return s == "" })
			*list.to = &cutoffv1.Texts{Values: values}
		}
	}
	req.Wider = f.wider
}

func (c *cli) groupSetCommand() *cobra.Command {
	var choices choiceFlags
	var silence silenceFlags
	var warn, seal, purge, renew, report time.Duration
	var atExpiry string
	var approvals int
	set := &cobra.Command{
		Use: "set GROUP", Short: "make a group, or change its deadlines; what is not named stays", Args: exactly("GROUP"),
		Example: "  cutoff-server group set laptops --warn 24h --seal 48h --purge 30d --data /var/lib/cutoff\n" +
			"  cutoff-server group set admins --privileged --help-line 'Call IT: 555 0100' --data /var/lib/cutoff\n" +
			"  cutoff-server group set owned --keyring everything --account example.com --policy gnupg --wider --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &cutoffv1.SetGroupRequest{Group: args[0]}
			for _, f := range []struct {
				name string
				from time.Duration
				to   **int64
			}{
				{"warn", warn, &req.WarnMs}, {"seal", seal, &req.SealMs}, {"purge", purge, &req.PurgeMs},
				{"renew", renew, &req.RenewMs}, {"report", report, &req.ReportMs},
			} {
				if cmd.Flags().Changed(f.name) {
					ms := f.from.Milliseconds()
					*f.to = &ms
				}
			}
			if cmd.Flags().Changed("at-expiry") {
				req.AtExpiry = &atExpiry
			}
			if cmd.Flags().Changed("approvals") {
				n := int32(max(-1, min(approvals, 1000)))
				req.Approvals = &n
			}
			choices.fill(cmd, req)
			silence.fill(cmd, req)
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.SetGroup(ctx, req)
				if err != nil {
					return err
				}
				g := resp.GetGroup()
				return c.done(plain(g), "Group %s: warn %s, seal %s, purge %s, renew %s, stopped %s, comes back %s, approvals %d. A cut takes %s.", g.GetGroup(),
					span(g.GetWarnMs()), span(g.GetSealMs()), span(g.GetPurgeMs()), span(g.GetRenewMs()),
					span(g.GetStoppedMs()), comesBack(g), g.GetApprovals(), takes(g))
			})
		},
	}
	choices.add(set)
	silence.add(set)
	spanFlag(set, &warn, "warn", 0, "warn a device without contact after this long")
	spanFlag(set, &seal, "seal", 0, "a device without contact seals itself after this long")
	spanFlag(set, &purge, "purge", 0, "the server purges a device without contact after this long")
	spanFlag(set, &renew, "renew", 0, "how often a device renews its lease")
	spanFlag(set, &report, "report", 0, "how often a device reports its posture")
	set.Flags().StringVar(&atExpiry, "at-expiry", "", "what a device does at its lease's end: seal or purge")
	set.Flags().IntVar(&approvals, "approvals", 0, "how many people must agree to a cut a person asked for")
	return set
}
