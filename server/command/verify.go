package command

import (
	"crypto/ed25519"
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"cutoff/server/evidence"
)

// evidenceVerifyCommand needs no server and no database.
func (c *cli) evidenceVerifyCommand() *cobra.Command {
	var keyFile string
	verify := &cobra.Command{
		Use: "verify FILE", Short: "check an export offline: no server, no database", Args: exactly("FILE"),
		Long: "Check an export offline. With --key (what evidence key prints, got from the server itself and\n" +
			"not with the export) it proves that the server wrote it and that nothing was changed.",
		Example: "  cutoff-server evidence verify cut.evidence --key evidence.key",
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := c.readKey(keyFile)
			if err != nil {
				return err
			}
			export, err := readExport(args[0])
			if err != nil {
				return err
			}
			summary, err := evidence.Verify(export, key)
			return c.verified(args[0], summary, err)
		},
	}
	verify.Flags().StringVar(&keyFile, "key", "", "the server's evidence key, in `FILE`")
	return verify
}

func (c *cli) readKey(path string) (ed25519.PublicKey, error) {
	if path == "" {
		return nil, nil
	}
	text, err := c.readText(path)
	if err != nil {
		return nil, err
	}
	key, err := evidence.ParseKey(text)
	if err != nil {
		return nil, usagef("cutoff-server evidence key prints it", "%s is %s", path, err)
	}
	return key, nil
}

func readExport(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usagef("", "%s", cause(err))
	}
	defer func() { _ = f.Close() }()
	export, err := io.ReadAll(io.LimitReader(f, evidence.MaxExport+1))
	if err != nil {
		return nil, usagef("", "%s", cause(err))
	}
	return export, nil
}

// verified prints the verdict. What does not hold, or could be anybody's, is
// not a success.
func (c *cli) verified(path string, s evidence.Summary, problem error) error {
	text := ""
	if problem != nil {
		text = problem.Error()
	}
	if c.json {
		doc := object{{"ok", problem == nil}, {"problem", text}}
		if problem == nil || errors.Is(problem, evidence.ErrSelfConsistent) {
			doc = append(doc, object{
				{"trust_domain", s.TrustDomain}, {"cut_id", s.CutID}, {"case_id", s.CaseID}, {"key", s.Key},
				{"records", s.Records}, {"first", s.First}, {"last", s.Last}, {"orders", s.Orders},
				{"at", s.At.UTC().Format(time.RFC3339Nano)},
			}...)
		}
		if err := c.document(doc); err != nil {
			return err
		}
	}
	if problem != nil {
		return notf("%s: %s", path, text)
	}
	if c.json {
		return nil
	}
	return c.say("%s holds: %d records of cut %s by %s, signed at %s.",
		path, s.Records, s.CutID, s.TrustDomain, s.At.UTC().Format(time.RFC3339))
}
