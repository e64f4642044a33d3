// Package posture reads what a policy may ask of a device. Each fact is a value
// or unknown with the reason; what cannot be read is never taken as good. It
// must not judge, and it changes nothing.
package posture

import (
	"context"
	"errors"
	"io/fs"
	"runtime"

	"cutoff/platform/host"
)

// Fact is one fact: Value is a string, bool, int64 or time.Time, or nil when it
// is unknown for Reason.
type Fact struct {
	Name   string
	Value  any
	Reason string
}

// Collect reads every fact. Below a trial root only the name is the root's: the
// rest is the machine's.
func Collect(ctx context.Context, root string) []Fact {
	facts := []Fact{{Name: "os", Value: runtime.GOOS}}
	add := func(name string, value any, err error) {
		if err != nil {
			facts = append(facts, Fact{Name: name, Reason: reason(err)})
			return
		}
		facts = append(facts, Fact{Name: name, Value: value})
	}
	version, err := host.Version(ctx)
	add("os_version", version, err)
	name, err := host.Hostname(root)
	add("hostname", name, err)
	serial, err := host.Serial(ctx)
	add("serial", serial, err)
	booted, err := host.BootTime(ctx)
	add("boot_time", booted, err)
	encrypted, err := diskEncrypted()
	add("disk_encrypted", encrypted, err)
	firewall, err := firewallOn()
	add("firewall_on", firewall, err)
	return facts
}

// reason is an error in words for a policy's reader.
func reason(err error) string {
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return "not read on this system: " + err.Error()
	case errors.Is(err, fs.ErrPermission):
		return "no permission: " + err.Error()
	}
	return err.Error()
}
