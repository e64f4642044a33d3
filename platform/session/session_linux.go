package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"cutoff/platform/command"
)

// maxProcesses bounds how many processes are looked at.
const maxProcesses = 20_000

func end(ctx context.Context, uid uint32) error {
	if uid == 0 {
		return fmt.Errorf("end sessions of root: %w", os.ErrPermission)
	}
	id := strconv.FormatUint(uint64(uid), 10)
	// logind first, so that its user manager starts nothing anew.
	_, logind := command.Run(ctx, "/usr/bin/loginctl", "terminate-user", id)
	killed := 0
	for round := 0; round < 3 && ctx.Err() == nil; round++ {
		n, err := killAll(uid)
		if err != nil {
			return fmt.Errorf("end sessions of %s: %w", id, err)
		}
		if killed += n; n == 0 {
			return nil
		}
	}
	if killed == 0 && logind != nil {
		return fmt.Errorf("end sessions of %s: %w", id, logind)
	}
	return ctx.Err()
}

// killAll kills every process whose real uid is uid, once.
func killAll(uid uint32) (int, error) {
	killed := 0
	err := processes(func(pid int, owner uint32) {
		if owner == uid && pid != os.Getpid() && syscall.Kill(pid, syscall.SIGKILL) == nil {
			killed++
		}
	})
	return killed, err
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
