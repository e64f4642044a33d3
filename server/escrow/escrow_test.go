package escrow_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"filippo.io/age"

	"cutoff/server/escrow"
)

func TestAnEscrowOpensWhatWasSealedToItsRecipient(t *testing.T) {
	text, private, err := escrow.Draw()
	if err != nil {
		t.Fatal(err)
	}
	recipient, err := age.ParseX25519Recipient(text)
	if err != nil {
		t.Fatal(err)
	}
	var sealed bytes.Buffer
	w, err := age.Encrypt(&sealed, recipient)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "secret"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	identity, err := escrow.Identity(private)
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(&sealed, identity)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err != nil || string(got) != "secret" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestABadPrivateHalfIsNotRepeatedInTheError(t *testing.T) {
	_, err := escrow.Identity([]byte("AGE-SECRET-KEY-1DAMAGED"))
	if err == nil || strings.Contains(err.Error(), "DAMAGED") {
		t.Fatalf("got %v", err)
	}
}
