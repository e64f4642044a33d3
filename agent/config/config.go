// Package config holds the agent's state directory: what enrolment fixed, in
// agent.yaml, and the places of the files beside it. Files are replaced whole,
// and nothing that another user could have written is read. It must not know
// what the signed files say.
package config

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gopkg.in/yaml.v3"
)

// Config is what enrolment fixed.
type Config struct {
	// Server is the address of the server's agents' listener, host:port.
	Server string
	// DeviceID is what the server calls this device.
	DeviceID string
	// TrustDomain is the server's.
	TrustDomain string
	// RootKey is the trust domain's root key, as the enrolment token pinned it.
	RootKey []byte
	// Root is the directory a trial works below, or empty.
	Root string
	// EnrolledAt is when.
	EnrolledAt time.Time
}

// file is agent.yaml.
type file struct {
	Server      string    `yaml:"server"`
	DeviceID    string    `yaml:"device_id"`
	TrustDomain string    `yaml:"trust_domain"`
	RootKey     string    `yaml:"root_key"`
	Root        string    `yaml:"root,omitempty"`
	EnrolledAt  time.Time `yaml:"enrolled_at"`
}

// Errors of a state directory. Each is the user's to put right.
var (
	// ErrNotEnrolled: there is no agent.yaml.
	ErrNotEnrolled = errors.New("this state directory is not enrolled")
	// ErrDamaged: a file does not hold what it should.
	ErrDamaged = errors.New("file is damaged")
	// ErrExposed: another user owns the file or directory, or can reach it.
	ErrExposed = errors.New("open to other users")
)

// maxConfig bounds agent.yaml, in bytes.
const maxConfig = 64 << 10

// Read returns what enrolment fixed, after checking that only the agent's user
// can have written it.
func (d Dir) Read() (Config, error) {
	if err := d.Check(); err != nil {
		return Config{}, err
	}
	raw, err := d.ReadFile(fileConfig, maxConfig)
	if errors.Is(err, fs.ErrNotExist) {
		return Config{}, ErrNotEnrolled
	}
	if err != nil {
		return Config{}, err
	}
	config, err := parse(raw)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w: %w", d.path(fileConfig), ErrDamaged, err)
	}
	return config, nil
}

func parse(raw []byte) (Config, error) {
	var f file
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	decoder.KnownFields(true)
	if err := decoder.Decode(&f); err != nil {
		if errors.Is(err, io.EOF) {
			return Config{}, errors.New("it is empty")
		}
		return Config{}, err
	}
	key, err := base64.StdEncoding.DecodeString(f.RootKey)
	if err != nil || len(key) != 32 {
		return Config{}, errors.New("root_key is not 32 bytes in base64")
	}
	if f.Server == "" || f.DeviceID == "" || f.TrustDomain == "" {
		return Config{}, errors.New("server, device_id or trust_domain is missing")
	}
	if f.Root != "" && !filepath.IsAbs(f.Root) {
		return Config{}, errors.New("root is not an absolute path")
	}
	return Config{
		Server: f.Server, DeviceID: f.DeviceID, TrustDomain: f.TrustDomain, RootKey: key, Root: f.Root,
		EnrolledAt: f.EnrolledAt,
	}, nil
}

// Write keeps what enrolment fixed; it is the last file enrolment writes.
func (d Dir) Write(c Config) error {
	raw, err := yaml.Marshal(file{
		Server: c.Server, DeviceID: c.DeviceID, TrustDomain: c.TrustDomain,
		RootKey: base64.StdEncoding.EncodeToString(c.RootKey), Root: c.Root, EnrolledAt: c.EnrolledAt.UTC(),
	})
	if err != nil {
		return fmt.Errorf("encode agent.yaml: %w", err)
	}
	return d.WriteFile(fileConfig, raw)
}

// openRegular opens a file that is neither a link nor a pipe.
func openRegular(path string) (*os.File, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: not a regular file", path, ErrDamaged)
	}
	if err := private(path, info); err != nil {
		return nil, err
	}
	return os.Open(path)
}
