package console

import (
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// silenceWord explains what a device's silence comes to; its zero word is that
// of one that is not silent.
func silenceWord(d *cutoffv1.Device, now time.Time) word {
	since := "last heard " + momentOf(d.GetSilentSince(), now).Clock()
	switch d.GetSilence() {
	case "":
		return word{}
	case "warned":
		if at := momentOf(d.GetSealAt(), now); at.Known() {
			since += "; the server cuts it off at " + at.Clock()
		}
		return word{"silent", "warned", "wait", since}
	case "held":
		return word{"silent, held", "held", "wait", since + "; its time is over and a person decides"}
	case "sealed":
		return word{"silent, cut off", "sealed", "bad", since}
	default:
		return word{d.GetSilence(), "unknown", "dull", since}
	}
}
