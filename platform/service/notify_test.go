package service

import "testing"

func TestWhyAServiceEndsIsReadFromWhatSystemdSays(t *testing.T) {
	for _, c := range []struct {
		name, system, jobs, enabled string
		want                        Ending
	}{
		{"the machine shuts down", "stopping\n", "12 cutoff-agent.service stop running\n", "enabled\n", Shutdown},
		{"someone stops it", "running\n", "12 cutoff-agent.service stop running\n", "enabled\n", Stopped},
		{"someone disables it and stops it", "degraded\n", "12 cutoff-agent.service stop running\n", "disabled\n", Disabled},
		{"someone masks it and stops it", "running\n", "12 cutoff-agent.service stop running\n", "masked\n", Disabled},
		{"its file went before it was stopped", "running\n", "12 cutoff-agent.service stop running\n", "not-found\n", Disabled},
		{"an upgrade restarts it", "running\n", "12 cutoff-agent.service restart running\n", "enabled\n", Restart},
		{"its process alone is told", "running\n", "", "enabled\n", Restart},
		{"another unit stops meanwhile", "running\n", "9 cron.service stop waiting\n12 cutoff-agent.service restart running\n", "enabled\n", Restart},
	} {
		if got := endingOf(c.system, c.jobs, c.enabled, "cutoff-agent.service"); got != c.want {
			t.Errorf("%s: got %d, want %d", c.name, got, c.want)
		}
	}
}
