package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"cutoff/platform/command"
	"cutoff/platform/process"
)

// maxProcesses bounds how many processes are looked at.
const maxProcesses = 20_000

// rounds is how often what was started meanwhile is looked for; patience how
// long a killed process may take to be gone.
const (
	rounds   = 4
	patience = 2 * time.Second
)

func end(ctx context.Context, uid uint32, sessionsOnly bool) error {
	if uid == 0 {
		return fmt.Errorf("end sessions of root: %w", os.ErrPermission)
	}
	q := process.Query{All: true, Own: func(u uint32) bool { return u == uid }, Session: func(uint32, string) bool { return sessionsOnly }}
	left, err := killAll(ctx, q) // at once: nothing is written on the way out
	_, logind := command.Run(ctx, "/usr/bin/loginctl", "terminate-user", strconv.FormatUint(uint64(uid), 10))
	for round := 0; err == nil && round < rounds && ctx.Err() == nil; round++ {
		var again int
		if again, err = killAll(ctx, q); again == 0 {
			return nil
		}
		left += again
	}
	if err != nil {
		return fmt.Errorf("end sessions of %d: %w", uid, err)
	}
	if left == 0 && logind != nil {
		return fmt.Errorf("end sessions of %d: %w", uid, logind)
	}
	return ctx.Err()
}

// killAll kills what q means, and returns how many there were.
func killAll(ctx context.Context, q process.Query) (int, error) {
	all, err := process.Find(q)
	process.Stop(ctx, all, 0, patience)
	for _, p := range all {
		p.Close()
	}
	return len(all), err
}

func variables(names []string) map[string][]string {
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = true
	}
	found := map[string][]string{}
	uid := uint32(os.Getuid())
	_ = processes(func(pid int, owner uint32) {
		if owner != uid || pid == os.Getpid() {
			return
		}
		file, err := os.Open("/proc/" + strconv.Itoa(pid) + "/environ")
		if err != nil {
			return // ended, or not dumpable
		}
		defer file.Close()
		if environ, err := io.ReadAll(io.LimitReader(file, maxEnviron)); err == nil {
			pick(environ, wanted, found)
			clear(environ)
		}
	})
	return found
}

// processes calls each for every process with the owner of its /proc folder.
func processes(each func(pid int, owner uint32)) error {
	proc, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(maxProcesses)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		var st syscall.Stat_t
		if syscall.Stat("/proc/"+name, &st) == nil {
			each(pid, st.Uid)
		}
	}
	return nil
}
