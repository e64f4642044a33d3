package identify

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"strings"

	"golang.org/x/crypto/ssh"
	"gopkg.in/yaml.v3"
)

func kubeconfig(content []byte, _ Around, n *notes) {
	var f struct {
		Clusters []struct {
			Cluster struct {
				Server string `yaml:"server"`
				CA     string `yaml:"certificate-authority-data"`
			} `yaml:"cluster"`
		} `yaml:"clusters"`
		Users []struct {
			Name string `yaml:"name"`
			User struct {
				Token       string `yaml:"token"`
				Password    string `yaml:"password"`
				Certificate string `yaml:"client-certificate-data"`
				Provider    struct {
					Config map[string]string `yaml:"config"`
				} `yaml:"auth-provider"`
				Exec *struct {
					Command string `yaml:"command"`
				} `yaml:"exec"`
			} `yaml:"user"`
		} `yaml:"users"`
	}
	if yaml.Unmarshal(content, &f) != nil {
		n.until(never)
		return
	}
	for _, c := range f.Clusters {
		n.add("kube-server", address(c.Cluster.Server))
		if ca, err := base64.StdEncoding.DecodeString(c.Cluster.CA); err == nil && len(ca) > 0 {
			n.add("kube-ca-sha256", hashOf(ca))
		}
	}
	for _, u := range f.Users {
		n.add("kube-user", u.Name)
		if u.User.Token != "" && !jwt(u.User.Token, n) || u.User.Password != "" || u.User.Provider.Config["refresh-token"] != "" || u.User.Exec != nil {
			n.until(never)
		}
		if u.User.Exec != nil {
			n.add("kube-exec", u.User.Exec.Command)
		}
		if id := u.User.Provider.Config["id-token"]; id != "" {
			jwt(id, n)
		}
		if der, err := base64.StdEncoding.DecodeString(u.User.Certificate); err == nil && len(der) > 0 {
			certificate(der, n)
		}
	}
}

// certificate names the first certificate of PEM text.
func certificate(text []byte, n *notes) {
	block, _ := pem.Decode(text)
	if block == nil {
		return
	}
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return
	}
	sum := sha256.Sum256(block.Bytes)
	n.add("x509-serial", hex.EncodeToString(c.SerialNumber.Bytes()))
	n.add("x509-sha256", hex.EncodeToString(sum[:]))
	n.add("x509-subject", c.Subject.String())
	n.add("x509-issuer", c.Issuer.String())
	n.until(c.NotAfter)
}

// certificateBeside names a key by the certificate that lies beside it: that of
// NAME.key, or of NAME_key, in NAME.crt.
func certificateBeside(_ []byte, around Around, n *notes) {
	text := around.Sibling(pairName(around.Name()) + ".crt")
	if len(chainOf(text)) == 0 {
		n.until(never)
		return
	}
	certificate(text, n)
}

func privateKey(content []byte, _ Around, n *notes) {
	if !jwt(string(content), n) {
		n.until(never)
	}
}

// sshKey names an SSH key by its public half: beside it, or in the clear part
// of the file, which needs no passphrase.
func sshKey(content []byte, around Around, n *notes) {
	n.until(never)
	public, encrypted := openSSH(content)
	if public == nil {
		if text := around.Sibling(around.Name() + ".pub"); text != nil {
			public, _, _, _, _ = ssh.ParseAuthorizedKey(text) // nil when it is not one
		}
	}
	if public == nil && !encrypted {
		if signer, err := ssh.ParsePrivateKey(content); err == nil {
			public = signer.PublicKey()
		}
	}
	if public != nil {
		n.add("ssh-fingerprint", ssh.FingerprintSHA256(public))
		n.add("ssh-key-type", public.Type())
	}
	if text := around.Sibling(around.Name() + "-cert.pub"); text != nil {
		sshPublic(text, n)
	}
	n.add("ssh-key-encrypted", map[bool]string{true: "yes", false: "no"}[encrypted])
}

// openSSH reads the header of an openssh-key-v1 file, or tells from a PEM
// header whether there is a passphrase.
func openSSH(content []byte) (ssh.PublicKey, bool) {
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, bytes.Contains(content, []byte("Encryption: aes"))
	}
	rest, ok := bytes.CutPrefix(block.Bytes, []byte("openssh-key-v1\x00"))
	if !ok {
		return nil, strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") || strings.HasPrefix(block.Type, "ENCRYPTED")
	}
	var head struct {
		Cipher, KDF, Options string
		Count                uint32
		Public               []byte
		Rest                 []byte `ssh:"rest"`
	}
	if ssh.Unmarshal(rest, &head) != nil {
		return nil, false
	}
	public, err := ssh.ParsePublicKey(head.Public)
	if err != nil {
		public = nil
	}
	return public, head.Cipher != "none"
}
