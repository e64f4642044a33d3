package flow

import (
	"context"
	"fmt"
	"time"

	"cutoff/server/cut"
	"cutoff/server/evidence"
)

// Pulse is the server's own heartbeat, one row. Who judges silence by a clock
// must know that the clock ran, and ran right: after an outage, or when the clock
// jumped, everybody looks silent.
type Pulse struct {
	// At is the last beat.
	At time.Time
	// UnsteadyAt is when a gap or a jump was found, and Reason which; zero while
	// the clock is trusted.
	UnsteadyAt time.Time
	Reason     string
}

const (
	// beatEvery is how often the row is written.
	beatEvery = 10 * time.Second
	// mostGap is the longest a beat may be away, either way.
	mostGap = 5 * time.Minute
	// steadyAfter is for how long the clock must beat without a gap or jump
	// before the machine cuts by itself again: agents are back by then, for their
	// longest wait between attempts is shorter.
	steadyAfter = 15 * time.Minute
	// clockHeld begins the reason of every case that is held for the clock.
	clockHeld = "the server's clock: "
)

// Beat notes that the server runs, and whether its clock can be trusted. The
// daemon calls it before it listens, and WatchSilence at each turn.
func (f *Flow) Beat(ctx context.Context) error {
	now := f.now()
	drifted := f.drift(now)
	var p Pulse
	err := f.store.View(ctx, func(tx Tx) (err error) {
		p, err = tx.Pulse(ctx)
		return err
	})
	if since := now.Sub(p.At); err != nil || drifted == 0 && since >= 0 && since < beatEvery {
		return err
	}
	err = f.store.Update(ctx, func(tx Tx) error {
		p, err := tx.Pulse(ctx)
		if err != nil {
			return err
		}
		return f.beat(ctx, tx, p, now, drifted)
	})
	if err != nil {
		return fmt.Errorf("note the server's pulse: %w", err)
	}
	return nil
}

func (f *Flow) beat(ctx context.Context, tx Tx, p Pulse, now time.Time, drifted time.Duration) error {
	event := evidence.Event{Actor: "server"}
	reason := gap(p.At, now)
	if reason == "" && drifted != 0 {
		reason = fmt.Sprintf("it was set by %s while the server ran", drifted.Round(time.Second))
	}
	switch {
	case reason != "":
		p.UnsteadyAt, p.Reason = now, reason
		event.Kind = "clock.unsteady"
	case !p.UnsteadyAt.IsZero() && now.Sub(p.UnsteadyAt) >= steadyAfter:
		event.Kind = "clock.steady"
	}
	if event.Kind != "" {
		event.Fields = []evidence.Field{{Name: "reason", Value: p.Reason}}
		if err := f.record(ctx, tx, event); err != nil {
			return err
		}
	}
	if event.Kind == "clock.steady" {
		p.UnsteadyAt, p.Reason = time.Time{}, ""
	}
	p.At = now
	return tx.PutPulse(ctx, p)
}

// gap says what is wrong between two beats, or is empty.
func gap(last, now time.Time) string {
	switch d := now.Sub(last); {
	case last.IsZero():
		return ""
	case d > mostGap:
		return fmt.Sprintf("the server was away, or it was set forward, for %s", d.Round(time.Second))
	case d < -mostGap:
		return fmt.Sprintf("it was set back by %s", (-d).Round(time.Second))
	}
	return ""
}

// drift is by how much the wall clock was set since it was last found right, if
// that is much: small steps add up. Readings without a monotonic part show none.
func (f *Flow) drift(now time.Time) time.Duration {
	f.right.Lock()
	defer f.right.Unlock()
	if f.rightAt.IsZero() {
		f.rightAt = now
	}
	d := now.Round(0).Sub(f.rightAt.Round(0)) - now.Sub(f.rightAt)
	if d.Abs() <= mostGap {
		return 0
	}
	f.rightAt = now
	return d
}

// clockHold says why the machine may not cut by itself now, or is empty. A
// person may: every held case can be let through.
func (f *Flow) clockHold(ctx context.Context, tx Tx) (string, error) {
	p, err := tx.Pulse(ctx)
	if err != nil {
		return "", err
	}
	reason := p.Reason
	if p.UnsteadyAt.IsZero() {
		reason = gap(p.At, f.now())
	}
	if reason == "" {
		return "", nil
	}
	return clockHeld + reason + fmt.Sprintf("; machine-made cuts wait for a person, or until it has been steady for %s",
		steadyAfter), nil
}

// releaseClock decides anew on what was held for the clock, once that is steady:
// the brake still has its say.
func (f *Flow) releaseClock(ctx context.Context) error {
	var ids []string
	err := f.store.View(ctx, func(tx Tx) error {
		reason, err := f.clockHold(ctx, tx)
		if err != nil || reason != "" {
			return err
		}
		ids, err = tx.HeldFor(ctx, clockHeld)
		return err
	})
	if err != nil {
		return fmt.Errorf("release what the clock held: %w", err)
	}
	for _, id := range ids {
		opening := false
		err := f.act(ctx, func(tx Tx, e *effects) (err error) {
			opening, err = f.releaseCase(ctx, tx, e, id)
			return err
		})
		if err == nil && opening {
			err = f.workOff(ctx, id)
		}
		if err != nil {
			return fmt.Errorf("release case %s: %w", id, err)
		}
	}
	return nil
}

func (f *Flow) releaseCase(ctx context.Context, tx Tx, e *effects, id string) (opening bool, err error) {
	k, err := tx.CaseByID(ctx, id)
	if err != nil || k.State != cut.CaseHeld {
		return false, err
	}
	cuts, err := tx.CutsOfCase(ctx, id, "", 0)
	if err != nil {
		return false, err
	}
	units := make([]unit, 0, len(cuts))
	for i := range cuts {
		d, err := tx.Device(ctx, cuts[i].DeviceID)
		if err != nil {
			return false, err
		}
		units = append(units, unit{name: d.ID, group: d.Group})
	}
	reason, err := f.braked(ctx, tx, &OpenRequest{Actor: Actor{Machine: true}}, units)
	if err != nil {
		return false, err
	}
	if k.HeldReason = reason; reason == "" {
		k.State = cut.CaseOpening
	}
	if err := tx.SetCase(ctx, cut.CaseHeld, k); err != nil {
		return false, err
	}
	if reason == "" {
		return true, f.batch(ctx, tx, e, &k)
	}
	for i := range cuts {
		c := &cuts[i]
		if c.HeldReason = reason; c.PendingCase == id {
			c.HeldReason = string(k.Level) + ": " + reason
		}
		e.cut(c.ID)
		if err := tx.SetCut(ctx, c.State, *c); err != nil {
			return false, err
		}
	}
	return false, nil
}
