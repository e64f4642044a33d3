package files

import "testing"

func TestWhichFileSystemAPathLiesOn(t *testing.T) {
	const table = `21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
22 21 0:20 / /run rw,nosuid shared:2 - tmpfs tmpfs rw
23 22 0:21 / /run/user/1000 rw shared:3 - tmpfs tmpfs rw
24 23 0:22 / /run/user/1000/doc rw shared:4 - fuse.portal portal rw
25 21 0:23 / /mnt/a\040b rw shared:5 master:1 - nfs4 server:/x rw
26 21 0:24 / /tmp rw - tmpfs tmpfs rw
27 26 0:25 / /tmp rw - fuse.sshfs x rw
28 21 8:2 / /home/al rw - xfs /dev/sda2 rw
a line that is none
`
	for name, want := range map[string]string{
		"/etc/passwd": "ext4", "/run/x": "tmpfs", "/running": "ext4", "/run/user/1000/krb5cc": "tmpfs", "/run/user/1000/doc/x": "fuse.portal",
		"/mnt/a b/c": "nfs4", "/tmp/krb5cc_1000": "fuse.sshfs", "/home/alice/x": "ext4", "/home/al/x": "xfs", "/home/al/../../tmp": "fuse.sshfs",
	} {
		if got := kindAt(table, name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		if local[want] != (want == "ext4" || want == "tmpfs" || want == "xfs") {
			t.Errorf("%s is said to be this kernel's own, or not to be", want)
		}
	}
	if kindAt("", "/x") != "" || local[""] {
		t.Error("what cannot be told is taken for local")
	}
}
