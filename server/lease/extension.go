package lease

import (
	"errors"
	"fmt"
	"time"

	"cutoff/server/cut"
	"cutoff/server/device"
)

// Kinds of an extension.
const (
	// KindCode is a code that is read over the phone.
	KindCode = "code"
	// KindFile is a signed file for one device.
	KindFile = "file"
	// KindExport is one of a group's signed files for the time of an outage.
	KindExport = "export"
)

// Extension is time that was given beyond a lease.
type Extension struct {
	DeviceID string
	// Number is above that of every one given to the device before.
	Number uint64
	Kind   string
	// Add is the most it adds to the lease; Until the latest end with it.
	Add     time.Duration
	Until   time.Time
	GivenAt time.Time
	GivenBy string
	// Person is whom limits count for.
	Person string
}

// SealedCode is a one-time code that was not given out, as the server keeps it.
type SealedCode struct {
	DeviceID string
	Hash     []byte
	Add      time.Duration
	Sealed   []byte
}

// Bounds of extensions.
const (
	// MostGiven is the longest that a person gives to one device at once, and
	// MostExported the longest for a group.
	MostGiven    = 31 * 24 * time.Hour
	MostExported = 7 * 24 * time.Hour
	// DayOfDevice and DayOfPerson bound how many are given one by one within a
	// day: to one device, and by one person.
	DayOfDevice = 4
	DayOfPerson = 20
)

// CodeSpans are the lengths that codes come in.
func CodeSpans() []time.Duration { return []time.Duration{24 * time.Hour, 48 * time.Hour} }

// Extendable says why d, whose standing cut is in state standing, may not be
// given more time, or nil: an extension is for a device in good standing that
// has a lease, and undoes nothing.
func Extendable(d *device.Device, standing cut.State, now time.Time) error {
	if reason := Withheld(d, standing, false); reason != Granted {
		return fmt.Errorf("it gets no lease either (%s)", reason)
	}
	switch {
	case d.State != device.Trusted && d.State != device.Warned:
		return fmt.Errorf("it is %s", d.State)
	case d.LeaseUntil.IsZero():
		return errors.New("it has never had a lease")
	case !now.Before(d.GrantedUntil()):
		return fmt.Errorf("its lease ended at %s: it has sealed itself, or will when it is switched on",
			d.GrantedUntil().UTC().Format(time.RFC3339))
	}
	return nil
}

// Exportable says whether d is among those that an export is for: in good
// standing, neither warned nor silent.
func Exportable(d *device.Device, g *device.Group, standing cut.State, now time.Time) bool {
	silent := now.Sub(d.LastContact) >= g.Warn
	return Extendable(d, standing, now) == nil && d.State == device.Trusted && !silent
}
