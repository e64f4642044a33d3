package e2e

import (
	"os"
	"syscall"
)

func owner(info os.FileInfo) (uid, gid int) {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return os.Getuid(), os.Getgid()
	}
	return int(stat.Uid), int(stat.Gid)
}
