package posture

import "golang.org/x/sys/unix"

// diskEncrypted asks about the block device under the root file system.
func diskEncrypted() (bool, error) {
	var st unix.Stat_t
	if err := unix.Stat("/", &st); err != nil {
		return false, err
	}
	return encrypted("/sys/dev/block", "/proc/self/mountinfo", unix.Major(st.Dev), unix.Minor(st.Dev), deviceOf)
}

// deviceOf answers the number of a block device's node.
func deviceOf(node string) (major, minor uint32, err error) {
	var st unix.Stat_t
	if err := unix.Stat(node, &st); err != nil {
		return 0, 0, err
	}
	return unix.Major(st.Rdev), unix.Minor(st.Rdev), nil
}
