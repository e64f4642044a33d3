package command

import (
	"time"

	"github.com/spf13/cobra"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// silenceFlags are what a group says about silence beyond its deadlines.
type silenceFlags struct {
	bootToll, stopped    time.Duration
	onTamper, help       string
	autoLift, privileged bool
}

func (f *silenceFlags) add(set *cobra.Command) {
	spanFlag(set, &f.stopped, "stopped", 0, "a silent device whose agent was stopped without permission is sealed after this long")
	set.Flags().Var(tollValue{&f.bootToll}, "boot-toll", "charge this for each boot without contact; 0 charges none")
	set.Flags().StringVar(&f.onTamper, "on-tamper", "", "what a device does when its clock was set back: seal or report")
	set.Flags().BoolVar(&f.autoLift, "auto-lift", true, "a device sealed for its silence alone is trusted again when it is back and passes policy")
	set.Flags().StringVar(&f.help, "help-line", "", "one `LINE` under each warning on the user's screen, such as whom to call")
	set.Flags().BoolVar(&f.privileged, "privileged", false,
		"privileged devices: 4h to seal, 24h to purge, stopped 15m where no others are named, and no auto-lift")
}

// fill sets what was named.
func (f *silenceFlags) fill(set *cobra.Command, req *cutoffv1.SetGroupRequest) {
	for _, d := range []struct {
		name string
		from time.Duration
		to   **int64
	}{{"stopped", f.stopped, &req.StoppedMs}, {"boot-toll", f.bootToll, &req.BootTollMs}} {
		if set.Flags().Changed(d.name) {
			ms := d.from.Milliseconds()
			*d.to = &ms
		}
	}
	for _, s := range []struct {
		name string
		from *string
		to   **string
	}{{"on-tamper", &f.onTamper, &req.OnTamper}, {"help-line", &f.help, &req.Help}} {
		if set.Flags().Changed(s.name) {
			*s.to = s.from
		}
	}
	for _, b := range []struct {
		name string
		from *bool
		to   **bool
	}{{"auto-lift", &f.autoLift, &req.AutoLift}, {"privileged", &f.privileged, &req.Privileged}} {
		if set.Flags().Changed(b.name) {
			*b.to = b.from
		}
	}
}

// tollValue is a spanValue that may be 0.
type tollValue struct{ to *time.Duration }

// String is pflag.Value.
func (v tollValue) String() string { return spanValue(v).String() }

// Type is pflag.Value.
func (v tollValue) Type() string { return "duration" }

// Set is pflag.Value.
func (v tollValue) Set(s string) error {
	if s == "0" || s == "0s" {
		*v.to = 0
		return nil
	}
	return spanValue(v).Set(s)
}

// comesBack says who ends the seal of a device that was only silent.
func comesBack(g *cutoffv1.Group) string {
	if g.GetAutoLift() {
		return "by itself"
	}
	return "by a person"
}

// silentWords says since when a device is silent, and what comes of it.
func silentWords(d *cutoffv1.Device) string {
	if d.GetSilence() == "" {
		return ""
	}
	said := d.GetSilence() + ", last heard " + when(d.GetSilentSince())
	if d.GetSealAt() != nil {
		said += ", cut at " + when(d.GetSealAt())
	}
	if d.GetPurgeAt() != nil {
		said += ", purged at " + when(d.GetPurgeAt())
	}
	return said
}
