package stack

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/crypto/ssh"
)

// StepCA is smallstep's CA with a CRL and an SSH authority. Its provisioner
// "people" issues; "cutoff" can revoke only: its template fails.
type StepCA struct {
	*Process
	Base string
	// RootPEM is whom to trust for it; Issuer the subject it signs as.
	RootPEM string
	Issuer  string
	// Password opens the key of the provisioner "cutoff".
	Password string
	// UserCA signs users' SSH certificates.
	UserCA ssh.PublicKey
	people jose.JSONWebKey
	roots  *x509.CertPool
}

// StartStepCA starts one on a free port; `make setup` built it.
func (s *Stack) StartStepCA(ctx context.Context) (*StepCA, error) {
	bin := os.Getenv("CUTOFF_STEP_CA")
	if bin == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		bin = filepath.Join(cache, "cutoff", "step-ca-v0.30.2", "step-ca")
	}
	if _, err := os.Stat(bin); err != nil {
		return nil, fmt.Errorf("run `make setup` first: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	ca := &StepCA{Base: fmt.Sprintf("https://127.0.0.1:%d", port), Issuer: "CN=Example Intermediate", Password: "correct-horse-7"}
	conf, err := ca.write(s.Dir, port)
	if err != nil {
		return nil, err
	}
	// Its log goes to stderr; nothing says on stdout that it is ready.
	if ca.Process, err = s.Start(ctx, "/bin/sh", nil, "-c", `echo started; exec "$0" "$1"`, bin, conf); err != nil {
		return nil, err
	}
	for {
		status, _, err := ca.call(ctx, nil, http.MethodGet, "health", nil)
		if err == nil && status == http.StatusOK {
			return ca, nil
		}
		select {
		case <-ca.ended:
			log, _ := os.ReadFile(ca.Log)
			return nil, fmt.Errorf("step-ca ended: %s", tail(log))
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// write makes the CA's keys and its configuration.
func (c *StepCA) write(dir string, port int) (string, error) {
	rootKey, interKey := newKey(), newKey()
	root := template("Example Root", true)
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return "", err
	}
	inter := template("Example Intermediate", true)
	interDER, err := x509.CreateCertificate(rand.Reader, inter, root, interKey.Public(), rootKey)
	if err != nil {
		return "", err
	}
	c.RootPEM = pemOf("CERTIFICATE", rootDER)
	c.roots = x509.NewCertPool()
	c.roots.AppendCertsFromPEM([]byte(c.RootPEM))
	interText, err := x509.MarshalECPrivateKey(interKey)
	if err != nil {
		return "", err
	}
	_, hostCA, _ := ed25519.GenerateKey(rand.Reader)
	userPub, userCA, _ := ed25519.GenerateKey(rand.Reader)
	if c.UserCA, err = ssh.NewPublicKey(userPub); err != nil {
		return "", err
	}
	files := map[string]string{"root.crt": c.RootPEM, "int.crt": pemOf("CERTIFICATE", interDER), "int.key": pemOf("EC PRIVATE KEY", interText)}
	for name, key := range map[string]ed25519.PrivateKey{"ssh_host_ca": hostCA, "ssh_user_ca": userCA} {
		block, err := ssh.MarshalPrivateKey(key, "")
		if err != nil {
			return "", err
		}
		files[name] = string(pem.EncodeToMemory(block))
	}
	c.people = jose.JSONWebKey{Key: newKey(), KeyID: "people", Algorithm: "ES256", Use: "sig"}
	cutoff := jose.JSONWebKey{Key: newKey(), KeyID: "cutoff", Algorithm: "ES256", Use: "sig"}
	sealed, err := seal(cutoff, c.Password)
	if err != nil {
		return "", err
	}
	at := func(name string) string { return filepath.Join(dir, fmt.Sprintf("stepca-%d", port), name) }
	conf, err := json.Marshal(map[string]any{
		"root": at("root.crt"), "crt": at("int.crt"), "key": at("int.key"), "address": fmt.Sprintf("127.0.0.1:%d", port),
		"dnsNames": []string{"127.0.0.1", "localhost"}, "ssh": map[string]any{"hostKey": at("ssh_host_ca"), "userKey": at("ssh_user_ca")},
		"logger": map[string]any{"format": "text"}, "db": map[string]any{"type": "bbolt", "dataSource": at("db")},
		"crl": map[string]any{"enabled": true, "generateOnRevoke": true, "cacheDuration": "1h"},
		"authority": map[string]any{"provisioners": []any{
			map[string]any{"type": "JWK", "name": "people", "key": c.people.Public(), "claims": map[string]any{"enableSSHCA": true}},
			map[string]any{
				"type": "JWK", "name": "cutoff", "key": cutoff.Public(), "encryptedKey": sealed, "claims": map[string]any{"enableSSHCA": true},
				"options": map[string]any{
					"x509": map[string]any{"template": `{{ fail "this provisioner only revokes" }}`},
					"ssh":  map[string]any{"template": `{{ fail "this provisioner only revokes" }}`},
				},
			},
		}},
	})
	if err != nil {
		return "", err
	}
	files["ca.json"] = string(conf)
	if err := os.MkdirAll(at(""), 0o700); err != nil {
		return "", err
	}
	for name, text := range files {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	return at("ca.json"), nil
}

func newKey() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // no randomness
	}
	return k
}

func template(name string, ca bool) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(48 * time.Hour), IsCA: ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// seal encrypts a provisioner's key by a password, as the step command does.
func seal(key jose.JSONWebKey, password string) (string, error) {
	plain, err := json.Marshal(key)
	if err != nil {
		return "", err
	}
	e, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{
		Algorithm: jose.PBES2_HS256_A128KW, Key: []byte(password), PBES2Count: 10_000, PBES2Salt: []byte("0123456789abcdef"),
	}, nil)
	if err != nil {
		return "", err
	}
	sealed, err := e.Encrypt(plain)
	if err != nil {
		return "", err
	}
	return sealed.CompactSerialize()
}

// Token is one of the provisioner "people", for a call on a subject.
func (c *StepCA) Token(call, subject string, more map[string]any) (string, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: c.people}, (&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", err
	}
	now := time.Now()
	return jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: "people", Subject: subject, Audience: jwt.Audience{c.Base + "/1.0/" + call}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute)),
	}).Claims(more).Serialize()
}

// Issue is a new certificate for a name.
func (c *StepCA) Issue(ctx context.Context, name string) (tls.Certificate, error) {
	key := newKey()
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}}, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	token, err := c.Token("sign", name, map[string]any{"sans": []string{name}})
	if err != nil {
		return tls.Certificate{}, err
	}
	status, body, err := c.call(ctx, nil, http.MethodPost, "sign", map[string]any{"csr": pemOf("CERTIFICATE REQUEST", csr), "ott": token})
	if err != nil {
		return tls.Certificate{}, err
	}
	return certificateOf(status, body, key)
}

// Renew asks for a new certificate with an old one, as a device does by itself:
// its status, and the new one at 201.
func (c *StepCA) Renew(ctx context.Context, old tls.Certificate) (int, tls.Certificate, error) {
	status, body, err := c.call(ctx, &old, http.MethodPost, "renew", nil)
	if err != nil || status != http.StatusCreated {
		return status, tls.Certificate{}, err
	}
	renewed, err := certificateOf(status, body, old.PrivateKey)
	return status, renewed, err
}

func certificateOf(status int, body []byte, key any) (tls.Certificate, error) {
	var answer struct {
		Cert   string `json:"crt"`
		Issuer string `json:"ca"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Cert == "" || answer.Issuer == "" {
		return tls.Certificate{}, fmt.Errorf("no certificate: %d %s", status, body)
	}
	block, _ := pem.Decode([]byte(answer.Cert))
	issuer, _ := pem.Decode([]byte(answer.Issuer))
	if block == nil || issuer == nil {
		return tls.Certificate{}, fmt.Errorf("no certificate: %d %s", status, body)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	return tls.Certificate{Certificate: [][]byte{block.Bytes, issuer.Bytes}, PrivateKey: key, Leaf: leaf}, err
}

// Files are a certificate with its issuer's and its key as a device keeps them,
// in PEM.
func Files(c tls.Certificate) (chain, key string, err error) {
	for _, der := range c.Certificate {
		chain += pemOf("CERTIFICATE", der)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	return chain, pemOf("PRIVATE KEY", der), err
}

// Revoked reports whether a certificate is in the CA's list of revoked ones.
func (c *StepCA) Revoked(ctx context.Context, of tls.Certificate) (bool, error) {
	status, body, err := c.call(ctx, nil, http.MethodGet, "crl", nil)
	if err != nil || status != http.StatusOK {
		return false, fmt.Errorf("list: status %d: %w", status, err)
	}
	list, err := x509.ParseRevocationList(body)
	if err != nil {
		return false, err
	}
	for _, entry := range list.RevokedCertificateEntries {
		if entry.SerialNumber.Cmp(of.Leaf.SerialNumber) == 0 {
			return true, nil
		}
	}
	return false, nil
}

// IssueSSH is a user's certificate for a key, in a line as *-cert.pub holds it.
func (c *StepCA) IssueSSH(ctx context.Context, key ssh.PublicKey, id, principal string) (string, error) {
	token, err := c.Token("ssh/sign", id, map[string]any{"step": map[string]any{"ssh": map[string]any{
		"certType": "user", "keyID": id, "principals": []string{principal},
	}}})
	if err != nil {
		return "", err
	}
	status, body, err := c.call(ctx, nil, http.MethodPost, "ssh/sign", map[string]any{
		"publicKey": base64.StdEncoding.EncodeToString(key.Marshal()), "ott": token, "certType": "user", "keyID": id, "principals": []string{principal},
	})
	if err != nil {
		return "", err
	}
	var answer struct {
		Cert string `json:"crt"`
	}
	if json.Unmarshal(body, &answer) != nil || answer.Cert == "" {
		return "", fmt.Errorf("no SSH certificate: %d %s", status, body)
	}
	return "ssh-ed25519-cert-v01@openssh.com " + answer.Cert + "\n", nil
}

func (c *StepCA) call(ctx context.Context, with *tls.Certificate, method, path string, body any) (int, []byte, error) {
	conf := &tls.Config{RootCAs: c.roots, MinVersion: tls.VersionTLS12}
	if with != nil {
		conf.Certificates = []tls.Certificate{*with}
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: conf, DisableKeepAlives: true}, Timeout: 20 * time.Second}
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return 0, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, c.Base+"/1.0/"+strings.TrimPrefix(path, "/"), bytes.NewReader(text))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res.StatusCode, answer, err
}

// RevokeBare revokes as the provisioner "people", and gives the bare answer.
func (c *StepCA) RevokeBare(ctx context.Context, serial string) (int, string, error) {
	token, err := c.Token("revoke", serial, nil)
	if err != nil {
		return 0, "", err
	}
	status, body, err := c.call(ctx, nil, http.MethodPost, "revoke", map[string]any{"serial": serial, "ott": token, "passive": true})
	return status, string(body), err
}
