package flow_test

import (
	"bytes"
	"testing"

	"cutoff/server/flow"
)

func TestASealedValueOpensOnlyWholeAndInItsRow(t *testing.T) {
	key := newDataKey(t)
	plain := []byte("a token")
	sealed, err := key.Seal(plain, "row 1")
	if err != nil {
		t.Fatal(err)
	}
	again, err := key.Seal(plain, "row 1")
	if err != nil || bytes.Equal(sealed, again) || bytes.Contains(sealed, plain) {
		t.Errorf("sealed as %x and %x, %v", sealed, again, err)
	}
	if got, err := key.Open(sealed, "row 1"); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := key.Open(sealed, "row 2"); err == nil {
		t.Error("it opens in another row")
	}
	if _, err := newDataKey(t).Open(sealed, "row 1"); err == nil {
		t.Error("it opens with another key")
	}
	for i := range sealed {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if _, err := key.Open(changed, "row 1"); err == nil {
			t.Errorf("it opens with byte %d changed", i)
		}
		if _, err := key.Open(sealed[:i], "row 1"); err == nil {
			t.Errorf("its first %d bytes open", i)
		}
	}
	if bytes.Equal(key.MAC("one", plain), key.MAC("two", plain)) {
		t.Error("a MAC serves two purposes")
	}
	if _, err := flow.NewLocalKey(make([]byte, 31)); err == nil {
		t.Error("31 bytes are a key")
	}
}
