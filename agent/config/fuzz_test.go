package config_test

import (
	"os"
	"path/filepath"
	"testing"

	"cutoff/agent/config"
)

// FuzzConfig holds that agent.yaml is whole or an error.
func FuzzConfig(f *testing.F) {
	f.Add([]byte("server: a:1\ndevice_id: dev_1\ntrust_domain: t\nroot_key: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\nenrolled_at: 2026-11-23T12:00:00Z\n"))
	f.Add([]byte("server: &a [*a]\n"))
	f.Add([]byte("root: ../x\n"))
	f.Add([]byte{0xff, 0xfe})
	f.Fuzz(func(t *testing.T, raw []byte) {
		d := config.Dir(filepath.Join(t.TempDir(), "state"))
		if err := d.Make(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(string(d), "agent.yaml"), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := d.Read()
		if err != nil {
			return
		}
		if c.Server == "" || c.DeviceID == "" || c.TrustDomain == "" || len(c.RootKey) != 32 || c.Root != "" && !filepath.IsAbs(c.Root) {
			t.Fatalf("read as %+v", c)
		}
	})
}
