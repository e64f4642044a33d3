package identify

import (
	"strconv"

	"golang.org/x/crypto/ssh"
)

// sshCertificate names the certificate of an SSH key by what a revocation list
// needs. When it ends, the key alone may still work.
func sshCertificate(text []byte, n *notes) {
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		return
	}
	c, ok := key.(*ssh.Certificate)
	if !ok {
		return
	}
	n.add("ssh-cert-serial", strconv.FormatUint(c.Serial, 10))
	n.add("ssh-cert-key-id", c.KeyId)
	n.add("ssh-cert-ca", ssh.FingerprintSHA256(c.SignatureKey))
	for _, p := range c.ValidPrincipals {
		n.add("ssh-cert-principal", p)
	}
}
