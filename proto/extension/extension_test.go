package extension_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"

	"cutoff/proto/extension"
)

func draw() (c extension.Code) {
	_, _ = rand.Read(c[:])
	return c
}

func TestACodeReadsBackHoweverItIsTyped(t *testing.T) {
	for range 200 {
		c := draw()
		text := c.String()
		if len(text) != 21 {
			t.Fatalf("%q has %d characters", text, len(text))
		}
		for _, typed := range []string{
			text, strings.ToLower(text), strings.ReplaceAll(text, "-", ""), " " + strings.ReplaceAll(text, "-", " ") + "\n",
			strings.NewReplacer("0", "O", "1", "l").Replace(text), strings.ReplaceAll(text, "1", "I"),
		} {
			if got, err := extension.Parse(typed); err != nil || got != c {
				t.Fatalf("%q: got %v, %v, want %v", typed, got, err, c)
			}
		}
	}
}

// What goes wrong on the phone: one symbol misheard, two that changed places,
// one left out or said twice.
func TestOneMistakeIsAlwaysFound(t *testing.T) {
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	for range 20 {
		text := strings.ReplaceAll(draw().String(), "-", "")
		refuse := func(typed string) {
			t.Helper()
			if _, err := extension.Parse(typed); typed != text && !errors.Is(err, extension.ErrCode) {
				t.Fatalf("%q was taken for %q: %v", typed, text, err)
			}
		}
		for i := range text {
			for _, r := range alphabet {
				refuse(text[:i] + string(r) + text[i+1:])
			}
			for j := i + 1; j < len(text); j++ {
				refuse(text[:i] + text[j:j+1] + text[i+1:j] + text[i:i+1] + text[j+1:])
			}
			refuse(text[:i] + text[i+1:])
			refuse(text[:i] + text[i:i+1] + text[i:])
		}
	}
	for _, typed := range []string{"", "-", "U", "0123", strings.Repeat("A", 1000), "é"} {
		if _, err := extension.Parse(typed); !errors.Is(err, extension.ErrCode) {
			t.Errorf("%q: %v", typed, err)
		}
	}
}

func TestTheExampleInTheErrorIsACode(t *testing.T) {
	text := extension.ErrCode.Error()
	if _, err := extension.Parse(text[strings.LastIndex(text, " ")+1:]); err != nil {
		t.Errorf("the example does not parse; right would be %s", extension.Code{0x00, 0x44, 0x32, 0x14, 0xc7, 0x42, 0x54, 0xb6, 0x35, 0xcf})
	}
}

func TestAHashIsOfItsCodeAndSalt(t *testing.T) {
	c, salt := draw(), make([]byte, extension.SaltSize)
	a, err := c.Hash(salt)
	if err != nil || len(a) != extension.HashSize {
		t.Fatalf("%x, %v", a, err)
	}
	again, _ := c.Hash(salt)
	other, _ := draw().Hash(salt)
	salted, _ := c.Hash(bytes.Repeat([]byte{1}, extension.SaltSize))
	if !bytes.Equal(a, again) || bytes.Equal(a, other) || bytes.Equal(a, salted) {
		t.Error("hashes do not tell codes or salts apart")
	}
}

func TestAFileNameTellsNothing(t *testing.T) {
	name := extension.FileName("example.com", "dev_1")
	if len(name) != 64 || strings.Contains(name, "dev") || name == extension.FileName("example.com", "dev_2") || name == extension.FileName("example.org", "dev_1") {
		t.Errorf("got %q", name)
	}
}

func BenchmarkHash(b *testing.B) {
	c, salt := draw(), make([]byte, extension.SaltSize)
	for b.Loop() {
		if _, err := c.Hash(salt); err != nil {
			b.Fatal(err)
		}
	}
}
