package host

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestBelowATrialRootNameAndIDComeFromItsFiles(t *testing.T) {
	root := t.TempDir()
	if _, err := Hostname(root); err == nil {
		t.Error("a root without etc/hostname has a name")
	}
	if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"hostname": "trial-7\n", "machine-id": "0123abcd\nrest"} {
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if name, err := Hostname(root); err != nil || name != "trial-7" {
		t.Errorf("got %q, %v", name, err)
	}
	if id, err := MachineID(t.Context(), root); err != nil || id != "0123abcd" {
		t.Errorf("got %q, %v", id, err)
	}
}

func TestAPlaceholderIsNoSerialNumber(t *testing.T) {
	for _, text := range []string{"", "To Be Filled By O.E.M.", "Default string\n", "0"} {
		if got, err := checkSerial(text); err == nil {
			t.Errorf("%q was taken as %q", text, got)
		}
	}
	if got, err := checkSerial(" PF2ABCDE\x00\n"); err != nil || got != "PF2ABCDE" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestThisMachineHasAVersionAndABootTimeInThePast(t *testing.T) {
	if v, err := Version(t.Context()); err != nil || v == "" {
		t.Errorf("version: %q, %v", v, err)
	}
	boot, err := BootTime(t.Context())
	if err != nil || boot.After(time.Now()) || boot.Year() < 2020 {
		t.Errorf("boot time: %v, %v", boot, err)
	}
}
