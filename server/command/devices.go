package command

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

func (c *cli) tokenCommand() *cobra.Command {
	var intoGroup string
	var uses int
	var ttl time.Duration
	create := &cobra.Command{
		Use: "create", Short: "make an enrolment token; it is shown once", Args: exactly(),
		Example: "  cutoff-server token create --group laptops --uses 20 --ttl 8h --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if uses < 1 || uses > 1_000_000 {
				return usagef("", "--uses %d is not between 1 and 1000000", uses)
			}
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.CreateToken(ctx, &cutoffv1.CreateTokenRequest{
					Group: intoGroup, Uses: int32(uses), TtlMs: ttl.Milliseconds(),
				})
				if err != nil {
					return err
				}
				if c.json {
					return c.document(append(object{{"token", resp.GetToken()}}, plain(resp.GetInfo())...))
				}
				return c.say("%s", resp.GetToken())
			})
		},
	}
	create.Flags().StringVar(&intoGroup, "group", "default", "the group devices enrol into")
	create.Flags().IntVar(&uses, "uses", 1, "how many devices may enrol with it")
	spanFlag(create, &ttl, "ttl", time.Hour, "how long it can be used")
	list := &cobra.Command{
		Use: "list", Short: "list enrolment tokens, without their secrets", Args: exactly(),
		Example: "  cutoff-server token list --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.ListTokens(ctx, &cutoffv1.ListTokensRequest{})
				if err != nil {
					return err
				}
				if c.json {
					return c.document(plain(resp))
				}
				t := table{head: []string{"TOKEN", "GROUP", "USED", "STATE", "EXPIRES", "BY"}}
				for _, k := range resp.GetTokens() {
					t.add(text(k.GetTokenId()), text(k.GetGroup()), text(fmt.Sprintf("%d/%d", k.GetUsed(), k.GetUses())),
						word(k.GetState()), text(when(k.GetExpiresAt())), text(k.GetCreatedBy()))
				}
				return c.print(t, "No tokens. Make one: cutoff-server token create")
			})
		},
	}
	revoke := &cobra.Command{
		Use: "revoke TOKEN-ID", Short: "end a token; devices enrolled with it stay", Args: exactly("TOKEN-ID"),
		Example: "  cutoff-server token revoke tok_k3x9 --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				if _, err := admin.RevokeToken(ctx, &cutoffv1.RevokeTokenRequest{TokenId: args[0]}); err != nil {
					return err
				}
				return c.done(object{{"token_id", args[0]}, {"state", "revoked"}}, "Token %s is revoked.", args[0])
			})
		},
	}
	return group("token", "enrolment tokens", "  cutoff-server token create --ttl 1h --data /var/lib/cutoff",
		create, list, revoke)
}

// done reports a small success.
func (c *cli) done(doc object, format string, args ...any) error {
	if c.json {
		return c.document(doc)
	}
	return c.say(format, args...)
}

func (c *cli) deviceCommand() *cobra.Command {
	var inGroup string
	list := &cobra.Command{
		Use: "list", Short: "list devices", Args: exactly(),
		Example: "  cutoff-server device list --group laptops --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.ListDevices(ctx, &cutoffv1.ListDevicesRequest{Group: inGroup})
				if err != nil {
					return err
				}
				if c.json {
					devices := make([]object, 0, len(resp.GetDevices()))
					for _, d := range resp.GetDevices() {
						devices = append(devices, plain(d).without("posture", "posture_at", "credentials", "decision"))
					}
					return c.document(object{{"devices", devices}})
				}
				t := table{head: []string{"DEVICE", "HOSTNAME", "GROUP", "STATE", "LEVEL", "LAST CONTACT", "LEASE UNTIL", ""}}
				for _, d := range resp.GetDevices() {
					t.add(text(d.GetDeviceId()), text(d.GetHostname()), text(d.GetGroup()), word(d.GetState()),
						text(d.GetLevel()), text(when(d.GetLastContact())), text(when(d.GetLeaseUntil())), marks(d))
				}
				return c.print(t, "No devices. Enrol one: cutoff-server token create, then cutoff-agent enroll")
			})
		},
	}
	list.Flags().StringVar(&inGroup, "group", "", "only devices of this group")

	show := c.oneDevice("show DEVICE", "show a device: posture, inventory, lease",
		"  cutoff-server device show laptop-7 --data /var/lib/cutoff",
		func(ctx context.Context, admin cutoffv1.AdminServiceClient, name string) (*cutoffv1.Device, error) {
			resp, err := admin.GetDevice(ctx, &cutoffv1.GetDeviceRequest{Device: name})
			return resp.GetDevice(), err
		})

	var person, toGroup string
	assign := c.oneDevice("assign DEVICE", "give a device to a person, or move it to a group",
		"  cutoff-server device assign laptop-7 --person alice@example.com --data /var/lib/cutoff",
		func(ctx context.Context, admin cutoffv1.AdminServiceClient, name string) (*cutoffv1.Device, error) {
			if person == "" && toGroup == "" {
				return nil, usagef("", "device assign needs --person or --group")
			}
			resp, err := admin.AssignDevice(ctx, &cutoffv1.AssignDeviceRequest{Device: name, Person: person, Group: toGroup})
			return resp.GetDevice(), err
		})
	assign.Flags().StringVar(&person, "person", "", "the person's id or e-mail address")
	assign.Flags().StringVar(&toGroup, "group", "", "the group to move it to")

	retire := c.oneDevice("retire DEVICE", "take a device out of the fleet; a cut that stands goes on",
		"  cutoff-server device retire laptop-7 --data /var/lib/cutoff",
		func(ctx context.Context, admin cutoffv1.AdminServiceClient, name string) (*cutoffv1.Device, error) {
			resp, err := admin.RetireDevice(ctx, &cutoffv1.RetireDeviceRequest{Device: name})
			return resp.GetDevice(), err
		})
	var why string
	uninstall := c.oneDevice("uninstall DEVICE", "permit an orderly removal of a device's agent",
		"  cutoff-server device uninstall laptop-7 --reason 'replaced' --data /var/lib/cutoff",
		func(ctx context.Context, admin cutoffv1.AdminServiceClient, name string) (*cutoffv1.Device, error) {
			if why == "" {
				return nil, usagef("", "device uninstall needs --reason")
			}
			resp, err := admin.UninstallDevice(ctx, &cutoffv1.UninstallDeviceRequest{Device: name, Reason: why})
			return resp.GetDevice(), err
		})
	uninstall.Flags().StringVar(&why, "reason", "", "why it may go")
	decide := func(admit bool) func(context.Context, cutoffv1.AdminServiceClient, string) (*cutoffv1.Device, error) {
		return func(ctx context.Context, admin cutoffv1.AdminServiceClient, name string) (*cutoffv1.Device, error) {
			resp, err := admin.DecideDevice(ctx, &cutoffv1.DecideDeviceRequest{Device: name, Admit: admit})
			return resp.GetDevice(), err
		}
	}
	admit := c.oneDevice("admit DEVICE", "let a pending device in, or trust one again that has a fact such as clone",
		"  cutoff-server device admit dev_k3x9 --data /var/lib/cutoff", decide(true))
	turnAway := c.oneDevice("turn-away DEVICE", "turn a device away that waits for a person",
		"  cutoff-server device turn-away dev_k3x9 --data /var/lib/cutoff", decide(false))
	return group("device", "devices", "  cutoff-server device list --data /var/lib/cutoff",
		list, show, assign, retire, uninstall, admit, turnAway)
}

// oneDevice is a command about one device, which it prints at the end.
func (c *cli) oneDevice(
	use, short, example string,
	do func(context.Context, cutoffv1.AdminServiceClient, string) (*cutoffv1.Device, error),
) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: example, Args: exactly("DEVICE (an id or a unique hostname)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				d, err := do(ctx, admin, args[0])
				if err != nil {
					return err
				}
				if c.json {
					return c.document(plain(d))
				}
				return c.showDevice(d)
			})
		},
	}
}

func (c *cli) showDevice(d *cutoffv1.Device) error {
	err := c.facts([][2]string{
		{"device", d.GetDeviceId()},
		{"hostname", d.GetHostname()},
		{"system", d.GetOs()},
		{"agent", d.GetAgentVersion()},
		{"group", d.GetGroup()},
		{"person", d.GetPersonId()},
		{"state", d.GetState()},
		{"cut", strings.TrimSpace(d.GetCutId() + " " + d.GetLevel())},
		{"silent", silentWords(d)},
		{"facts", strings.Join(d.GetFacts(), ", ")},
		{"removal", d.GetRemoval()},
		{"to do", d.GetTodo()},
		{"last contact", when(d.GetLastContact()) + marks(d).suffix()},
		{"lease until", when(d.GetLeaseUntil())},
		{"enrolled", when(d.GetEnrolledAt())},
	}...)
	if err != nil {
		return err
	}
	if n := len(d.GetPosture()); n > 0 {
		t := table{head: []string{"FACT", "VALUE"}}
		for _, f := range d.GetPosture() {
			value := text(f.GetValue())
			if !f.GetKnown() {
				value = word("unknown (" + f.GetReason() + ")")
			}
			t.add(text(f.GetName()), value)
		}
		if err := c.section(t); err != nil {
			return err
		}
	}
	if d.GetDecision() != nil {
		t := table{head: []string{"RULE", "RESULT", "CONSEQUENCE", "WHY"}}
		for _, r := range d.GetDecision().GetRules() {
			result := cell{text: "failed", style: red}
			if r.GetPassed() {
				result = cell{text: "passed", style: green}
			}
			t.add(text(r.GetRule()), result, text(r.GetConsequence()), text(r.GetExplanation()))
		}
		if len(t.rows) > 0 {
			if err := c.section(t); err != nil {
				return err
			}
		}
	}
	if len(d.GetCredentials()) == 0 {
		return nil
	}
	return c.section(credentialTable(d.GetCredentials()))
}

// section prints a table after an empty line.
func (c *cli) section(t table) error {
	if err := c.say(""); err != nil {
		return err
	}
	return c.print(t, "")
}

// marks are what else a line about a device says.
func marks(d *cutoffv1.Device) cell {
	var words []string
	if d.GetConnected() {
		words = append(words, "connected")
	}
	if d.GetTrial() {
		words = append(words, "trial")
	}
	if d.GetSilence() != "" {
		words = append(words, "silent: "+d.GetSilence())
	}
	words = append(words, d.GetFacts()...)
	if d.GetTodo() != "" {
		words = append(words, "needs a person")
	}
	return cell{text: strings.Join(words, ", "), style: dim}
}

func (m cell) suffix() string {
	if m.text == "" {
		return ""
	}
	return " (" + m.text + ")"
}

func (c *cli) personCommand() *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "list people", Args: exactly(),
		Example: "  cutoff-server person list --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.ListPeople(ctx, &cutoffv1.ListPeopleRequest{})
				if err != nil {
					return err
				}
				if c.json {
					return c.document(plain(resp))
				}
				t := table{head: []string{"PERSON", "E-MAIL", "NAME", "ACCOUNTS", "DEVICES"}}
				for _, p := range resp.GetPeople() {
					t.add(text(p.GetPersonId()), text(p.GetEmail()), text(p.GetName()), text(accounts(p)),
						text(strings.Join(p.GetDeviceIds(), ", ")))
				}
				return c.print(t, "No people. Add one: cutoff-server person link alice@example.com --name Alice")
			})
		},
	}
	show := &cobra.Command{
		Use: "show PERSON", Short: "show a person", Args: exactly("PERSON (an id or an e-mail address)"),
		Example: "  cutoff-server person show alice@example.com --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.GetPerson(ctx, &cutoffv1.GetPersonRequest{Person: args[0]})
				if err != nil {
					return err
				}
				return c.showPerson(resp.GetPerson())
			})
		},
	}
	var name string
	var linked []string
	link := &cobra.Command{
		Use: "link E-MAIL", Short: "add a person, or accounts to one", Args: exactly("E-MAIL"),
		Example: "  cutoff-server person link alice@example.com --name Alice --account sso=alice --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &cutoffv1.LinkPersonRequest{Email: args[0], Name: name}
			for _, l := range linked {
				connector, account, ok := strings.Cut(l, "=")
				if !ok || connector == "" || account == "" {
					return usagef("it looks like --account sso=alice@example.com", "--account %q is not CONNECTOR=ACCOUNT", l)
				}
				req.Accounts = append(req.Accounts, &cutoffv1.Account{Connector: connector, Account: account})
			}
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.LinkPerson(ctx, req)
				if err != nil {
					return err
				}
				return c.showPerson(resp.GetPerson())
			})
		},
	}
	link.Flags().StringVar(&name, "name", "", "the person's name")
	link.Flags().StringArrayVar(&linked, "account", nil, "an account, `CONNECTOR=ACCOUNT`; may be repeated")
	return group("person", "people and their accounts", "  cutoff-server person list --data /var/lib/cutoff",
		list, show, link)
}

func accounts(p *cutoffv1.Person) string {
	list := make([]string, 0, len(p.GetAccounts()))
	for _, a := range p.GetAccounts() {
		list = append(list, a.GetConnector()+"="+a.GetAccount())
	}
	return strings.Join(list, ", ")
}

func (c *cli) showPerson(p *cutoffv1.Person) error {
	if c.json {
		return c.document(plain(p))
	}
	return c.facts([][2]string{
		{"person", p.GetPersonId()}, {"e-mail", p.GetEmail()}, {"name", p.GetName()},
		{"accounts", accounts(p)}, {"devices", strings.Join(p.GetDeviceIds(), ", ")},
	}...)
}
