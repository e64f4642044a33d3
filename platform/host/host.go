// Package host says what machine this is: system, version, name, serial number,
// boot time and the id that tells the same machine installed anew. It must not
// guess: what cannot be read is an error with the reason.
package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v3/host"
)

// maxFile bounds what is read from a file that ought to hold one line.
const maxFile = 4096

// Version is the system's name and version, such as "debian 12.8".
func Version(ctx context.Context) (string, error) {
	platform, _, version, err := host.PlatformInformationWithContext(ctx)
	if err != nil {
		return "", fmt.Errorf("read system version: %w", err)
	}
	text := strings.TrimSpace(platform + " " + version)
	if text == "" {
		return "", errors.New("the system does not say its version")
	}
	return text, nil
}

// BootTime is when the system started, by its wall clock.
func BootTime(ctx context.Context) (time.Time, error) {
	seconds, err := host.BootTimeWithContext(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("read boot time: %w", err)
	}
	return time.Unix(int64(seconds), 0).UTC(), nil
}

// Hostname is the machine's name; below a trial root that of root/etc/hostname.
func Hostname(root string) (string, error) {
	if root == "" {
		return os.Hostname()
	}
	return line(filepath.Join(root, "etc", "hostname"))
}

// MachineID is the id of this installation; below a trial root that of
// root/etc/machine-id.
func MachineID(ctx context.Context, root string) (string, error) {
	if root != "" {
		return line(filepath.Join(root, "etc", "machine-id"))
	}
	id, err := host.HostIDWithContext(ctx)
	if err != nil {
		return "", fmt.Errorf("read machine id: %w", err)
	}
	if id == "" {
		return "", errors.New("the machine has no id")
	}
	return id, nil
}

// Serial is the serial number the maker gave the machine.
func Serial(ctx context.Context) (string, error) {
	text, err := serial(ctx)
	if err != nil {
		return "", err
	}
	return checkSerial(text)
}

// placeholders are what makers leave where a serial number should be.
var placeholders = []string{
	"", "0", "none", "default string", "to be filled by o.e.m.", "system serial number", "not specified",
	"not applicable", "n/a", "123456789", "0123456789", "unknown", "invalid", "oem", "o.e.m.",
}

func checkSerial(text string) (string, error) {
	text = strings.Trim(text, "\x00 \t\r\n")
	for _, p := range placeholders {
		if strings.EqualFold(text, p) {
			return "", errors.New("the maker set no serial number")
		}
	}
	return text, nil
}

// line reads a file's first line.
func line(path string) (string, error) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return "", errors.Join(err, fmt.Errorf("%s is not a readable file", path))
	}
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	raw := make([]byte, maxFile)
	n, err := file.Read(raw)
	if n == 0 && err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	first, _, _ := strings.Cut(string(raw[:n]), "\n")
	first = strings.TrimSpace(first)
	if first == "" {
		return "", fmt.Errorf("%s is empty", path)
	}
	return first, nil
}
