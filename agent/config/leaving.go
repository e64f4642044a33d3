package config

import (
	"errors"
	"io/fs"
	"os"
)

const fileLeaving = "leaving"

// Announce leaves word for the running agent that its end, which comes next, is
// its removal: a service manager tells a stop and a removal by the same signal.
func (d Dir) Announce() error { return d.WriteFile(fileLeaving, []byte("removed\n")) }

// Announced reports whether a removal was announced.
func (d Dir) Announced() bool {
	raw, err := d.ReadFile(fileLeaving, maxConfig)
	return err == nil && string(raw) == "removed\n"
}

// Stay withdraws the word: whoever starts the agent again did not remove it.
func (d Dir) Stay() error {
	if err := os.Remove(d.path(fileLeaving)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
