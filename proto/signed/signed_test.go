package signed_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

var update = flag.Bool("update", false, "write golden files")

// key is a fixed key: the golden bytes depend on it.
func key() ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
}

func order() *cutoffv1.Order {
	return &cutoffv1.Order{
		OrderId: "ord_1", CutId: "cut_1", DeviceId: "dev_1", Kind: cutoffv1.OrderKind_ORDER_KIND_SEAL,
		Number: 1, Challenge: bytes.Repeat([]byte{1}, 32), EscrowRecipient: "age1x",
	}
}

func sealed(t *testing.T) ([]byte, signed.Keys) {
	t.Helper()
	raw, err := signed.Seal(signed.TypeOrder, order(), key())
	if err != nil {
		t.Fatal(err)
	}
	keys, err := signed.NewKeys(key().Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return raw, keys
}

func TestAnEnvelopeOpensToWhatWasSealed(t *testing.T) {
	raw, keys := sealed(t)
	got := &cutoffv1.Order{}
	id, err := signed.Open(raw, signed.TypeOrder, keys, got)
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, order()) {
		t.Errorf("got %v, want %v", got, order())
	}
	if want := signed.KeyID(key().Public().(ed25519.PublicKey)); id != want {
		t.Errorf("key id %s, want %s", id, want)
	}
}

// The bytes of a signed order never change: agents in the field verify them.
// The file is the envelope in hex: 0a type, 12 payload, 1a signature.
func TestTheBytesOfAnOrderAreGolden(t *testing.T) {
	raw, _ := sealed(t)
	const file = "testdata/order.hex"
	if *update {
		if err := os.WriteFile(file, []byte(hex.EncodeToString(raw)+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(raw); got != strings.TrimSpace(string(want)) {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEveryChangedByteIsRefused(t *testing.T) {
	raw, keys := sealed(t)
	for i := range raw {
		for _, flip := range []byte{1, 0x80} {
			bad := bytes.Clone(raw)
			bad[i] ^= flip
			if _, err := signed.Open(bad, signed.TypeOrder, keys, &cutoffv1.Order{}); err == nil {
				t.Fatalf("byte %d flipped by %#x was accepted", i, flip)
			}
		}
	}
}

func TestWhatIsNotOneCanonicalTrustedEnvelopeIsRefused(t *testing.T) {
	raw, keys := sealed(t)
	other, err := signed.NewKeys(ed25519.NewKeyFromSeed(make([]byte, 32)).Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	unknown := protowire.AppendVarint(protowire.AppendTag(bytes.Clone(raw), 99, protowire.VarintType), 1)
	twice := append(bytes.Clone(raw), raw[:2+len(signed.TypeOrder)]...)
	tests := []struct {
		name string
		raw  []byte
		kind string
		keys signed.Keys
		want error
	}{
		{"another type", raw, signed.TypeLease, keys, signed.ErrMalformed},
		{"another key", raw, signed.TypeOrder, other, signed.ErrUntrusted},
		{"no key", raw, signed.TypeOrder, nil, signed.ErrUntrusted},
		{"nothing", nil, signed.TypeOrder, keys, signed.ErrMalformed},
		{"garbage", bytes.Repeat([]byte{0xff}, 100), signed.TypeOrder, keys, signed.ErrMalformed},
		{"an unknown field", unknown, signed.TypeOrder, keys, signed.ErrMalformed},
		{"a repeated field", twice, signed.TypeOrder, keys, signed.ErrMalformed},
		{"a cut tail", raw[:len(raw)-1], signed.TypeOrder, keys, signed.ErrMalformed},
		{"too long", make([]byte, signed.MaxEnvelope+1), signed.TypeOrder, keys, signed.ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := signed.Open(tt.raw, tt.kind, tt.keys, &cutoffv1.Order{})
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	raw, err := signed.Seal(signed.TypeOrder, order(), key())
	if err != nil {
		f.Fatal(err)
	}
	keys, err := signed.NewKeys(key().Public().(ed25519.PublicKey))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := signed.Open(data, signed.TypeOrder, keys, &cutoffv1.Order{}); err == nil && !bytes.Equal(data, raw) {
			t.Fatalf("accepted %x", data)
		}
	})
}

func BenchmarkOpen(b *testing.B) {
	raw, err := signed.Seal(signed.TypeOrder, order(), key())
	if err != nil {
		b.Fatal(err)
	}
	keys, _ := signed.NewKeys(key().Public().(ed25519.PublicKey))
	for b.Loop() {
		if _, err := signed.Open(raw, signed.TypeOrder, keys, &cutoffv1.Order{}); err != nil {
			b.Fatal(err)
		}
	}
}
