package process

import (
	"os"
	"strings"
)

// maxDescriptors bounds how many of one process are looked at.
const maxDescriptors = 4096

func deleted(pid int) []string {
	dir, err := os.Open(file(pid, "fd"))
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(maxDescriptors) // what was listed counts
	var out []string
	for _, name := range names {
		target, err := os.Readlink(file(pid, "fd/"+name))
		if err != nil {
			continue
		}
		if was, gone := strings.CutSuffix(target, " (deleted)"); gone && strings.HasPrefix(was, "/") {
			out = append(out, was)
		}
	}
	return out
}
