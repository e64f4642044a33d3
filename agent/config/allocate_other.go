//go:build !linux

package config

import "os"

// allocate takes size bytes of the disk.
func allocate(file *os.File, size int64) error { return fill(file, size) }
