package clock

import (
	"strconv"
	"time"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// boot reads GetTickCount64, which goes on during sleep and hibernation.
func boot() time.Duration { return windows.DurationSinceBoot() }

const prefetch = `SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters`

// bootID reads the counter of boots that Windows keeps.
func bootID() (string, error) {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, prefetch, registry.QUERY_VALUE)
	if err != nil {
		return "", err
	}
	defer func() { _ = key.Close() }()
	n, _, err := key.GetIntegerValue("BootId")
	return strconv.FormatUint(n, 10), err
}
