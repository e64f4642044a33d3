package posture

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// device makes one block device of a sysfs tree: its dm uuid and what it lies on.
func device(t *testing.T, sysfs, path, uuid string, below ...string) {
	t.Helper()
	dir := filepath.Join(sysfs, path)
	if err := os.MkdirAll(filepath.Join(dir, "slaves"), 0o755); err != nil {
		t.Fatal(err)
	}
	if uuid != "" {
		if err := os.MkdirAll(filepath.Join(dir, "dm"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "dm", "uuid"), []byte(uuid+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, b := range below {
		if err := os.Symlink(filepath.Join(sysfs, b), filepath.Join(dir, "slaves", b)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDiskEncryptionFollowsTheChainOfBlockDevices(t *testing.T) {
	cases := []struct {
		name  string
		build func(t *testing.T, sysfs string)
		want  bool
	}{
		{"a plain partition", func(t *testing.T, s string) { device(t, s, "8:1", "") }, false},
		{"LUKS on a partition", func(t *testing.T, s string) {
			device(t, s, "sda1", "")
			device(t, s, "8:1", "CRYPT-LUKS2-0123-root", "sda1")
		}, true},
		{"LVM on LUKS", func(t *testing.T, s string) {
			device(t, s, "sda1", "")
			device(t, s, "dm-0", "CRYPT-LUKS2-0123-pv", "sda1")
			device(t, s, "8:1", "LVM-abc", "dm-0")
		}, true},
		{"LVM on a plain partition", func(t *testing.T, s string) {
			device(t, s, "sda1", "")
			device(t, s, "8:1", "LVM-abc", "sda1")
		}, false},
		{"a mirror of one encrypted and one plain disk", func(t *testing.T, s string) {
			device(t, s, "sda1", "")
			device(t, s, "sdb1", "")
			device(t, s, "dm-0", "CRYPT-LUKS2-0123-a", "sda1")
			device(t, s, "8:1", "", "dm-0", "sdb1")
		}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sysfs := t.TempDir()
			c.build(t, sysfs)
			got, err := encrypted(sysfs, "/nonexistent", 8, 1, nil)
			if err != nil || got != c.want {
				t.Errorf("got %v, %v; want %v", got, err, c.want)
			}
		})
	}
}

func TestDiskEncryptionThatCannotBeSeenIsUnknown(t *testing.T) {
	sysfs, mounts := t.TempDir(), filepath.Join(t.TempDir(), "mountinfo")
	if _, err := encrypted(sysfs, mounts, 8, 1, nil); err == nil {
		t.Error("a device that sysfs does not know has an answer")
	}
	device(t, sysfs, "8:1", "", "8:1")
	if _, err := encrypted(sysfs, mounts, 8, 1, nil); err == nil {
		t.Error("an endless chain has an answer")
	}
	write := func(line string) {
		if err := os.WriteFile(mounts, []byte(line), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("22 1 0:21 / / rw - overlay overlay rw,lowerdir=/a\n")
	if _, err := encrypted(sysfs, mounts, 0, 21, nil); err == nil || !strings.Contains(err.Error(), "overlay") {
		t.Errorf("an overlay: %v", err)
	}
	write("21 1 0:20 / / rw - rootfs rootfs rw\n22 1 0:21 /@ / rw,noatime shared:1 - btrfs /dev/mapper/root rw\n")
	device(t, sysfs, "254:0", "CRYPT-LUKS2-0123-root")
	of := func(node string) (uint32, uint32, error) {
		if node != "/dev/mapper/root" {
			return 0, 0, fs.ErrNotExist
		}
		return 254, 0, nil
	}
	if got, err := encrypted(sysfs, mounts, 0, 21, of); err != nil || !got {
		t.Errorf("btrfs on LUKS: %v, %v", got, err)
	}
}

func TestAFirewallIsOnWhenSomethingFiltersWhatComesIn(t *testing.T) {
	input := chainInfo{family: familyInet, kind: "filter", base: true, hook: hookLocalIn, policy: policyDrop}
	accept, ruled, forward, nat, bridge := input, input, input, input, input
	accept.policy = 1
	ruled.policy, ruled.rules = 1, 3
	forward.hook = 2
	nat.kind = "nat"
	bridge.family = 7
	denied := fs.ErrPermission
	cases := []struct {
		name    string
		chains  []chainInfo
		nft     error
		old     legacy
		conf    string
		want    bool
		unknown bool
	}{
		{"nothing at all", nil, nil, legacy{}, "", false, false},
		{"a configured ufw that is not in the kernel", nil, nil, legacy{}, "ufw", false, false},
		{"drop by default", []chainInfo{accept, input}, nil, legacy{}, "", true, false},
		{"rules and accept by default", []chainInfo{ruled}, nil, legacy{}, "", true, false},
		{"an empty chain that accepts", []chainInfo{accept}, nil, legacy{}, "", false, false},
		{"only forwarding, as Docker leaves it", []chainInfo{forward, nat, bridge}, nil, legacy{}, "", false, false},
		{"old iptables with rules", nil, nil, legacy{loaded: true, rules: true}, "", true, false},
		{"old iptables without rules", nil, nil, legacy{loaded: true}, "", false, false},
		{"nothing readable", nil, denied, legacy{err: denied}, "", false, true},
		{"nothing readable but a configuration", nil, denied, legacy{}, "ufw", false, true},
		{"old iptables seen, the rest not readable", nil, denied, legacy{loaded: true, rules: true}, "", true, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := decideFirewall(c.chains, c.nft, c.old, c.conf)
			if got != c.want || (err != nil) != c.unknown {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

// attr is one netlink attribute.
func attr(kind uint16, value []byte) []byte {
	raw := binary.NativeEndian.AppendUint16(nil, uint16(4+len(value)))
	raw = binary.NativeEndian.AppendUint16(raw, kind)
	raw = append(raw, value...)
	for len(raw)%4 != 0 {
		raw = append(raw, 0)
	}
	return raw
}

func be(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

func TestAChainIsReadFromItsNetlinkMessage(t *testing.T) {
	const nested = 0x8000
	raw := attr(1, []byte("filter\x00"))
	raw = append(raw, attr(3, []byte("input\x00"))...)
	raw = append(raw, attr(attrChainHook|nested, append(attr(attrHookNumber, be(hookLocalIn)), attr(2, be(0))...))...)
	raw = append(raw, attr(attrChainPolicy, be(policyDrop))...)
	raw = append(raw, attr(attrChainUse, be(5))...)
	raw = append(raw, attr(attrChainType, []byte("filter\x00"))...)
	got, err := parseChain(familyInet, raw)
	want := chainInfo{family: familyInet, kind: "filter", base: true, hook: hookLocalIn, policy: policyDrop, rules: 5}
	if err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for cut := 1; cut < len(raw); cut++ {
		_, err := parseChain(familyInet, raw[:cut])
		if err != nil && !errors.Is(err, errNetlink) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

func TestConfiguredFirewallsAreNamed(t *testing.T) {
	files := map[string]string{}
	read := func(path string) ([]byte, error) {
		text, ok := files[path]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return []byte(text), nil
	}
	if got := configuredFirewall(read); got != "" {
		t.Errorf("nothing configured: %q", got)
	}
	files["/etc/ufw/ufw.conf"] = "# ENABLED=yes\nENABLED=no\n"
	if got := configuredFirewall(read); got != "" {
		t.Errorf("ufw off: %q", got)
	}
	files["/etc/ufw/ufw.conf"] = "LOGLEVEL=low\nENABLED=yes\n"
	if got := configuredFirewall(read); got != "ufw" {
		t.Errorf("ufw on: %q", got)
	}
}

func TestEveryFactOfThisMachineIsAValueOrHasAReason(t *testing.T) {
	want := []string{"os", "os_version", "hostname", "serial", "boot_time", "disk_encrypted", "firewall_on"}
	got := New("").Collect(t.Context(), 0)
	if len(got) != len(want) {
		t.Fatalf("got %d facts", len(got))
	}
	for i, f := range got {
		if f.Name != want[i] {
			t.Errorf("fact %d is %s, want %s", i, f.Name, want[i])
		}
		if (f.Value == nil) == (f.Reason == "") {
			t.Errorf("%s: value %v and reason %q", f.Name, f.Value, f.Reason)
		}
		switch f.Value.(type) {
		case nil, string, bool, int64, time.Time:
		default:
			t.Errorf("%s has a %T", f.Name, f.Value)
		}
		t.Log(f.Name, f.Value, f.Reason)
	}
}
