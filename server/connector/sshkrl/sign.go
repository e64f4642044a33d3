package sshkrl

import (
	"crypto/rand"
	"crypto/sha512"
	"encoding/pem"
	"errors"

	"golang.org/x/crypto/ssh"
)

// Numbers and words of OpenSSH's PROTOCOL.sshsig.
const (
	sigMagic   = "SSHSIG"
	sigVersion = 1
	sigHash    = "sha512"
)

// namespace keeps the signature of one connector's list from being taken for
// another's.
func namespace(connector string) string { return "cutoff-krl-" + connector }

// readSigner reads an OpenSSH private key; of what is wrong only that is told.
func readSigner(text string) (ssh.Signer, error) {
	s, err := ssh.ParsePrivateKey([]byte(text))
	if err != nil || s.PublicKey().Type() != ssh.KeyAlgoED25519 {
		return nil, errors.New("want an Ed25519 key without a passphrase, as ssh-keygen -t ed25519 makes it")
	}
	return s, nil
}

// sign makes what `ssh-keygen -Y verify` checks.
func sign(s ssh.Signer, space string, message []byte) ([]byte, error) {
	sum := sha512.Sum512(message)
	signed := ssh.Marshal(struct {
		Magic                     [6]byte
		Namespace, Reserved, Hash string
		Sum                       []byte
	}{[6]byte([]byte(sigMagic)), space, "", sigHash, sum[:]})
	signature, err := s.Sign(rand.Reader, signed)
	if err != nil {
		return nil, errors.New("the list was not signed")
	}
	blob := ssh.Marshal(struct {
		Magic                     [6]byte
		Version                   uint32
		Key                       []byte
		Namespace, Reserved, Hash string
		Signature                 []byte
	}{[6]byte([]byte(sigMagic)), sigVersion, s.PublicKey().Marshal(), space, "", sigHash, ssh.Marshal(signature)})
	return pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: blob}), nil
}
