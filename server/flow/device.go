package flow

import (
	"context"
	"fmt"
	"time"

	"cutoff/server/decision"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/posture"
)

// DeviceView is a device as people see it.
type DeviceView struct {
	device.Device
	// Level is that of the standing cut: seal, purge or empty.
	Level     string
	Connected bool
	// Quiet is what its silence comes to, and Todo what a person should do.
	Quiet SilenceView
	Todo  string
	// The rest is filled by Device alone, not by Devices.
	// Removal is permitted, confirmed or empty.
	Removal     string
	Posture     []posture.Fact
	PostureAt   time.Time
	Credentials []device.Credential
	// Decision is the last one; zero before the first.
	Decision decision.Decision
}

// Devices are those of a group, or all if it is empty, by hostname.
func (f *Flow) Devices(ctx context.Context, _ Actor, group string) ([]DeviceView, error) {
	var all []DeviceView
	err := f.store.View(ctx, func(tx Tx) error {
		if group != "" {
			if _, err := tx.Group(ctx, group); err != nil {
				return noSuchGroup(err, group)
			}
		}
		rows, err := tx.Devices(ctx, group)
		if err != nil {
			return err
		}
		all = make([]DeviceView, len(rows))
		for i := range rows {
			if all[i], err = f.view(ctx, tx, rows[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list devices: %w", err)
	}
	return all, nil
}

// Device finds one by its id or its unique hostname.
func (f *Flow) Device(ctx context.Context, _ Actor, idOrHostname string) (DeviceView, error) {
	var v DeviceView
	err := f.store.View(ctx, func(tx Tx) error {
		d, err := f.resolveDevice(ctx, tx, idOrHostname)
		if err != nil {
			return err
		}
		v, err = f.fullView(ctx, tx, d)
		return err
	})
	return v, err
}

func (f *Flow) view(ctx context.Context, tx Tx, d device.Device) (DeviceView, error) {
	v := DeviceView{Device: d, Connected: f.hub.Connected(d.ID)}
	c, found, err := f.standing(ctx, tx, &d)
	if err != nil {
		return v, err
	}
	if found && c.Active() {
		v.Level = string(c.Level)
	}
	return v, f.quiet(ctx, tx, &v, &c)
}

func (f *Flow) fullView(ctx context.Context, tx Tx, d device.Device) (DeviceView, error) {
	v, err := f.view(ctx, tx, d)
	if err != nil {
		return v, err
	}
	if o, found, err := tx.Removal(ctx, d.ID); err != nil {
		return v, err
	} else if found {
		v.Removal = removalWord(o.State)
	}
	if v.Posture, v.PostureAt, err = tx.Posture(ctx, d.ID); err != nil {
		return v, err
	}
	if v.Decision, err = tx.Decision(ctx, d.ID); err != nil {
		return v, err
	}
	v.Credentials, err = tx.CredentialsOfDevice(ctx, d.ID)
	return v, err
}

// change looks a device up, changes it in the same transaction and answers what
// it is then.
func (f *Flow) change(ctx context.Context, idOrHostname string, fn func(Tx, *device.Device) error) (DeviceView, error) {
	var v DeviceView
	err := f.store.Update(ctx, func(tx Tx) error {
		d, err := f.resolveDevice(ctx, tx, idOrHostname)
		if err != nil {
			return err
		}
		if err := fn(tx, &d); err != nil {
			return err
		}
		if d, err = tx.Device(ctx, d.ID); err != nil {
			return err
		}
		v, err = f.fullView(ctx, tx, d)
		return err
	})
	return v, err
}

// AssignDevice gives the device to a person (id or e-mail) and moves it to a
// group; what is empty stays.
func (f *Flow) AssignDevice(ctx context.Context, actor Actor, idOrHostname, who, group string) (DeviceView, error) {
	if who == "" && group == "" {
		return DeviceView{}, fault.New(fault.Invalid, "say to whom or to which group the device goes")
	}
	v, err := f.change(ctx, idOrHostname, func(tx Tx, d *device.Device) error {
		personID, groupName := d.PersonID, d.Group
		if who != "" {
			p, err := resolvePerson(ctx, tx, who)
			if err != nil {
				return err
			}
			personID = p.ID
		}
		if group != "" {
			if _, err := tx.Group(ctx, group); err != nil {
				return noSuchGroup(err, group)
			}
			groupName = group
		}
		if personID == d.PersonID && groupName == d.Group {
			return nil
		}
		if err := tx.SetAssignment(ctx, d.ID, personID, groupName); err != nil {
			return err
		}
		return f.record(ctx, tx, evidence.Event{
			Kind: "device.assigned", Actor: actor.Name, DeviceID: d.ID,
			Fields: []evidence.Field{{Name: "person_id", Value: personID}, {Name: "group", Value: groupName}},
		})
	})
	if err != nil {
		return DeviceView{}, fmt.Errorf("assign device: %w", err)
	}
	f.recatalogue(v.ID) // its group may have chosen otherwise
	return v, nil
}

// RetireDevice takes the device out of the fleet. Its row stays as a tombstone;
// a cut that stands goes on.
func (f *Flow) RetireDevice(ctx context.Context, actor Actor, idOrHostname string) (DeviceView, error) {
	v, err := f.change(ctx, idOrHostname, func(tx Tx, d *device.Device) error { return f.retire(ctx, tx, actor, d) })
	if err != nil {
		return DeviceView{}, fmt.Errorf("retire device: %w", err)
	}
	return v, nil
}

func (f *Flow) retire(ctx context.Context, tx Tx, actor Actor, d *device.Device) error {
	if d.State == device.Retired {
		return nil
	}
	if _, err := device.Move(d.State, device.Retired); err != nil {
		return fault.Wrap(err, fault.Conflict, "a device that is %s cannot be retired", d.State)
	}
	if err := tx.RetireDevice(ctx, d.ID, d.State, f.now()); err != nil {
		return err
	}
	return f.record(ctx, tx, evidence.Event{
		Kind: "device.retired", Actor: actor.Name, DeviceID: d.ID,
		Fields: []evidence.Field{{Name: "was", Value: string(d.State)}, {Name: "hostname", Value: d.Hostname}},
	})
}

// DecideDevice is a person's word on a device that waits for one: a pending one
// is admitted or turned away (retired); one with a fact such as clone, which
// withholds its lease, is trusted again or retired.
func (f *Flow) DecideDevice(ctx context.Context, actor Actor, idOrHostname string, admit bool) (DeviceView, error) {
	v, err := f.change(ctx, idOrHostname, func(tx Tx, d *device.Device) error {
		switch {
		case d.State != device.Pending && len(d.Facts) == 0:
			return fault.New(fault.Conflict, "the device is %s; there is nothing to decide", d.State)
		case !admit:
			return f.retire(ctx, tx, actor, d)
		default:
			return f.admit(ctx, tx, actor, d)
		}
	})
	if err != nil {
		return DeviceView{}, fmt.Errorf("decide device: %w", err)
	}
	if admit {
		if err := f.dropSuspicion(ctx, actor, v.ID); err != nil {
			return DeviceView{}, fmt.Errorf("decide device: %w", err)
		}
		f.hub.Wake(v.ID)
		return f.Device(ctx, actor, v.ID)
	}
	return v, nil
}

func (f *Flow) admit(ctx context.Context, tx Tx, actor Actor, d *device.Device) error {
	event := evidence.Event{Kind: "device.admitted", Actor: actor.Name, DeviceID: d.ID, Fields: []evidence.Field{
		{Name: "was", Value: string(d.State)},
	}}
	for _, fact := range d.Facts {
		event.Fields = append(event.Fields, evidence.Field{Name: "fact", Value: fact})
	}
	if d.State == device.Pending {
		if err := tx.MoveDevice(ctx, d.ID, device.Pending, device.Trusted); err != nil {
			return err
		}
	}
	if len(d.Facts) > 0 {
		if err := tx.SetFacts(ctx, d.ID, nil); err != nil {
			return err
		}
		// Its numbers are what it says next.
		if err := tx.ForgetSaid(ctx, d.ID); err != nil {
			return err
		}
	}
	return f.record(ctx, tx, event)
}
