// Package posture reads what a policy may ask of a device. Each fact is a value
// or unknown with the reason; what cannot be read is never taken as good. It
// must not judge, and it changes nothing.
package posture

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"time"

	"cutoff/platform/host"
)

// Fact is one fact: Value is a string, bool, int64 or time.Time, or nil when it
// is unknown for Reason.
type Fact struct {
	Name   string
	Value  any
	Reason string
}

// slowly is how often facts are read that cost a child process and that only an
// upgrade changes.
const slowly = time.Hour

// Collector reads the facts of one machine. Use it from one goroutine.
type Collector struct {
	root string
	slow []Fact
	next time.Duration
}

// New makes a collector. Below a trial root only the name is the root's: the
// rest is the machine's.
func New(root string) *Collector { return &Collector{root: root} }

// Collect reads every fact; boot is the boot clock's reading.
func (c *Collector) Collect(ctx context.Context, boot time.Duration) []Fact {
	if c.slow == nil || boot >= c.next {
		version, err := host.Version(ctx)
		serial, noSerial := host.Serial(ctx)
		c.slow, c.next = []Fact{fact("os_version", version, err), fact("serial", serial, noSerial)}, boot+slowly
	}
	name, noName := host.Hostname(c.root)
	booted, noBoot := host.BootTime(ctx)
	encrypted, noDisk := diskEncrypted()
	firewall, noFirewall := firewallOn()
	return append([]Fact{{Name: "os", Value: runtime.GOOS}, c.slow[0], fact("hostname", name, noName), c.slow[1]},
		fact("boot_time", booted, noBoot), fact("disk_encrypted", encrypted, noDisk),
		fact("firewall_on", firewall, noFirewall))
}

func fact(name string, value any, err error) Fact {
	if err != nil {
		return Fact{Name: name, Reason: reason(err)}
	}
	return Fact{Name: name, Value: value}
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
