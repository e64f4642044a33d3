package flow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/order"
)

// silenceActor is the machine part that acts on silence.
var silenceActor = Actor{Name: "lease", Person: "lease", Machine: true}

// silenceBatch is how many silent devices one transaction deals with: others
// wait for it.
const silenceBatch = 50

// WatchSilence is the server's half of the dead man's switch: it opens for each
// silent device the cut under which that seals itself, and raises it once the
// second deadline is past. The brake holds what is too much at once; nothing is
// forgotten, for a device stays due until it has a cut. The daemon calls it every
// second.
func (f *Flow) WatchSilence(ctx context.Context) error {
	if err := f.Beat(ctx); err != nil {
		return err
	}
	return errors.Join(f.releaseClock(ctx), f.sealSilent(ctx), f.purgeSilent(ctx))
}

// sealSilent opens the cuts of devices whose seal is due.
func (f *Flow) sealSilent(ctx context.Context) error {
	var at SilenceCursor
	return f.eachSilent(ctx, cut.Seal, func(ctx context.Context, tx Tx) ([]device.Device, error) {
		some, err := tx.SilentDevices(ctx, f.now(), f.up(), at, silenceBatch)
		if n := len(some); n > 0 {
			at = SilenceCursor{some[n-1].Silence.SealDue, some[n-1].ID}
		}
		return some, err
	})
}

// purgeSilent raises the cuts of devices whose purge is due: what they sealed
// can then be read by nobody, wherever they are.
func (f *Flow) purgeSilent(ctx context.Context) error {
	after := ""
	return f.eachSilent(ctx, cut.Purge, func(ctx context.Context, tx Tx) ([]device.Device, error) {
		some, err := tx.ExpiredDevices(ctx, f.now(), after, silenceBatch)
		if n := len(some); n > 0 {
			after = some[n-1].ID
		}
		return some, err
	})
}

// started is how long after its start the server waits at most for devices that
// could not reach it before.
const started = 5 * time.Minute

// up is how long this server has run, as far as that matters.
func (f *Flow) up() time.Duration {
	if up := f.now().Sub(f.startedAt); up >= 0 && up < started {
		return up
	}
	return 1 << 62
}

// eachSilent deals with all that next finds, some a transaction.
func (f *Flow) eachSilent(
	ctx context.Context, level cut.Level, next func(context.Context, Tx) ([]device.Device, error),
) error {
	for {
		n := 0
		err := f.act(ctx, func(tx Tx, e *effects) error {
			some, err := next(ctx, tx)
			if n = len(some); err != nil || n == 0 {
				return err
			}
			if level == cut.Purge {
				some = slices.DeleteFunc(some, func(d device.Device) bool { return f.hub.Connected(d.ID) })
			} else if some, err = f.withoutRemoved(ctx, tx, some); err != nil {
				return err
			}
			return f.openSilent(ctx, tx, e, level, some)
		})
		if err != nil {
			return fmt.Errorf("%s silent devices: %w", level, err)
		}
		if n < silenceBatch {
			return nil
		}
	}
}

// withoutRemoved retires those that hold a permission to remove their agent: the
// silence is what was asked for.
func (f *Flow) withoutRemoved(ctx context.Context, tx Tx, some []device.Device) ([]device.Device, error) {
	rest := some[:0]
	for i := range some {
		o, found, err := tx.Removal(ctx, some[i].ID)
		if err != nil {
			return nil, err
		}
		if found && o.State == order.Done {
			if err := f.retire(ctx, tx, Actor{Name: "server"}, &some[i]); err != nil {
				return nil, err
			}
			continue
		}
		rest = append(rest, some[i])
	}
	return rest, nil
}

// openSilent opens a cut for each device as far as the brake lets it; the others
// are held together, as one decision of a person.
func (f *Flow) openSilent(ctx context.Context, tx Tx, e *effects, level cut.Level, some []device.Device) error {
	hold, err := f.clockHold(ctx, tx)
	if err != nil {
		return err
	}
	over := map[string]bool{"": hold != ""}
	var held []device.Device
	for i := range some {
		d := &some[i]
		if !over[""] && !over[d.Group] {
			fits, err := f.fits(ctx, tx, d, over)
			if err != nil {
				return err
			}
			if fits {
				r := silent(level, d)
				if err := f.openInTx(ctx, tx, e, &r, &opening{}); err != nil {
					return err
				}
				continue
			}
		}
		held = append(held, *d)
	}
	if len(held) == 0 {
		return nil
	}
	r := silent(level, &held[0])
	if len(held) > 1 {
		r.Device, r.devices = "", held
		r.Reason = strconv.Itoa(len(held)) + " devices were silent for longer than their leases allow"
	}
	return f.openInTx(ctx, tx, e, &r, &opening{})
}

// fits asks the brake about one device, and notes whose allowance is used up.
func (f *Flow) fits(ctx context.Context, tx Tx, d *device.Device, over map[string]bool) (bool, error) {
	units := []unit{{name: d.ID, group: d.Group}}
	reason, err := f.braked(ctx, tx, &OpenRequest{Actor: silenceActor}, units)
	if err != nil || reason == "" {
		return err == nil, err
	}
	fleet, err := f.over(ctx, tx, units, f.machineAllowance())
	over[""] = fleet != ""
	over[d.Group] = true
	return false, err
}

// silent is the request to cut a silent device.
func silent(level cut.Level, d *device.Device) OpenRequest {
	said := "no contact"
	if !d.LastContact.IsZero() {
		said = "no contact since " + d.LastContact.UTC().Format(stamp)
	}
	switch {
	case level == cut.Purge:
		said += "; its last deadline was " + d.Silence.PurgeDue.UTC().Format(stamp)
	case !d.Silence.LeftAt.IsZero():
		said += "; its agent said that it was " + d.Silence.LeftReason
	default:
		said += "; its lease ended " + d.Silence.GrantedUntil.UTC().Format(stamp)
	}
	return OpenRequest{Device: d.ID, Level: level, Cause: cut.Expiry, Reason: said, Actor: silenceActor}
}

// refusedSilence remembers a person's no to what a silence made due, so that the
// machine does not ask again at once.
func (f *Flow) refusedSilence(ctx context.Context, tx Tx, deviceID string) error {
	d, err := tx.Device(ctx, deviceID)
	if err != nil {
		return err
	}
	d.Silence.After = f.now().Add(cut.HeldFor)
	return tx.SetSilence(ctx, d.ID, d.Silence)
}
