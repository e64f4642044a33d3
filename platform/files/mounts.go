package files

import (
	"path"
	"strings"
)

// local are the kinds of file systems whose answers come from this kernel alone:
// nobody's program and no other machine can hold them up or make them up.
var local = map[string]bool{"tmpfs": true, "ramfs": true, "ext2": true, "ext3": true, "ext4": true, "xfs": true, "btrfs": true, "f2fs": true,
	"bcachefs": true, "zfs": true, "overlay": true}

// kindAt finds in a mountinfo table (proc_pid_mountinfo(5)) the kind of file
// system that an absolute path without links lies on; empty: unknown.
func kindAt(table, name string) string {
	name = path.Clean(name)
	longest, kind := -1, ""
	for line := range strings.Lines(table) {
		before, after, ok := strings.Cut(line, " - ")
		fields, rest := strings.Fields(before), strings.Fields(after)
		if !ok || len(fields) < 5 || len(rest) == 0 {
			continue
		}
		at := unescape.Replace(fields[4])
		under := name == at || strings.HasPrefix(name, strings.TrimSuffix(at, "/")+"/")
		if under && len(at) >= longest { // the last of several lies on top
			longest, kind = len(at), rest[0]
		}
	}
	return kind
}

var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

// Local reports whether an absolute path without links lies on a file system of
// this kernel's own. What cannot be told is not.
func Local(name string) bool { return local[kindAt(mounts(), name)] }
