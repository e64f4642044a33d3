// Package config holds the server's settings: DIR/config.yaml, read once at
// start. A limit comes from here and from nowhere else, so that raising one
// leaves a trace. It must not know what the settings are used for.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"cutoff/server/document"
	"cutoff/server/fault"
)

// maxFile bounds the file in bytes.
const maxFile = 64 << 10

// Config is the server's settings. Default makes one without a file.
type Config struct {
	Brake  Brake
	Agents Agents
	Escrow Escrow
	Log    Log
}

// Brake is how many distinct devices may be cut within a window before a case
// is held for a person.
type Brake struct {
	Window time.Duration
	// People is for cuts each person asks for, Machine for those by policy,
	// signals and silence: at least so many, or the percentage of the fleet.
	People         int
	PeoplePercent  int
	Machine        int
	MachinePercent int
	// GroupPercent is the most of one group that the machine may cut.
	GroupPercent int
}

// Agents is about the listener that agents connect to.
type Agents struct {
	// Names are further host names and addresses by which agents reach it; the
	// server's certificate carries them.
	Names []string
	// Addresses (host:port) are where else agents may find it, in the order they
	// are tried; they learn them with their leases.
	Addresses []string
	// Mirrors are the URLs of folders on web servers that hold what `lease export`
	// wrote.
	Mirrors []string
}

// Escrow is about the keys in DIR/escrow.
type Escrow struct {
	// Backups is how long backups of DIR/escrow are kept; zero: none are made.
	// A key that was shredded counts as gone once it is past.
	Backups time.Duration
}

// Log is about what goes to stderr.
type Log struct {
	Level slog.Level
}

// Default is what holds where the file says nothing.
func Default() Config {
	return Config{
		Brake:  Brake{Window: time.Hour, People: 3, PeoplePercent: 5, Machine: 3, MachinePercent: 5, GroupPercent: 50},
		Escrow: Escrow{Backups: 30 * 24 * time.Hour},
		Log:    Log{Level: slog.LevelInfo},
	}
}

// Load reads the file at path; without one the defaults hold. An error lists
// everything that is wrong, each with file, line and column.
func Load(path string) (Config, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Default(), nil
	}
	if err != nil {
		return Config{}, fmt.Errorf("read settings: %w", err)
	}
	c, problems := Parse(data)
	return c, problems.Err(path)
}

// Limits of the settings.
const (
	minWindow  = time.Minute
	maxWindow  = 7 * 24 * time.Hour
	maxDevices = 1_000_000
	maxNames   = 50
	maxBackups = 10 * 365 * 24 * time.Hour
)

// Parse reads the file's text. With any problem the Config is of no use.
//
//	brake:
//	  window: 1h
//	  people: 3            # at least so many devices for each person …
//	  people_percent: 5    # … or this part of the fleet
//	  machine: 3
//	  machine_percent: 5
//	  group_percent: 50
//	agents:
//	  names: [cutoff.example.com, 192.0.2.10]
//	  addresses: [cutoff.example.com:8443, cutoff2.example.com:8443]
//	  mirrors: [https://static.example.com/leases/]
//	escrow:
//	  backups: 720h        # for so long backups of DIR/escrow are kept; 0s: none are made
//	log:
//	  level: info          # debug, info, warn or error
func Parse(data []byte) (Config, fault.Problems) {
	c := Default()
	file := document.Read(data, maxFile)
	top := file.Root.Map("brake", "agents", "escrow", "log")
	c.Brake.read(top["brake"])
	c.Agents.read(top["agents"])
	c.Escrow.Backups = top["escrow"].Map("backups")["backups"].Duration(0, maxBackups, c.Escrow.Backups)
	c.Log.read(top["log"])
	return c, file.Problems()
}

func (b *Brake) read(n document.Node) {
	f := n.Map("window", "people", "people_percent", "machine", "machine_percent", "group_percent")
	b.Window = f["window"].Duration(minWindow, maxWindow, b.Window)
	b.People = f["people"].Int(1, maxDevices, b.People)
	b.PeoplePercent = f["people_percent"].Int(1, 100, b.PeoplePercent)
	b.Machine = f["machine"].Int(1, maxDevices, b.Machine)
	b.MachinePercent = f["machine_percent"].Int(1, 100, b.MachinePercent)
	b.GroupPercent = f["group_percent"].Int(1, 100, b.GroupPercent)
}

var hostName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

func (a *Agents) read(n document.Node) {
	f := n.Map("names", "addresses", "mirrors")
	a.Addresses = texts(f["addresses"], checkAddress)
	a.Mirrors = texts(f["mirrors"], checkMirror)
	names := f["names"]
	list := names.List()
	if len(list) > maxNames {
		names.Fault("%d names, at most %d", len(list), maxNames)
		return
	}
	for _, item := range list {
		name := strings.ToLower(item.Text())
		if net.ParseIP(name) == nil && (len(name) > 253 || !hostName.MatchString(name)) {
			item.Fault("%q is neither a host name nor an address", name)
			continue
		}
		a.Names = append(a.Names, name)
	}
}

func (l *Log) read(n document.Node) {
	level := n.Map("level")["level"]
	word := level.OneOf("debug", "info", "warn", "error")
	if word != "" {
		// Each of the words above is a level's name.
		_ = l.Level.UnmarshalText([]byte(word))
	}
}

// Limits are the settings whose change is evidence, as name and value.
func (c *Config) Limits() map[string]string {
	b := c.Brake
	return map[string]string{
		"brake.window":          b.Window.String(),
		"brake.people":          strconv.Itoa(b.People),
		"brake.people_percent":  strconv.Itoa(b.PeoplePercent),
		"brake.machine":         strconv.Itoa(b.Machine),
		"brake.machine_percent": strconv.Itoa(b.MachinePercent),
		"brake.group_percent":   strconv.Itoa(b.GroupPercent),
		"escrow.backups":        c.Escrow.Backups.String(),
	}
}
