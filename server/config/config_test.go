package config_test

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"cutoff/server/config"
	"cutoff/server/fault"
)

func TestWhatTheFileDoesNotSayKeepsItsDefault(t *testing.T) {
	want := config.Default()
	for _, text := range []string{"", "brake: {}\n", "# nothing\n", "brake:\nagents:\nlog:\n"} {
		got, problems := config.Parse([]byte(text))
		if len(problems) > 0 || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %v", text, got, problems)
		}
	}
	got, problems := config.Parse([]byte(`
brake:
  people: 100
  window: 10m
agents:
  names: [Cutoff.example.com, 192.0.2.10, "2001:db8::1"]
escrow:
  backups: 0s
log:
  level: debug
`))
	want.Brake.People, want.Brake.Window = 100, 10*time.Minute
	want.Agents.Names = []string{"cutoff.example.com", "192.0.2.10", "2001:db8::1"}
	want.Escrow.Backups = 0
	want.Log.Level = slog.LevelDebug
	if len(problems) > 0 || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, problems)
	}
}

func TestAFaultOfTheFileIsNamedWithItsPlace(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"unknown key", "brakes: {}", `1:1: unknown key "brakes"`},
		{"unknown key below", "brake:\n  peple: 4", `2:3: unknown key "peple"`},
		{"repeated key", "brake: {}\nbrake: {}", `2:1: key "brake" is repeated`},
		{"not a number", "brake:\n  people: many", "2:11: want a whole number from 1"},
		{"a number as text", "brake:\n  people: \"4\"", "2:11: want a whole number"},
		{"no limit at all", "brake:\n  people: 0", "2:11: want a whole number from 1"},
		{"more than all", "brake:\n  group_percent: 101", "2:18: want a whole number from 1 to 100"},
		{"not a duration", "brake:\n  window: 60", "2:11: want a duration"},
		{"too short", "brake:\n  window: 1s", "2:11: want a duration from"},
		{"backups for ever", "escrow:\n  backups: 100000h", "2:12: want a duration from 0s to 87600h"},
		{"not a level", "log:\n  level: loud", `2:10: "loud" is none of`},
		{"not a name", "agents:\n  names: [ok.example, 'a b']", `2:23: "a b" is neither`},
		{"a list", "- brake", "1:1: want a map"},
		{"broken", "brake: [", "1:"},
	}
	for _, c := range cases {
		_, problems := config.Parse([]byte(c.text))
		if got := fmt.Sprint(problems); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %q", c.name, got, c.want)
		}
	}
}

func TestTheFileIsReadFromTheDataDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	if got, err := config.Load(path); err != nil || !reflect.DeepEqual(got, config.Default()) {
		t.Errorf("without a file: got %+v, %v", got, err)
	}
	if err := os.WriteFile(path, []byte("brake:\n  people: x\n  machine: y\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(path)
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), path+":2:11: ") || !strings.Contains(err.Error(), path+":3:12: ") {
		t.Errorf("got %v, want both places", err)
	}
	if _, err := config.Load(t.TempDir()); err == nil {
		t.Error("a directory is a file")
	}
}

func TestTheChangeOfEveryLimitIsRecorded(t *testing.T) {
	base := config.Default()
	limits := base.Limits()
	if got, want := len(limits), reflect.TypeFor[config.Brake]().NumField()+reflect.TypeFor[config.Escrow]().NumField(); got != want {
		t.Errorf("%d limits are recorded, the brake and the escrow have %d", got, want)
	}
	changed := base
	changed.Brake = config.Brake{Window: time.Minute, People: 7, PeoplePercent: 7, Machine: 7, MachinePercent: 7, GroupPercent: 7}
	changed.Escrow.Backups = 0
	for name, value := range changed.Limits() {
		if limits[name] == value {
			t.Errorf("%s does not follow its setting", name)
		}
	}
}
