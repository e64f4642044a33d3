package flow

import (
	"context"
	"slices"
	"strings"
	"time"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/lease"
	"cutoff/server/order"
)

// SilenceView is what a device's silence comes to, for people.
type SilenceView struct {
	// Word is empty for a device that is not silent; warned, sealed, or held where
	// its silence is due and a person decides.
	Word  string
	Since time.Time
	// SealAt and PurgeAt are when the server acts by itself; zero if it does not.
	SealAt  time.Time
	PurgeAt time.Time
}

// quiet fills in what the device's silence comes to, and what to do about it.
func (f *Flow) quiet(ctx context.Context, tx Tx, v *DeviceView, c *cut.Cut) error {
	s, d := &v.Silence, &v.Device
	gone := d.State == device.Retired || d.State == device.Purged || d.State == device.Pending
	if gone || s.GrantedUntil.IsZero() {
		v.Todo = todo(v, c, "")
		return nil
	}
	if d.CutID == "" {
		v.Quiet.SealAt = later(s.SealDue, s.After)
	}
	v.Quiet.PurgeAt = s.PurgeDue
	stays, err := f.quietWord(ctx, tx, v, c)
	if err != nil {
		return err
	}
	v.Todo = todo(v, c, stays)
	return nil
}

func (f *Flow) quietWord(ctx context.Context, tx Tx, v *DeviceView, c *cut.Cut) (stays string, err error) {
	s, now := &v.Silence, f.now()
	expired := c.ID != "" && c.Cause == cut.Expiry
	silent := !v.Connected && (s.HelloAt.IsZero() || !s.HelloAt.After(s.GrantedUntil)) && now.After(s.GrantedUntil)
	switch {
	case expired && c.State == cut.Held:
		v.Quiet.Word = "held"
	case expired && c.Active() && c.State != cut.Lifting:
		if stays, err = f.stays(ctx, tx, &v.Device, c); err != nil {
			return "", err
		}
		if !v.Connected && v.LastContact.Before(c.OpenedAt) {
			v.Quiet.Word = "sealed"
		}
	case c.Active():
	case silent:
		v.Quiet.Word = "warned"
	case !v.Connected:
		g, err := tx.Group(ctx, v.Group)
		if err != nil {
			return "", err
		}
		if warn := s.GrantedUntil.Add(g.Warn - g.Seal); !now.Before(warn) || !s.LeftAt.IsZero() && now.After(s.LeftAt) {
			v.Quiet.Word = "warned"
		}
	}
	if v.Quiet.Word != "" {
		v.Quiet.Since = v.LastContact
	}
	return stays, nil
}

// todo says what a person should do about a device, or is empty.
func todo(v *DeviceView, c *cut.Cut, stays string) string {
	decide := "cutoff-server device admit " + v.ID + ", or device turn-away " + v.ID
	withheld := slices.ContainsFunc(v.Facts, func(s string) bool { return s == lease.FactClone || s == lease.FactTamper })
	facts := strings.Join(v.Facts, ", ")
	switch {
	case v.State == device.Retired:
		return ""
	case v.State == device.Pending:
		return "decide about it: " + decide
	case v.Quiet.Word == "held":
		return "find out why it is silent, then let the cut through or refuse it: cutoff-server cut approve " + c.ID + ", or cut refuse " + c.ID
	case v.Quiet.Word == "sealed":
		return "find the device; it was cut for its silence as " + c.ID
	case stays != "" && !c.ReceiptAt.IsZero() && c.Level == cut.Seal && c.PendingCase == "" && !waits(stays):
		return "it is back and stays sealed (" + stays + "): look at it, then cutoff-server lift " + c.ID + " --reason …"
	case withheld:
		return "it gets no lease (" + facts + "): find out whose copy it is, then " + decide
	case len(v.Facts) > 0:
		return "look into it (" + facts + "), then " + decide
	case v.Quiet.Word == "warned":
		return "reach its user: it is cut for its silence at " + v.Quiet.SealAt.UTC().Format(stamp)
	}
	return ""
}

// waits reports whether a cut stays only until the device's next word.
func waits(stays string) bool {
	return strings.HasPrefix(stays, "the device has not") || strings.HasPrefix(stays, "it has not reported")
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func removalWord(s order.State) string {
	if s == order.Done || s == order.Partial {
		return "confirmed"
	}
	return "permitted"
}
