package clock

import (
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// interruptTime goes on during sleep and hibernation, in units of 100 ns.
var interruptTime = windows.NewLazySystemDLL("kernelbase.dll").NewProc("QueryInterruptTimePrecise")

// boot falls back on GetTickCount64, the same clock in ticks of 16 ms, where the
// system is older than Windows 10.
func boot() time.Duration {
	if interruptTime.Find() != nil {
		return windows.DurationSinceBoot()
	}
	var units uint64
	_, _, _ = interruptTime.Call(uintptr(unsafe.Pointer(&units))) // returns nothing
	return time.Duration(units) * 100
}

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
