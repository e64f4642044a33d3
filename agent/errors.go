package main

import (
	"errors"
	"io/fs"

	"cutoff/agent/config"
	"cutoff/agent/control"
	"cutoff/agent/enroll"
	"cutoff/agent/journal"
	"cutoff/platform/keystore"
	"cutoff/platform/service"
)

// failure marks an error of a command's work, as against one of its usage.
type failure struct{ error }

// Unwrap returns the cause.
func (f *failure) Unwrap() error { return f.error }

// errUsage marks what the caller must write differently.
var errUsage = errors.New("usage")

// rows say what the outside may do about an error; the first match counts.
var rows = []struct {
	is   error
	exit int
	hint string
}{
	{errUsage, exitUsage, ""},
	{config.ErrNotEnrolled, exitUsage, "enrol first: cutoff-agent enroll --state DIR --server HOST:PORT --token-file FILE"},
	{enroll.ErrOtherServer, exitUsage, "use another --state directory, or remove this one if the device is to move"},
	{enroll.ErrToken, exitUsage, "a token looks like cutoff1.….….…; make one with: cutoff-server token create"},
	{enroll.ErrInput, exitUsage, ""},
	{enroll.ErrServer, exitNot, "the token is of another server, or someone stands between; nothing secret was sent"},
	{config.ErrExposed, exitUsage, "only the agent's own user may own or reach it: chown it back, then chmod go-rwx"},
	{keystore.ErrExposed, exitUsage, "only the agent's own user may own or reach it: chown it back, then chmod 600"},
	{config.ErrDamaged, exitUsage, "nothing was changed; restore the file, or enrol anew with a fresh --state directory"},
	{keystore.ErrDamaged, exitUsage, "nothing was changed; restore the file, or enrol anew with a fresh --state directory"},
	{journal.ErrNewer, exitUsage, "install the newer agent again"},
	{journal.ErrInUse, exitNot, "an agent is running on this state directory already"},
	{journal.ErrUnwritable, exitUsage, "its file system is read-only or it is not yours; nothing was changed"},
	{service.ErrNoSystem, exitNot, "start it by hand: cutoff-agent run --state DIR"},
	{control.ErrNotRunning, exitNot, "start it: systemctl start cutoff-agent, or cutoff-agent run --state DIR"},
	{fs.ErrPermission, exitUsage, "run it as the user who owns the state directory, usually root"},
	{fs.ErrNotExist, exitUsage, "nothing was changed; restore the file, or enrol anew with a fresh --state directory"},
}

func exitFor(err error) int {
	for _, r := range rows {
		if errors.Is(err, r.is) {
			return r.exit
		}
	}
	return exitNot
}

func hintFor(err error) string {
	for _, r := range rows {
		if errors.Is(err, r.is) {
			return r.hint
		}
	}
	return ""
}
