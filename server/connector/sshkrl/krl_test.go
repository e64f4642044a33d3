package sshkrl

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	mrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func newSigner(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestOpenSSHReadsAListAsItIsMeant asks the real ssh-keygen of each of many
// certificates and keys whether a list names it.
func TestOpenSSHReadsAListAsItIsMeant(t *testing.T) {
	dir := t.TempDir()
	seed := time.Now().UnixNano()
	random := mrand.New(mrand.NewPCG(uint64(seed), 1))
	cas := []ssh.Signer{newSigner(t), newSigner(t)}
	for round := range 12 {
		l := list{version: uint64(round + 1), made: time.Now(), comment: "cutoff test", serials: map[string][]uint64{}}
		var files []string
		var want []bool
		for i := range 10 {
			key, ca := newSigner(t).PublicKey(), random.IntN(2)
			serial := []uint64{0, 1, 2, random.Uint64(), random.Uint64() >> 40, 1<<64 - 1}[random.IntN(6)]
			cert := &ssh.Certificate{Key: key, Serial: serial, CertType: ssh.UserCert, KeyId: "k", ValidBefore: ssh.CertTimeInfinity}
			if err := cert.SignCert(rand.Reader, cas[ca]); err != nil {
				t.Fatal(err)
			}
			other := string(cas[1-ca].PublicKey().Marshal())
			switch random.IntN(4) {
			case 0:
				sum := sha256.Sum256(key.Marshal())
				l.keys = append(l.keys, sum[:])
			case 1:
				own := string(cas[ca].PublicKey().Marshal())
				l.serials[own] = append(l.serials[own], serial)
			case 2:
				l.serials[other] = append(l.serials[other], serial)
			}
			for suffix, k := range map[string]ssh.PublicKey{"": key, "-cert": cert} {
				name := filepath.Join(dir, string(rune('a'+i))+suffix+".pub")
				if err := os.WriteFile(name, ssh.MarshalAuthorizedKey(k), 0o600); err != nil {
					t.Fatal(err)
				}
				files = append(files, name)
			}
		}
		text := l.encode()
		read, err := decode(text)
		if err != nil || read.version != l.version {
			t.Fatalf("seed %d: read back %v %v", seed, read, err)
		}
		for _, name := range files {
			line, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			k, _, _, _, err := ssh.ParseAuthorizedKey(line)
			if err != nil {
				t.Fatal(err)
			}
			plain, named := k, false
			if c, ok := k.(*ssh.Certificate); ok {
				plain = c.Key
				named = c.Serial != 0 && read.hasSerial(c.SignatureKey.Marshal(), c.Serial)
			}
			sum := sha256.Sum256(plain.Marshal())
			want = append(want, named || read.hasKey(sum[:]))
		}
		path := filepath.Join(dir, "krl")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		for i, name := range files {
			out, err := exec.Command("/usr/bin/ssh-keygen", "-Q", "-f", path, name).CombinedOutput()
			if revoked := err != nil; revoked != want[i] {
				t.Fatalf("seed %d: ssh-keygen says of %s %q, want revoked %v", seed, name, out, want[i])
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(list{version: 1, serials: map[string][]uint64{"ca": {1, 2}}, keys: [][]byte{make([]byte, 32)}}.encode())
	f.Add([]byte("SSHKRL\n\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := decode(b)
		if err != nil {
			return
		}
		if again, err := decode(l.encode()); err != nil || again.version != l.version {
			t.Errorf("what was read is not written again: %v", err)
		}
	})
}
