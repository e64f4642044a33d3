package identify_test

import (
	"testing"
	"time"

	"cutoff/agent/purge/identify"
)

// renewable is a cache of version 4 with a ticket that can be renewed until 2031.
const renewable = "\x05\x04\x00\x00" + alice +
	alice + "\x00\x00\x00\x02\x00\x00\x00\x02" + corp + "\x00\x00\x00\x06krbtgt" + corp +
	"\x00\x12\x00\x00\x00\x0a" + secret + // the key
	"\x00\x00\x00\x00\x00\x00\x00\x00\x66\x00\x00\x00\x72\xbc\x28\x80" + // ends, renews
	"\x00\x00\x80\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x04tick\x00\x00\x00\x00"

const (
	corp  = "\x00\x00\x00\x04CORP"
	alice = "\x00\x00\x00\x01\x00\x00\x00\x01" + corp + "\x00\x00\x00\x05alice"
)

// ring is a secret ring: an RSA key of 8 bits, and whose it is.
const ring = "\x94\x0e\x04\x00\x00\x00\x00\x01\x00\x08\xff\x00\x02\x03\x00\x00" + "\xb4\x05alice"

func TestATicketThatCanBeRenewedLivesOn(t *testing.T) {
	f := identify.Read("ccache", []byte(renewable), folder{})
	if len(f.Identifiers) != 1 || f.Identifiers[0].Value != "alice@CORP" {
		t.Errorf("got %v", f.Identifiers)
	}
	if want := time.Unix(0x72bc2880, 0); !f.Until.Equal(want) {
		t.Errorf("until %v, want %v", f.Until, want)
	}
}

func TestASecretRingIsNamedByFingerprintAndUser(t *testing.T) {
	f := identify.Read("gnupg-key", []byte(ring), folder{name: "secring.gpg"})
	if len(f.Identifiers) != 2 || len(f.Identifiers[0].Value) != 40 || f.Identifiers[1].Value != "alice" {
		t.Errorf("got %v", f.Identifiers)
	}
	grip := "0123456789ABCDEF0123456789ABCDEF01234567"
	f = identify.Read("gnupg-key", []byte("Key: (private-key x)"), folder{name: grip + ".key"})
	if len(f.Identifiers) != 1 || f.Identifiers[0].Value != grip {
		t.Errorf("got %v", f.Identifiers)
	}
	for n := range len(ring) {
		identify.Read("gnupg-key", []byte(ring[:n]), folder{})
	}
}
