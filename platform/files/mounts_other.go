//go:build !linux

package files

func mounts() string { return "" }
