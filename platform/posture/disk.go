package posture

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxDepth bounds a chain of block devices: partition on LVM on LUKS on RAID …
const maxDepth = 16

// encrypted walks the chain of block devices below the root file system, whose
// device is major:minor. sysfs is /sys/dev/block and mountinfo
// /proc/self/mountinfo; device answers the number of a node in /dev. A file
// system without a device of its own (btrfs) names one in mountinfo.
func encrypted(
	sysfs, mountinfo string, major, minor uint32, device func(string) (major, minor uint32, err error),
) (bool, error) {
	if major == 0 {
		node, kind, err := rootSource(mountinfo)
		if err != nil {
			return false, err
		}
		if !strings.HasPrefix(node, "/dev/") {
			return false, fmt.Errorf("the root file system (%s) lies on no block device", kind)
		}
		if major, minor, err = device(node); err != nil {
			return false, fmt.Errorf("root device: %w", err)
		}
	}
	return chain(filepath.Join(sysfs, fmt.Sprintf("%d:%d", major, minor)), maxDepth)
}

// chain reports whether everything below the device lies on dm-crypt. A mirror
// of one encrypted and one plain disk is not.
func chain(device string, depth int) (bool, error) {
	if depth == 0 {
		return false, errors.New("the chain of block devices has no end")
	}
	if _, err := os.Stat(device); err != nil {
		return false, fmt.Errorf("block device: %w", err)
	}
	uuid, err := os.ReadFile(filepath.Join(device, "dm", "uuid"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("block device: %w", err)
	}
	if strings.HasPrefix(string(uuid), "CRYPT-") {
		return true, nil
	}
	slaves, err := os.ReadDir(filepath.Join(device, "slaves"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("block device: %w", err)
	}
	for _, s := range slaves {
		yes, err := chain(filepath.Join(device, "slaves", s.Name()), depth-1)
		if err != nil || !yes {
			return false, err
		}
	}
	return len(slaves) > 0, nil
}

// rootSource answers the source and type of what is mounted on /, the last
// mount counting.
func rootSource(mountinfo string) (source, kind string, err error) {
	raw, err := os.ReadFile(mountinfo)
	if err != nil {
		return "", "", fmt.Errorf("mounts: %w", err)
	}
	for line := range strings.Lines(string(raw)) {
		before, after, ok := strings.Cut(line, " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if ok && len(fields) >= 5 && fields[4] == "/" && len(rest) >= 2 {
			kind, source = rest[0], rest[1]
		}
	}
	if source == "" {
		return "", "", errors.New("mounts: nothing is mounted on /")
	}
	return source, kind, nil
}
