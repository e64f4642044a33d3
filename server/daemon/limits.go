package daemon

import (
	"cutoff/server/config"
	"cutoff/server/flow"
)

// brake are the configured limits as flow wants them.
func brake(b config.Brake) flow.BrakeLimits {
	return flow.BrakeLimits{
		Window: b.Window, People: b.People, Machine: b.Machine, PeoplePercent: b.PeoplePercent,
		MachinePercent: b.MachinePercent, GroupPercent: b.GroupPercent,
	}
}
