//go:build !linux

package users

import "errors"

// Listing comes with this system's own purge.
func list(string) ([]User, error) { return nil, errors.ErrUnsupported }

func current(string) ([]User, error) { return nil, errors.ErrUnsupported }

func reach(string, []User) error { return errors.ErrUnsupported }
