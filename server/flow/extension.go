package flow

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/extension"
	"cutoff/proto/signed"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/lease"
)

// ExtensionTx is the part of a transaction that keeps what was given to devices
// beyond their leases.
type ExtensionTx interface {
	InsertExtension(ctx context.Context, e lease.Extension) error
	// SetExtended raises until when the device may trust itself; it never falls.
	SetExtended(ctx context.Context, id string, until time.Time) error
	// NewestExtension is the number of the device's newest one, or 0.
	NewestExtension(ctx context.Context, deviceID string) (uint64, error)
	// CountExtensions counts those given one by one since a time.
	CountExtensions(ctx context.Context, deviceID, person string, since time.Time) (device, by int, err error)
	// Given is the latest end with what was given one by one, exports left out.
	Given(ctx context.Context, deviceID string) (time.Time, error)

	SetLeaseCodes(ctx context.Context, id string, hashes []byte) error
	InsertLeaseCode(ctx context.Context, c lease.SealedCode) error
	// LeaseCode is one of that length which was not given out.
	LeaseCode(ctx context.Context, deviceID string, add time.Duration) (lease.SealedCode, error)
	DeleteLeaseCode(ctx context.Context, deviceID string, hash []byte) error
}

// Extended is what was given to a device.
type Extended struct {
	Device device.Device
	Add    time.Duration
	// Code is what to read over the phone; File is a signed file. One is empty.
	Code string
	File []byte
	// Until is until when the device may trust itself at most.
	Until time.Time
}

// ExtendLease gives one device more time: a code, or a file for longer.
func (f *Flow) ExtendLease(
	ctx context.Context, actor Actor, idOrHostname string, add time.Duration, file bool, reason string,
) (Extended, error) {
	switch {
	case actor.Machine || actor.Name == "":
		return Extended{}, fault.New(fault.Denied, "only a person extends a lease")
	case len(reason) > maxReason:
		return Extended{}, fault.New(fault.Invalid, "the reason has %d bytes, at most %d", len(reason), maxReason)
	case add < time.Minute || add > lease.MostGiven || add%time.Second != 0:
		return Extended{}, fault.New(fault.Invalid, "an extension is from a minute to %s", lease.MostGiven)
	}
	var given Extended
	err := f.store.Update(ctx, func(tx Tx) error {
		d, err := f.resolveDevice(ctx, tx, idOrHostname)
		if err != nil {
			return err
		}
		if err := f.mayExtend(ctx, tx, actor, &d); err != nil {
			return err
		}
		given = Extended{Device: d, Add: add, Until: d.GrantedUntil().Add(add)}
		e := lease.Extension{Kind: lease.KindCode, Add: add, Until: given.Until}
		var envelope []byte
		if file {
			e.Kind = lease.KindFile
		} else if given.Code, err = f.takeCode(ctx, tx, &d, add); err != nil {
			return err
		}
		if envelope, err = f.give(ctx, tx, actor, &d, &e, reason); err != nil {
			return err
		}
		given.File = envelope
		return nil
	})
	if err != nil {
		return Extended{}, fmt.Errorf("extend lease: %w", err)
	}
	return given, nil
}

// mayExtend refuses what no extension is for, and who has given too many.
func (f *Flow) mayExtend(ctx context.Context, tx Tx, actor Actor, d *device.Device) error {
	c, _, err := f.standing(ctx, tx, d)
	if err != nil {
		return err
	}
	if err := lease.Extendable(d, c.State, f.now()); err != nil {
		return fault.Wrap(err, fault.Conflict, "%s cannot be given more time: %s", d.ID, err)
	}
	onDevice, byPerson, err := tx.CountExtensions(ctx, d.ID, actor.Person, f.now().Add(-24*time.Hour))
	switch {
	case err != nil:
		return err
	case onDevice >= lease.DayOfDevice:
		return fault.New(fault.Limited, "%s was given %d extensions within a day already", d.ID, onDevice)
	case byPerson >= lease.DayOfPerson:
		return fault.New(fault.Limited, "you gave %d extensions within a day already", byPerson)
	}
	return nil
}

// give numbers an extension, signs it unless it is a code, and keeps it: what
// the server's own half waits for is durable before anything leaves. Numbers
// come from the clock, so that a restored server does not repeat any.
func (f *Flow) give(
	ctx context.Context, tx Tx, actor Actor, d *device.Device, e *lease.Extension, reason string,
) (envelope []byte, err error) {
	newest, err := tx.NewestExtension(ctx, d.ID)
	if err != nil {
		return nil, err
	}
	now := f.now()
	e.DeviceID, e.GivenAt, e.GivenBy, e.Person = d.ID, now, actor.Name, actor.Person
	e.Number = max(newest+1, uint64(max(0, now.UnixMicro())))
	if e.Kind != lease.KindCode {
		envelope, err = signed.Seal(signed.TypeExtension, &cutoffv1.Extension{
			DeviceId: d.ID, Number: e.Number, CutId: d.ReservedCut, AddMs: e.Add.Milliseconds(),
			EndsAt: timestamppb.New(e.Until), IssuedAt: timestamppb.New(now),
		}, f.signers.Lease)
		if err != nil {
			return nil, fmt.Errorf("sign extension: %w", err)
		}
	}
	if err := tx.InsertExtension(ctx, *e); err != nil {
		return nil, fmt.Errorf("keep extension: %w", err)
	}
	if err := tx.SetExtended(ctx, d.ID, e.Until); err != nil {
		return nil, err
	}
	return envelope, f.record(ctx, tx, evidence.Event{
		Kind: "lease.extended", Actor: actor.Name, DeviceID: d.ID, Signed: envelope, Fields: []evidence.Field{
			{Name: "as", Value: e.Kind}, {Name: "number", Value: strconv.FormatUint(e.Number, 10)},
			{Name: "for", Value: e.Add.String()}, {Name: "until", Value: e.Until.UTC().Format(time.RFC3339)},
			{Name: "reason", Value: reason},
		},
	})
}

// ExportedFile is one device's file of an export.
type ExportedFile struct {
	DeviceID string
	// Name is what a mirror must call it.
	Name  string
	File  []byte
	Until time.Time
}

// exportAtOnce is how many devices one transaction of an export takes.
const exportAtOnce = 200

// ExportLeases makes a file for each device of a group that is in good standing
// and hands them to emit as they are durable. A device that is warned, silent or
// cut gets none; leftOut counts those. Each file ends so long after the device's
// own lease, however often it is exported: exports do not add up.
func (f *Flow) ExportLeases(
	ctx context.Context, actor Actor, group string, add time.Duration, reason string, emit func([]ExportedFile) error,
) (leftOut int, err error) {
	switch {
	case actor.Machine || actor.Name == "":
		return 0, fault.New(fault.Denied, "only a person exports extensions")
	case len(reason) > maxReason:
		return 0, fault.New(fault.Invalid, "the reason has %d bytes, at most %d", len(reason), maxReason)
	case add < time.Minute || add > lease.MostExported || add%time.Second != 0:
		return 0, fault.New(fault.Invalid, "an export is from a minute to %s", lease.MostExported)
	}
	var ids []string
	err = f.store.View(ctx, func(tx Tx) error {
		if _, err := tx.Group(ctx, group); err != nil {
			return noSuchGroup(err, group)
		}
		all, err := tx.Devices(ctx, group)
		for i := range all {
			if all[i].State != device.Retired {
				ids = append(ids, all[i].ID)
			}
		}
		return err
	})
	for len(ids) > 0 && err == nil {
		batch := ids[:min(len(ids), exportAtOnce)]
		ids = ids[len(batch):]
		var files []ExportedFile
		err = f.store.Update(ctx, func(tx Tx) (err error) {
			files, err = f.export(ctx, tx, actor, batch, add, reason)
			return err
		})
		if err == nil {
			leftOut += len(batch) - len(files)
			err = emit(files)
		}
	}
	if err != nil {
		return leftOut, fmt.Errorf("export extensions: %w", err)
	}
	return leftOut, nil
}

func (f *Flow) export(
	ctx context.Context, tx Tx, actor Actor, ids []string, add time.Duration, reason string,
) ([]ExportedFile, error) {
	var files []ExportedFile
	for _, id := range ids {
		d, g, err := tx.DeviceAndGroup(ctx, id)
		if err != nil {
			return nil, err
		}
		c, _, err := f.standing(ctx, tx, &d)
		if err != nil {
			return nil, err
		}
		if !lease.Exportable(&d, &g, c.State, f.now()) {
			continue
		}
		from, err := tx.Given(ctx, id)
		if err != nil {
			return nil, err
		}
		if d.LeaseUntil.After(from) {
			from = d.LeaseUntil
		}
		e := lease.Extension{Kind: lease.KindExport, Add: add, Until: from.Add(add)}
		envelope, err := f.give(ctx, tx, actor, &d, &e, reason)
		if err != nil {
			return nil, err
		}
		files = append(files, ExportedFile{
			DeviceID: id, Name: extension.FileName(f.trustDomain, id), File: envelope, Until: e.Until,
		})
	}
	return files, nil
}
