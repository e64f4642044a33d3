package command

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// maxFile bounds a policy, connector or secrets file.
const maxFile = 1 << 20

func (c *cli) policyCommand() *cobra.Command {
	check := &cobra.Command{
		Use: "check FILE", Short: "say what is wrong with a policy file; nothing is applied", Args: exactly("FILE"),
		Example: "  cutoff-server policy check policy.yaml --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			yaml, err := c.readText(args[0])
			if err != nil {
				return err
			}
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.CheckPolicy(ctx, &cutoffv1.CheckPolicyRequest{Yaml: yaml, FileName: args[0]})
				if err != nil {
					return err
				}
				return c.problems(args[0], resp.GetProblems(), plain(resp), "%s is in order.", args[0])
			})
		},
	}
	apply := &cobra.Command{
		Use: "apply FILE", Short: "put a policy file in force, unless anything is wrong with it", Args: exactly("FILE"),
		Example: "  cutoff-server policy apply policy.yaml --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			yaml, err := c.readText(args[0])
			if err != nil {
				return err
			}
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.ApplyPolicy(ctx, &cutoffv1.ApplyPolicyRequest{Yaml: yaml, FileName: args[0]})
				if err != nil {
					return err
				}
				return c.problems(args[0], resp.GetProblems(), plain(resp),
					"Policy version %d is in force.", resp.GetVersion())
			})
		},
	}
	return group("policy", "what posture leads to", "  cutoff-server policy check policy.yaml --data /var/lib/cutoff",
		check, apply)
}

// problems prints what is wrong with a file, or that all is well.
func (c *cli) problems(name string, problems []*cutoffv1.Problem, doc object, format string, args ...any) error {
	if len(problems) == 0 {
		return c.done(doc, format, args...)
	}
	if c.json {
		if err := c.document(doc); err != nil {
			return err
		}
	}
	lines := make([]string, 0, len(problems))
	for _, p := range problems {
		lines = append(lines, fmt.Sprintf("%s:%d:%d: %s", name, p.GetLine(), p.GetColumn(), clean(p.GetMessage())))
	}
	return &usageError{text: strings.Join(lines, "\n") + "\nnothing was changed"}
}

func (c *cli) connectorCommand() *cobra.Command {
	list := &cobra.Command{
		Use: "list", Short: "list connectors and how they do", Args: exactly(),
		Example: "  cutoff-server connector list --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.ListConnectors(ctx, &cutoffv1.ListConnectorsRequest{})
				if err != nil {
					return err
				}
				if c.json {
					return c.document(plain(resp))
				}
				t := table{head: []string{"CONNECTOR", "KIND", "PRODUCT", "HEALTH", "LAST USED", "DETAIL"}}
				for _, k := range resp.GetConnectors() {
					t.add(text(k.GetName()), text(k.GetKind()), text(k.GetProduct()), word(k.GetHealth()),
						text(when(k.GetLastUsed())), text(k.GetHealthDetail()))
				}
				return c.print(t, "No connectors. Add one: cutoff-server connector add sso --kind oidc --file sso.yaml")
			})
		},
	}
	test := &cobra.Command{
		Use: "test NAME", Short: "ask a provider whether it would do what a cut needs; changes nothing",
		Args: exactly("NAME"), Example: "  cutoff-server connector test sso --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.TestConnector(ctx, &cutoffv1.TestConnectorRequest{Name: args[0]})
				if err != nil {
					return err
				}
				return c.showTest(args[0], resp)
			})
		},
	}
	remove := &cobra.Command{
		Use: "remove NAME", Short: "remove a connector and its secrets", Args: exactly("NAME"),
		Example: "  cutoff-server connector remove sso --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				if _, err := admin.RemoveConnector(ctx, &cutoffv1.RemoveConnectorRequest{Name: args[0]}); err != nil {
					return err
				}
				return c.done(object{{"name", args[0]}, {"removed", true}}, "Connector %s is removed.", args[0])
			})
		},
	}
	return group("connector", "identity providers and what else can revoke access",
		"  cutoff-server connector list --data /var/lib/cutoff",
		c.connectorAddCommand(), list, test, c.connectorCheckCommand(), remove)
}

func (c *cli) showTest(name string, resp *cutoffv1.TestConnectorResponse) error {
	failed := 0
	for _, k := range resp.GetChecks() {
		if !k.GetOk() {
			failed++
		}
	}
	if c.json {
		if err := c.document(plain(resp)); err != nil {
			return err
		}
	} else {
		t := table{head: []string{"CHECK", "RESULT", "DETAIL"}}
		for _, k := range resp.GetChecks() {
			result := cell{text: "failed", style: red}
			if k.GetOk() {
				result = cell{text: "ok", style: green}
			}
			t.add(text(k.GetName()), result, text(k.GetDetail()))
		}
		if err := c.print(t, "Nothing to check."); err != nil {
			return err
		}
	}
	if failed > 0 {
		return notf("connector %s: %d of %d checks did not pass", name, failed, len(resp.GetChecks()))
	}
	return nil
}

func (c *cli) connectorAddCommand() *cobra.Command {
	var kind, file, secretsFile string
	add := &cobra.Command{
		Use: "add NAME", Short: "configure a connector, unless anything is wrong with its file", Args: exactly("NAME"),
		Long: "Configure a connector from its YAML file. Its secrets are read from --secrets-file (or - for\n" +
			"standard input), one NAME=VALUE a line (a key in PEM goes on to its END line), and stored\n" +
			"encrypted; they never belong in the YAML file. An unknown --kind is answered with those there are.",
		Example: "  cutoff-server connector add sso --kind oidc --file sso.yaml --secrets-file sso.secrets --data /var/lib/cutoff\n" +
			"  { printf signing_key=; cat signing_key; } | \\\n" +
			"    cutoff-server connector add hosts --kind ssh-krl --file hosts.yaml --secrets-file - --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			if kind == "" || file == "" {
				return usagef("see "+cmd.CommandPath()+" --help", "connector add needs --kind and --file")
			}
			config, err := c.readText(file)
			if err != nil {
				return err
			}
			secrets, err := c.readSecrets(secretsFile)
			if err != nil {
				return err
			}
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.AddConnector(ctx, &cutoffv1.AddConnectorRequest{
					Name: args[0], Kind: kind, Config: config, Secrets: secrets, FileName: file,
				})
				if err != nil {
					return err
				}
				if resp.GetConnector() == nil {
					return c.problems(file, resp.GetProblems(), object{{"problems", plainAll(resp.GetProblems())}}, "")
				}
				return c.done(plain(resp.GetConnector()),
					"Connector %s (%s) is added. See whether it works: cutoff-server connector test %s",
					args[0], resp.GetConnector().GetProduct(), args[0])
			})
		},
	}
	add.Flags().StringVar(&kind, "kind", "", "the `KIND`: http for any HTTP API, oidc, ssh-krl …")
	add.Flags().StringVar(&file, "file", "", "the connector's YAML `FILE`")
	add.Flags().StringVar(&secretsFile, "secrets-file", "", "read NAME=VALUE lines from `FILE`, or - for standard input")
	return add
}

func (c *cli) connectorCheckCommand() *cobra.Command {
	var kind string
	check := &cobra.Command{
		Use: "check FILE", Short: "say what is wrong with a connector file; nothing is added", Args: exactly("FILE"),
		Example: "  cutoff-server connector check sso.yaml --kind oidc --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			if kind == "" {
				return usagef("http, oidc, ssh-krl …", "connector check needs --kind")
			}
			config, err := c.readText(args[0])
			if err != nil {
				return err
			}
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.CheckConnector(ctx, &cutoffv1.CheckConnectorRequest{
					Config: config, Kind: kind, FileName: args[0],
				})
				if err != nil {
					return err
				}
				return c.problems(args[0], resp.GetProblems(), plain(resp), "%s is in order.", args[0])
			})
		},
	}
	check.Flags().StringVar(&kind, "kind", "", "the `KIND`: http for any HTTP API, oidc, ssh-krl …")
	return check
}

func (c *cli) credentialCommand() *cobra.Command {
	var device, person string
	list := &cobra.Command{
		Use: "list", Short: "list credentials: found on devices, and held by the server", Args: exactly(),
		Example: "  cutoff-server credential list --device laptop-7 --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if device != "" && person != "" {
				return usagef("", "--device and --person exclude each other")
			}
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.ListCredentials(ctx, &cutoffv1.ListCredentialsRequest{Device: device, Person: person})
				if err != nil {
					return err
				}
				if c.json {
					return c.document(plain(resp))
				}
				return c.print(credentialTable(resp.GetCredentials()), "No credentials.")
			})
		},
	}
	list.Flags().StringVar(&device, "device", "", "only those of this device")
	list.Flags().StringVar(&person, "person", "", "only those of this person and his devices")
	return group("credential", "what gives access", "  cutoff-server credential list --data /var/lib/cutoff",
		c.credentialAddCommand(), list)
}

func (c *cli) credentialAddCommand() *cobra.Command {
	var req cutoffv1.AddCredentialRequest
	var tokenFile, expires string
	add := &cobra.Command{
		Use: "add", Short: "hand in a token, so that the server can revoke it", Args: exactly(),
		Long: "Hand in a token that the server itself holds, so that it can revoke it. The token is read from\n" +
			"--token-file, or - for standard input, and stored encrypted; it is never answered back.",
		Example: "  cutoff-server credential add --connector sso --person alice@example.com --type refresh_token --token-file - --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case req.GetConnector() == "":
				return usagef("", "credential add needs --connector")
			case req.GetPerson() == "" && req.GetDevice() == "":
				return usagef("", "credential add needs --person, --device or both")
			case expires != "":
				at, err := time.Parse(time.RFC3339, expires)
				if err != nil {
					return usagef("it looks like 2027-01-31T00:00:00Z", "--expires %q is not a time", expires)
				}
				req.ExpiresAt = timestamppb.New(at)
			}
			token, err := c.readSecret(tokenFile, "--token-file", "Token: ")
			if err != nil {
				return err
			}
			req.Token = token
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.AddCredential(ctx, &req)
				if err != nil {
					return err
				}
				return c.done(plain(resp.GetCredential()), "Credential %s is held.", resp.GetCredential().GetCredentialId())
			})
		},
	}
	f := add.Flags()
	f.StringVar(&req.Connector, "connector", "", "the connector that can revoke it")
	f.StringVar(&req.Person, "person", "", "whose it is (id or e-mail address)")
	f.StringVar(&req.Device, "device", "", "the device it is of (id or unique hostname)")
	f.StringVar(&req.TokenType, "type", "refresh_token", "refresh_token or access_token")
	f.StringVar(&req.Label, "label", "", "what to call it")
	f.StringVar(&expires, "expires", "", "when it expires (RFC 3339), if that is known")
	f.StringVar(&tokenFile, "token-file", "", "read the token from `FILE`, or - for standard input")
	return add
}

func credentialTable(all []*cutoffv1.Credential) table {
	t := table{head: []string{"CREDENTIAL", "PRODUCT", "USER", "PATH", "CONNECTOR", "IDENTIFIERS", "HELD", "EXPIRES"}}
	for _, k := range all {
		ids := make([]string, 0, len(k.GetIdentifiers()))
		for _, i := range k.GetIdentifiers() {
			ids = append(ids, i.GetKind()+"="+i.GetValue())
		}
		slices.Sort(ids)
		expires := "-"
		if k.GetExpiresAt() != nil {
			expires = when(k.GetExpiresAt())
		}
		t.add(text(k.GetCredentialId()), text(k.GetProduct()), text(k.GetUser()), text(k.GetPath()),
			text(k.GetConnector()), text(strings.Join(ids, " ")), text(yes(k.GetHeld())), text(expires))
	}
	return t
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

func (c *cli) userCommand() *cobra.Command {
	var role, passwordFile string
	create := &cobra.Command{
		Use: "create NAME", Short: "make an operator's account", Args: exactly("NAME"),
		Long: "Make an operator's account. The password is asked for without echo, or read from\n" +
			"--password-file (or - for standard input).",
		Example: "  cutoff-server user create alice --role operator --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := c.readSecret(passwordFile, "--password-file", "Password for "+clean(args[0])+": ")
			if err != nil {
				return err
			}
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.CreateUser(ctx, &cutoffv1.CreateUserRequest{Name: args[0], Password: password, Role: role})
				if err != nil {
					return err
				}
				return c.done(plain(resp.GetUser()), "Account %s (%s) is made.", args[0], role)
			})
		},
	}
	create.Flags().StringVar(&role, "role", "viewer", "admin, operator or viewer")
	create.Flags().StringVar(&passwordFile, "password-file", "", "read the password from `FILE`, or - for standard input")
	list := &cobra.Command{
		Use: "list", Short: "list operators' accounts", Args: exactly(), Example: "  cutoff-server user list --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.ListUsers(ctx, &cutoffv1.ListUsersRequest{})
				if err != nil {
					return err
				}
				if c.json {
					return c.document(plain(resp))
				}
				t := table{head: []string{"NAME", "ROLE", "MADE", "LAST LOGIN"}}
				for _, u := range resp.GetUsers() {
					t.add(text(u.GetName()), text(u.GetRole()), text(when(u.GetCreatedAt())), text(when(u.GetLastLogin())))
				}
				return c.print(t, "No accounts. Make the first: cutoff-server user create NAME --role admin")
			})
		},
	}
	remove := &cobra.Command{
		Use: "remove NAME", Short: "remove an account, its sessions and the API keys it made", Args: exactly("NAME"),
		Example: "  cutoff-server user remove alice --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				if _, err := admin.RemoveUser(ctx, &cutoffv1.RemoveUserRequest{Name: args[0]}); err != nil {
					return err
				}
				return c.done(object{{"name", args[0]}, {"removed", true}}, "Account %s is removed.", args[0])
			})
		},
	}
	return group("user", "operators' accounts", "  cutoff-server user create alice --role operator --data /var/lib/cutoff",
		create, list, remove)
}

func (c *cli) apiKeyCommand() *cobra.Command {
	var role string
	var ttl time.Duration
	create := &cobra.Command{
		Use: "create NAME", Short: "make an API key; it is shown once", Args: exactly("NAME"),
		Example: "  cutoff-server api-key create ci --role operator --ttl 30d --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.CreateAPIKey(ctx, &cutoffv1.CreateAPIKeyRequest{
					Name: args[0], Role: role, TtlMs: ttl.Milliseconds(),
				})
				if err != nil {
					return err
				}
				if c.json {
					return c.document(plain(resp))
				}
				return c.say("%s", resp.GetApiKey())
			})
		},
	}
	create.Flags().StringVar(&role, "role", "viewer", "admin, operator or viewer")
	spanFlag(create, &ttl, "ttl", 90*24*time.Hour, "how long it holds")
	return group("api-key", "keys for integrations and --server", "  cutoff-server api-key create ci --role viewer --data /var/lib/cutoff",
		create, c.apiKeyListCommand(), c.apiKeyRevokeCommand())
}

func (c *cli) apiKeyListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "list API keys, without their secrets", Args: exactly(),
		Example: "  cutoff-server api-key list --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.ListAPIKeys(ctx, &cutoffv1.ListAPIKeysRequest{})
				if err != nil {
					return err
				}
				if c.json {
					return c.document(plain(resp))
				}
				t := table{head: []string{"ID", "NAME", "ROLE", "MADE BY", "MADE", "EXPIRES"}}
				for _, k := range resp.GetApiKeys() {
					t.add(text(k.GetId()), text(k.GetName()), text(k.GetRole()), text(k.GetCreatedBy()),
						text(when(k.GetCreatedAt())), text(when(k.GetExpiresAt())))
				}
				return c.print(t, "No API keys.")
			})
		},
	}
}

func (c *cli) apiKeyRevokeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "revoke NAME|ID", Short: "end an API key at once", Args: exactly("NAME or ID"),
		Example: "  cutoff-server api-key revoke ci --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.RevokeAPIKey(ctx, &cutoffv1.RevokeAPIKeyRequest{Name: args[0]})
				if err != nil {
					return err
				}
				return c.done(plain(resp.GetApiKey()), "API key %s is revoked.", resp.GetApiKey().GetName())
			})
		},
	}
}

func (c *cli) evidenceCommand() *cobra.Command {
	key := &cobra.Command{
		Use: "key", Short: "print the key that evidence verify --key reads", Args: exactly(),
		Example: "  cutoff-server evidence key --data /var/lib/cutoff > evidence.key",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.GetEvidenceKey(ctx, &cutoffv1.GetEvidenceKeyRequest{})
				if err != nil {
					return err
				}
				if c.json {
					return c.document(plain(resp))
				}
				return c.say("%s", strings.TrimSuffix(resp.GetKey(), "\n"))
			})
		},
	}
	check := &cobra.Command{
		Use: "check", Short: "walk the whole evidence log in the database", Args: exactly(),
		Example: "  cutoff-server evidence check --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.connected(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.CheckEvidence(ctx, &cutoffv1.CheckEvidenceRequest{})
				if err != nil {
					return err
				}
				if !resp.GetOk() {
					if c.json {
						if err := c.document(plain(resp)); err != nil {
							return err
						}
					}
					return notf("the evidence does not hold: %s", clean(resp.GetProblem()))
				}
				return c.done(plain(resp), "%s records, all whole and in their order.", strconv.FormatInt(resp.GetRecords(), 10))
			})
		},
	}
	return group("evidence", "what happened, provably", "  cutoff-server evidence export cut_k3x9 -o cut.evidence --data /var/lib/cutoff",
		key, c.evidenceExportCommand(), c.evidenceVerifyCommand(), check)
}

func (c *cli) evidenceExportCommand() *cobra.Command {
	var out string
	export := &cobra.Command{
		Use: "export CUT", Short: "write a cut's evidence to a file", Args: exactly("CUT (an id)"),
		Example: "  cutoff-server evidence export cut_k3x9 -o cut.evidence --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return usagef("", "evidence export needs -o FILE")
			}
			return c.connected(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.ExportEvidence(ctx, &cutoffv1.ExportEvidenceRequest{CutId: args[0]})
				if err != nil {
					return err
				}
				if err := writeWhole(out, resp.GetExport()); err != nil {
					return notf("write the export: %s", cause(err))
				}
				return c.done(object{{"cut_id", args[0]}, {"file", out}, {"bytes", len(resp.GetExport())}},
					"Wrote %s (%d bytes). Anyone can check it: cutoff-server evidence verify %s --key KEY",
					out, len(resp.GetExport()), out)
			})
		},
	}
	export.Flags().StringVarP(&out, "out", "o", "", "write to `FILE`")
	return export
}

// writeWhole writes a file so that it is there whole or not at all.
func writeWhole(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".cutoff-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	if _, err := f.Write(data); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Sync(); err != nil {
		_ = f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
