package flow

import (
	"cutoff/agent/lease"
)

// consult asks the witness about the kept mark, once a boot, and returns the
// clocks' reading after it. A mark that is older than the witness says is as
// good as none: the disk was put back. The counter is raised before anything of
// this boot is kept, so that what was kept of an earlier one is never right
// again.
//
// The intent is kept first: a power cut right after the raise is no rollback.
// A copy of the disk from that moment is taken for it, once.
func (f *Flow) consult(now lease.Reading) lease.Reading {
	t := &f.loop.trust
	if !t.marked || now.Witness.Counter == 0 {
		return now
	}
	if t.mark.PutBack(now.Witness) {
		f.config.Log.Error("this device's state was put back to an earlier one",
			"boots_kept", t.mark.Last.Witness.Counter, "boots_seen", now.Witness.Counter)
		t.marked, t.putBack, f.loop.reportNow = false, true, true
		return now
	}
	if !t.mark.Before(now) || f.config.Raise == nil {
		return now
	}
	t.mark.Raising, t.mark.Last.Witness.Counter = true, now.Witness.Counter
	err := f.writeMark(t.mark)
	if err == nil {
		err = f.config.Raise()
	}
	if err != nil {
		f.config.Log.Warn("the witness's counter was not raised", "err", err)
		return now
	}
	return f.config.Clock()
}
