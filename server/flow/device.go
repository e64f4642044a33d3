package flow

import (
	"context"
	"time"

	"cutoff/server/device"
	"cutoff/server/posture"
)

// DeviceView is a device as people see it.
type DeviceView struct {
	device.Device
	// Level is that of the standing cut: seal, purge or empty.
	Level     string
	Connected bool
	// The rest is filled by Device alone, not by Devices.
	Posture     []posture.Fact
	PostureAt   time.Time
	Credentials []device.Credential
}

// Devices are those of a group, or all if it is empty, by hostname.
func (f *Flow) Devices(ctx context.Context, actor Actor, group string) ([]DeviceView, error) {
	return nil, errUnbuilt
}

// Device finds one by its id or its unique hostname.
func (f *Flow) Device(ctx context.Context, actor Actor, idOrHostname string) (DeviceView, error) {
	return DeviceView{}, errUnbuilt
}

// AssignDevice gives the device to a person (id or e-mail) and moves it to a
// group; what is empty stays.
func (f *Flow) AssignDevice(ctx context.Context, actor Actor, idOrHostname, person, group string) (DeviceView, error) {
	return DeviceView{}, errUnbuilt
}

// RetireDevice takes the device out of the fleet. Its row stays as a tombstone;
// a cut that stands goes on.
func (f *Flow) RetireDevice(ctx context.Context, actor Actor, idOrHostname string) (DeviceView, error) {
	return DeviceView{}, errUnbuilt
}

// DecideDevice admits a pending device, or turns it away (retires it).
func (f *Flow) DecideDevice(ctx context.Context, actor Actor, idOrHostname string, admit bool) (DeviceView, error) {
	return DeviceView{}, errUnbuilt
}
