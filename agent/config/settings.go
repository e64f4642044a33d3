package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// Settings are what whoever rolls the agent out leaves on a machine, so that it
// can enrol by itself: a file of NAME=value lines, as a shell or an MDM writes
// it.
type Settings struct {
	// Server is the address of the agents' listener, host:port.
	Server string
	// Token is the enrolment token's text.
	Token string

	path, tokenFile string
}

// ErrSettings says that a settings file does not say what is needed. It never
// repeats a value.
var ErrSettings = errors.New("settings are not complete")

// Names of a settings file. Other names that begin with CUTOFF_ are refused, so
// that a misspelt one is noticed; the rest is someone else's.
const (
	settingServer    = "CUTOFF_SERVER"
	settingToken     = "CUTOFF_TOKEN"
	settingTokenFile = "CUTOFF_TOKEN_FILE"
	settingPrefix    = "CUTOFF_"
)

// maxSettings bounds a settings file and a token file, in bytes.
const maxSettings = 16 << 10

// ReadSettings reads a settings file, and the token file it names. Only this
// user may have written them: they say whom the device will obey. What others
// could read is first closed to them.
func ReadSettings(path string) (Settings, error) {
	raw, err := readOwn(path)
	if err != nil {
		return Settings{}, err
	}
	s := Settings{path: path}
	for i, line := range strings.Split(string(raw), "\n") {
		if err := s.set(line); err != nil {
			return Settings{}, fmt.Errorf("%s: line %d: %w", path, i+1, err)
		}
	}
	if s.Token == "" && s.tokenFile != "" {
		raw, err := readOwn(s.tokenFile)
		if err != nil {
			return Settings{}, fmt.Errorf("%s: %s: %w", path, settingTokenFile, err)
		}
		s.Token = strings.TrimSpace(string(raw))
	}
	if s.Server == "" || s.Token == "" {
		return Settings{}, fmt.Errorf("%s: %w: it needs %s and %s or %s",
			path, ErrSettings, settingServer, settingToken, settingTokenFile)
	}
	return s, nil
}

func (s *Settings) set(line string) error {
	name, value, ok := cutSetting(line)
	if !ok {
		return nil
	}
	switch name {
	case settingServer:
		s.Server = value
	case settingToken:
		s.Token = value
	case settingTokenFile:
		s.tokenFile = value
	default:
		if strings.HasPrefix(name, settingPrefix) {
			return fmt.Errorf("%w: there is no setting %q", ErrSettings, name)
		}
	}
	return nil
}

// cutSetting reads NAME=value, NAME="value" or export NAME='value'.
func cutSetting(line string) (name, value string, ok bool) {
	line = strings.TrimSpace(line)
	if strings.HasPrefix(line, "#") {
		return "", "", false
	}
	name, value, ok = strings.Cut(strings.TrimPrefix(line, "export "), "=")
	value = strings.TrimSpace(value)
	for _, quote := range []string{`"`, `'`} {
		if len(value) >= 2 && strings.HasPrefix(value, quote) && strings.HasSuffix(value, quote) {
			value = value[1 : len(value)-1]
			break
		}
	}
	return strings.TrimSpace(name), value, ok
}

// Forget takes the token off the machine: its line leaves the file, and a file
// that held it goes. The rest of the settings stays.
func (s Settings) Forget() error {
	var err error
	if s.tokenFile != "" {
		if err = os.Remove(s.tokenFile); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	raw, readErr := readOwn(s.path)
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	var kept []byte
	for _, line := range bytes.SplitAfter(raw, []byte("\n")) {
		name, _, ok := cutSetting(string(line))
		if ok && (name == settingToken || name == settingTokenFile) {
			continue
		}
		kept = append(kept, line...)
	}
	if bytes.Equal(kept, raw) {
		return err
	}
	return errors.Join(err, replaceFile(s.path, kept, true))
}

// readOwn reads a small file after closing it to others.
func readOwn(path string) ([]byte, error) {
	if err := shut(path); err != nil {
		return nil, err
	}
	file, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	raw, err := io.ReadAll(io.LimitReader(file, maxSettings+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(raw) > maxSettings {
		return nil, fmt.Errorf("%s: %w: more than %d bytes", path, ErrDamaged, maxSettings)
	}
	return raw, nil
}
