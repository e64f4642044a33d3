package purge

import (
	"errors"
	"os"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/home"
	"cutoff/platform/files"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// snapshots are where tools of this system keep earlier states of its files:
// snapper (btrfs, LVM), Timeshift, and ZFS where its folder is shown.
var snapshots = []string{".snapshots", "home/.snapshots", "root/.snapshots", "timeshift/snapshots", "timeshift-btrfs/snapshots",
	"run/timeshift/backup/timeshift/snapshots", ".zfs/snapshot", "home/.zfs/snapshot"}

// reportSnapshots says that earlier states of this system's files exist. They
// are left: what is in them is more than credentials, a program that deletes
// snapshots is what an attacker's looks like, and revocation ends what they
// hold.
func (e *errand) reportSnapshots() {
	for _, name := range snapshots {
		info, err := e.root.Stat(name)
		there := err == nil && info.Kind == files.Directory || errors.Is(err, files.ErrMount) // often a mount of its own
		if !there || os.Geteuid() != 0 {
			continue
		}
		at := "/" + name
		e.add(&cutoffv1.Item{Id: home.ID("snapshot", "root", at, 0), Product: "snapshot", User: "root", Path: at, Action: "left",
			Outcome: cutoffv1.Outcome_OUTCOME_UNSUPPORTED, Detail: "earlier-states-kept", Regain: string(catalogue.None), Confidence: "unconfirmed"})
	}
}
