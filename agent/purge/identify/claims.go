package identify

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// claims are those of a token that name it; the rest, and its signature, is
// dropped.
type claims struct {
	Issuer     string  `json:"iss"`
	Subject    string  `json:"sub"`
	ID         string  `json:"jti"`
	Audience   texts   `json:"aud"`
	Authorized string  `json:"azp"`
	Client     string  `json:"client_id"`
	Session    string  `json:"sid"`
	Expiry     float64 `json:"exp"`
	Kubernetes struct {
		Namespace string `json:"namespace"`
		Account   named  `json:"serviceaccount"`
		Secret    named  `json:"secret"`
		Pod       named  `json:"pod"`
	} `json:"kubernetes.io"`
}

type named struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// texts is a text or a list of them.
type texts []string

func (t *texts) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(t))
}

// jwt takes out of a token what names it. It reports whether the token says
// when it ends.
func jwt(token string, n *notes) bool {
	c, ok := claimsOf(token)
	if !ok {
		return false
	}
	n.add("jwt-issuer", c.Issuer)
	n.add("jwt-subject", c.Subject)
	n.add("jwt-id", c.ID)
	for _, a := range c.Audience {
		n.add("jwt-audience", a)
	}
	n.add("jwt-client", or(c.Authorized, c.Client))
	n.add("jwt-session", c.Session)
	n.add("kube-namespace", c.Kubernetes.Namespace)
	for kind, of := range map[string]named{"kube-service-account": c.Kubernetes.Account, "kube-secret": c.Kubernetes.Secret, "kube-pod": c.Kubernetes.Pod} {
		if of.Name != "" {
			n.add(kind, strings.Trim(of.Name+" "+of.UID, " "))
		}
	}
	if c.Expiry <= 0 || c.Expiry > 1e11 {
		return false
	}
	n.until(time.Unix(int64(c.Expiry), 0).UTC())
	return true
}

// claimsOf reads a token's claims; its signature is not looked at.
func claimsOf(token string) (c claims, ok bool) {
	parts := strings.Split(strings.TrimSpace(token), ".")
	if len(parts) != 3 {
		return c, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return c, false
	}
	defer clear(payload)
	return c, json.Unmarshal(payload, &c) == nil
}

// certificates names whatever key or certificate a file holds: X.509, SSH, a
// private key's public half, or a token.
func certificates(content []byte, around Around, n *notes) {
	rest := content
	found := false
	for range 16 { // a bundle is no directory
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		found = true
		switch {
		case block.Type == "CERTIFICATE":
			certificate(pem.EncodeToMemory(block), n)
		case block.Type == "OPENSSH PRIVATE KEY":
			sshKey(content, around, n)
		case strings.Contains(block.Type, "PRIVATE KEY"):
			n.until(never)
		}
	}
	switch {
	case found:
	case bytes.HasPrefix(content, []byte("ssh-")) || bytes.HasPrefix(content, []byte("ecdsa-")):
		sshPublic(content, n)
	case !jwt(string(content), n):
		n.until(never)
	}
}

// sshPublic names a public key; of a certificate, what a revocation list needs.
func sshPublic(content []byte, n *notes) {
	key, _, _, _, err := ssh.ParseAuthorizedKey(content)
	if err != nil {
		return
	}
	c, ok := key.(*ssh.Certificate)
	if !ok {
		n.add("ssh-fingerprint", ssh.FingerprintSHA256(key))
		return
	}
	n.add("ssh-fingerprint", ssh.FingerprintSHA256(c.Key))
	n.add("ssh-cert-serial", strconv.FormatUint(c.Serial, 10))
	n.add("ssh-cert-key-id", c.KeyId)
	n.add("ssh-cert-ca", ssh.FingerprintSHA256(c.SignatureKey))
	for _, p := range c.ValidPrincipals {
		n.add("ssh-cert-principal", p)
	}
	if c.ValidBefore == ssh.CertTimeInfinity {
		n.until(never)
	} else {
		n.until(time.Unix(int64(min(c.ValidBefore, 1<<40)), 0).UTC())
	}
}

// hashOf names a public certificate bundle.
func hashOf(public []byte) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:])
}
