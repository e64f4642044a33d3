package command

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// extendTime is what an extension adds unless --for says otherwise.
const extendTime = 48 * time.Hour

func (c *cli) leaseCommand() *cobra.Command {
	return group("lease", "more time for devices that cannot reach the server", "  cutoff-server lease extend laptop-7 --for 48h --data /var/lib/cutoff",
		c.leaseExtendCommand(), c.leaseExportCommand())
}

func (c *cli) leaseExtendCommand() *cobra.Command {
	var add time.Duration
	var out, reason string
	extend := &cobra.Command{
		Use: "extend DEVICE", Short: "give one device more time: a code to read over the phone, or a file for longer", Args: exactly("DEVICE"),
		Long: "Give a device that cannot reach the server more time before it seals itself. Without -o it answers a\n" +
			"one-time code (24h or 48h) for the device's user, who types: cutoff-agent extend CODE. With -o FILE it\n" +
			"writes a signed file for that device: cutoff-agent extend FILE.\n" +
			"A device that is sealed, cut or past its lease gets none: lift its cut instead.",
		Example: "  cutoff-server lease extend laptop-7 --for 48h --data /var/lib/cutoff\n" +
			"  cutoff-server lease extend laptop-7 --for 14d -o laptop-7.extension --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.call(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				resp, err := admin.ExtendLease(ctx, &cutoffv1.ExtendLeaseRequest{
					Device: args[0], ForMs: add.Milliseconds(), File: out != "", Reason: reason,
				})
				if err != nil {
					return err
				}
				if out != "" {
					if err := writeWhole(out, resp.GetFile()); err != nil {
						return notf("write the extension: %s", cause(err))
					}
				}
				return c.extended(resp, out)
			})
		},
	}
	spanFlag(extend, &add, "for", extendTime, "how much longer")
	extend.Flags().StringVarP(&out, "out", "o", "", "write a signed `FILE` instead of answering a code")
	extend.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return extend
}

func (c *cli) extended(resp *cutoffv1.ExtendLeaseResponse, out string) error {
	if c.json {
		return c.document(append(plain(resp).without("file"), field{"file", out}))
	}
	if err := c.say("%s (%s) may go on %s longer, at most until %s.", dash(clean(resp.GetHostname())), resp.GetDeviceId(),
		span(resp.GetForMs()), when(resp.GetGrantedUntil())); err != nil {
		return err
	}
	if out != "" {
		return c.say("On the device, as its administrator: cutoff-agent extend FILE, with the file %s.", out)
	}
	return c.say("Code:  %s\nOn the device, as its administrator: cutoff-agent extend %s", resp.GetCode(), resp.GetCode())
}

func (c *cli) leaseExportCommand() *cobra.Command {
	var add time.Duration
	var inGroup, out, reason string
	export := &cobra.Command{
		Use: "export --group G -o DIR", Short: "write extensions for a group, as files for any web server", Args: exactly(),
		Long: "Write one signed file for each device of the group that is in good standing (not warned, silent or\n" +
			"cut). Put the files on the web servers that config.yaml names under agents.mirrors: agents that do not\n" +
			"reach this server fetch their own. A file ends so long after the device's lease, counts once, and is of\n" +
			"no use to any other device. Until then the server does not call these devices silent.",
		Example: "  cutoff-server lease export --group default --for 48h -o /srv/www/leases --data /var/lib/cutoff",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if inGroup == "" || out == "" {
				return usagef("see "+cmd.CommandPath()+" --help", "lease export needs --group G and -o DIR")
			}
			if err := os.MkdirAll(out, 0o755); err != nil { //nolint:gosec // a web server reads it; each file is of use to one device
				return notf("%s", err)
			}
			return c.connected(cmd.Context(), func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
				return c.export(ctx, admin, &cutoffv1.ExportLeasesRequest{Group: inGroup, ForMs: add.Milliseconds(), Reason: reason}, out)
			})
		},
	}
	spanFlag(export, &add, "for", extendTime, "how much longer")
	export.Flags().StringVar(&inGroup, "group", "", "the `GROUP` whose devices get one")
	export.Flags().StringVarP(&out, "out", "o", "", "the `DIR` to write to")
	export.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return export
}

func (c *cli) export(
	ctx context.Context, admin cutoffv1.AdminServiceClient, req *cutoffv1.ExportLeasesRequest, dir string,
) error {
	stream, err := admin.ExportLeases(ctx, req)
	if err != nil {
		return err
	}
	written, leftOut := 0, int32(0)
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		for _, f := range part.GetFiles() {
			if strings.ContainsFunc(f.GetName(), func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') }) {
				return notf("the server named a file %q", f.GetName())
			}
			if err := replace(filepath.Join(dir, f.GetName()), f.GetFile()); err != nil {
				return err
			}
			written++
		}
		leftOut += part.GetLeftOut()
	}
	return c.done(object{{"group", req.GetGroup()}, {"for_ms", req.GetForMs()}, {"files", written}, {"left_out", int(leftOut)}, {"dir", dir}},
		"%d files for %s written to %s; %d devices get none (warned, silent, cut or not trusted).",
		written, span(req.GetForMs()), dir, leftOut)
}

// replace writes a file that a web server may be reading: it has the old or the
// new one.
func replace(path string, raw []byte) error {
	next := path + ".new"
	err := os.WriteFile(next, raw, 0o644) //nolint:gosec // made to be published
	if err == nil {
		err = os.Rename(next, path)
	}
	if err != nil {
		return notf("write %s: %s", path, err)
	}
	return nil
}

// maxRequest bounds a lift's request file, in bytes.
const maxRequest = 4 << 20

// liftByFile lifts with a request that came as a file, and writes the answer.
func (c *cli) liftByFile(ctx context.Context, cutID, reason, request, out string) error {
	if out == "" {
		return usagef("the answer goes back to the device", "lift --request needs -o FILE")
	}
	info, err := os.Stat(request)
	if err != nil {
		return usagef("", "read request: %s", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxRequest {
		return usagef("", "%s is no request of a device", request)
	}
	raw, err := os.ReadFile(request)
	if err != nil {
		return usagef("", "read request: %s", err)
	}
	return c.call(ctx, func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
		resp, err := admin.LiftByFile(ctx, &cutoffv1.LiftByFileRequest{CutId: cutID, Reason: reason, Request: raw})
		if err != nil {
			return err
		}
		if err := writeWhole(out, resp.GetAnswer()); err != nil {
			return notf("write the answer: %s", cause(err))
		}
		return c.done(plain(resp.GetCut()), "Cut %s of %s is %s.\nOn the device, as its administrator: cutoff-agent extend FILE, with the file %s.",
			resp.GetCut().GetCutId(), subjectOf(resp.GetCut()), resp.GetCut().GetState(), out)
	})
}
