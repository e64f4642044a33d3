package config_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cutoff/agent/config"
)

func settingsFile(t *testing.T, mode os.FileMode, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.env")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSettingsAreReadAsAnMDMWritesThem(t *testing.T) {
	path := settingsFile(t, 0o644, "# rollout", "", `export CUTOFF_SERVER="cutoff.example:7443"`, "CUTOFF_TOKEN='tok'", "PATH=/bin")
	s, err := config.ReadSettings(path)
	if err != nil {
		t.Fatal(err)
	}
	if s.Server != "cutoff.example:7443" || s.Token != "tok" {
		t.Errorf("got %q and a token of %d bytes", s.Server, len(s.Token))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others can still read the token: %v %v", info.Mode(), err)
	}
	if err := s.Forget(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(left), "TOKEN") || !strings.Contains(string(left), "CUTOFF_SERVER") {
		t.Errorf("left: %q, %v", left, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := config.ReadSettings(path); !errors.Is(err, config.ErrSettings) {
		t.Errorf("settings without a token: %v", err)
	}
}

func TestSettingsForgetTheTokensFile(t *testing.T) {
	token := settingsFile(t, 0o600, "tok")
	s, err := config.ReadSettings(settingsFile(t, 0o600, "CUTOFF_SERVER=a:1", "CUTOFF_TOKEN_FILE="+token))
	if err != nil || s.Token != "tok" {
		t.Fatalf("got a token of %d bytes, %v", len(s.Token), err)
	}
	if err := s.Forget(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(token); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the token's file is there: %v", err)
	}
}

func TestSettingsThatOthersMayWriteAreRefused(t *testing.T) {
	for _, mode := range []os.FileMode{0o620, 0o602, 0o666} {
		if _, err := config.ReadSettings(settingsFile(t, mode, "CUTOFF_SERVER=a:1", "CUTOFF_TOKEN=tok")); !errors.Is(err, config.ErrExposed) {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(settingsFile(t, 0o600, "CUTOFF_SERVER=a:1", "CUTOFF_TOKEN=tok"), link); err != nil {
		t.Fatal(err)
	}
	if _, err := config.ReadSettings(link); !errors.Is(err, config.ErrDamaged) {
		t.Errorf("a link: %v", err)
	}
}

func TestSettingsErrorsNameNoValue(t *testing.T) {
	for _, lines := range [][]string{
		{"CUTOFF_SERVER=a:1", "CUTOFF_TOKN=canary"}, {"CUTOFF_TOKEN=canary"}, {"canary"}, {"CUTOFF_SERVER=canary"},
	} {
		if _, err := config.ReadSettings(settingsFile(t, 0o600, lines...)); !errors.Is(err, config.ErrSettings) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%v: %v", lines, err)
		}
	}
}
