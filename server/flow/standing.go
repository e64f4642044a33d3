package flow

import (
	"context"
	"fmt"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/fault"
)

// standing is the device's cut that is not over; found is false if it has none.
// Most devices have none, and then it reads nothing.
func (f *Flow) standing(ctx context.Context, tx Tx, d *device.Device) (c cut.Cut, found bool, err error) {
	if d.CutID == "" {
		return cut.Cut{}, false, nil
	}
	c, err = tx.CutRow(ctx, d.CutID)
	if err != nil {
		return cut.Cut{}, false, fmt.Errorf("read standing cut of %s: %w", d.ID, err)
	}
	return c, true, nil
}

// resolveDevice finds a device by its id, or by a hostname that one device has
// now. Retired ones count only if no other has the name.
func (f *Flow) resolveDevice(ctx context.Context, tx DeviceTx, idOrHostname string) (device.Device, error) {
	if idOrHostname == "" || len(idOrHostname) > maxHostname {
		return device.Device{}, fault.New(fault.Invalid, "name a device by its id or its hostname")
	}
	d, err := tx.Device(ctx, idOrHostname)
	if !fault.Is(err, fault.NotFound) {
		return d, err
	}
	all, err := tx.DevicesByHostname(ctx, idOrHostname)
	if err != nil {
		return device.Device{}, err
	}
	live := make([]device.Device, 0, len(all))
	for _, d := range all {
		if d.State != device.Retired {
			live = append(live, d)
		}
	}
	if len(live) == 0 {
		live = all
	}
	switch len(live) {
	case 0:
		return device.Device{}, fault.New(fault.NotFound, "there is no device %q", idOrHostname)
	case 1:
		return live[0], nil
	default:
		return device.Device{}, fault.New(fault.Conflict, "%d devices are called %q; use the id of one: %s",
			len(live), idOrHostname, ids(live))
	}
}

// ids names the first few.
func ids(all []device.Device) string {
	text := ""
	for i, d := range all {
		if i == 5 {
			return text + " …"
		}
		if i > 0 {
			text += ", "
		}
		text += d.ID
	}
	return text
}
