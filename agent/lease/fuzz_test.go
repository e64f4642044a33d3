package lease_test

import (
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"cutoff/agent/lease"
)

// FuzzMark holds that no mark that can be read gives time back, whatever the
// clocks say, and that it is kept as it was read.
func FuzzMark(f *testing.F) {
	f.Add(`{"lease":7,"elapsed_ns":5,"boot_ns":1,"boot_id":"one","wall":"2026-11-23T12:00:00Z","counter":3}`, int64(7), int64(-9), uint64(4))
	f.Add(`{"lease":1,"elapsed_ns":9223372036854775807,"wall":"9999-01-01T00:00:00Z","powered_ns":9223372036854775807}`, int64(1), int64(1), uint64(0))
	f.Add(`{"lease":1,"wall":"0001-01-01T00:00:00.1Z","asked_ns":9223372036854775807,"counter":1}`, int64(1)<<62, int64(1)<<62, uint64(1))
	f.Fuzz(func(t *testing.T, text string, boot, wall int64, counter uint64) {
		raw := fmt.Appendf(nil, "%08x %s\n", crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)), text)
		m, err := lease.Decode(raw)
		if err != nil {
			return
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if same, err := lease.Newest([][]byte{again, raw}); err != nil || same.Elapsed != m.Elapsed || same.Tampered() != m.Tampered() {
			t.Fatalf("kept as %+v, %v; was %+v", same, err, m)
		}
		if boot < 0 {
			boot = -(boot + 1)
		}
		now := lease.Reading{
			Boot: time.Duration(boot), BootID: "two", Wall: noon.Add(time.Duration(wall)),
			Witness: lease.Witness{Counter: counter, Resets: uint32(counter), Clock: time.Duration(boot)},
		}
		for _, toll := range []time.Duration{0, 1, 1<<63 - 1} {
			if next := m.Advance(now, toll); next.Elapsed < m.Elapsed || m.Below && !next.Below {
				t.Fatalf("%+v became %+v", m, next)
			}
		}
	})
}
