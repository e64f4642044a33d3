package assertion_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"cutoff/server/connector/assertion"
)

func inPEM(kind string, der []byte, err error) string {
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(key any) string {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return inPEM("PRIVATE KEY", der, err)
}

func inJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func oneLine(text string) string { return strings.ReplaceAll(text, "\n", `\n`) }

func certificateOf(t *testing.T, key *ecdsa.PrivateKey) (text, hash string) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	sum := sha256.Sum256(der)
	return inPEM("CERTIFICATE", der, err), base64.RawURLEncoding.EncodeToString(sum[:])
}

func TestEachFormOfAKeySignsAStatementThatItsPublicHalfProves(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(e)
	certificate, hash := certificateOf(t, e)
	for _, row := range []struct {
		name, text, keyID, certificate string
		public                         any
		alg                            jose.SignatureAlgorithm
		id, account, hash              string
	}{
		{"PKCS#8", pkcs8(r), "k", "", &r.PublicKey, jose.RS256, "k", "", ""},
		{"PKCS#1", inPEM("RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r), nil), "", "", &r.PublicKey, jose.RS256, "", "", ""},
		{"SEC 1", inPEM("EC PRIVATE KEY", sec1, err), "", "", &e.PublicKey, jose.ES256, "", "", ""},
		{"PEM on one line", oneLine(pkcs8(e)), "", oneLine(certificate), &e.PublicKey, jose.ES256, "", "", hash},
		{"a certificate", pkcs8(e), "", certificate, &e.PublicKey, jose.ES256, "", "", hash},
		{"an RSA JWK", inJSON(jose.JSONWebKey{Key: r, KeyID: "j"}), "", "", &r.PublicKey, jose.RS256, "j", "", ""},
		{"an EC JWK and another id", inJSON(jose.JSONWebKey{Key: e, KeyID: "j"}), "k", "", &e.PublicKey, jose.ES256, "k", "", ""},
		{"a service account", inJSON(map[string]string{"private_key": pkcs8(r), "private_key_id": "g", "client_email": "robot@example.iam"}),
			"", "", &r.PublicKey, jose.RS256, "g", "robot@example.iam", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, err := assertion.New(row.text, row.keyID, row.certificate)
			if err != nil {
				t.Fatal(err)
			}
			if s.Account() != row.account {
				t.Errorf("got the account %q, want %q", s.Account(), row.account)
			}
			text, err := s.Sign(assertion.Statement{Issuer: "cutoff", At: time.Now(), Life: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{row.alg})
			if err != nil {
				t.Fatal(err)
			}
			var claims jwt.Claims
			if err := token.Claims(row.public, &claims); err != nil || claims.Issuer != "cutoff" {
				t.Errorf("got %+v, %v", claims, err)
			}
			got, _ := token.Headers[0].ExtraHeaders["x5t#S256"].(string)
			if token.Headers[0].KeyID != row.id || got != row.hash {
				t.Errorf("got key %q and certificate %q, want %q and %q", token.Headers[0].KeyID, got, row.id, row.hash)
			}
		})
	}
}

func TestAStatementIsShortLivedAndOnesOwn(t *testing.T) {
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := assertion.New(pkcs8(e), "", "")
	if err != nil {
		t.Fatal(err)
	}
	at, ids := time.Unix(1_900_000_000, 0), map[any]bool{}
	for range 3 {
		text, err := s.Sign(assertion.Statement{Issuer: "i", Subject: "s", Audience: "a", At: at, Life: time.Hour, More: map[string]any{"scope": "x"}})
		if err != nil {
			t.Fatal(err)
		}
		token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			t.Fatal(err)
		}
		var c map[string]any
		if err := token.Claims(&e.PublicKey, &c); err != nil {
			t.Fatal(err)
		}
		ids[c["jti"]] = true
		if c["exp"] != float64(at.Add(assertion.MaxLife).Unix()) || c["iat"] != float64(at.Unix()-60) || c["sub"] != "s" || c["aud"] != "a" || c["scope"] != "x" {
			t.Errorf("got %v", c)
		}
	}
	if len(ids) != 3 {
		t.Errorf("three statements have %d ids", len(ids))
	}
}

func TestWhatIsNoUsableKeyIsRefusedWithoutATrace(t *testing.T) {
	const hush = "hush-hush-7"
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate, _ := certificateOf(t, p256)
	for _, row := range []struct {
		name, text, certificate string
		want                    error
	}{
		{"nothing", "", "", assertion.ErrKey},
		{"a word", hush, "", assertion.ErrKey},
		{"half of a JSON", "{" + hush, "", assertion.ErrKey},
		{"a symmetric JWK", `{"kty":"oct","k":"aHVzaC1odXNoLTc"}`, "", assertion.ErrKey},
		{"a public JWK", inJSON(jose.JSONWebKey{Key: &p256.PublicKey}), "", assertion.ErrKey},
		{"a short RSA key", pkcs8(small), "", assertion.ErrKey},
		{"a short RSA JWK", inJSON(jose.JSONWebKey{Key: small}), "", assertion.ErrKey},
		{"another curve", pkcs8(p384), "", assertion.ErrKey},
		{"a certificate", certificate, "", assertion.ErrKey},
		{"a service account without its key", `{"private_key":"` + hush + `"}`, "", assertion.ErrKey},
		{"a key for a certificate", pkcs8(p256), pkcs8(p256), assertion.ErrCertificate},
		{"a word for a certificate", pkcs8(p256), hush, assertion.ErrCertificate},
	} {
		if _, err := assertion.New(row.text, "", row.certificate); !errors.Is(err, row.want) || strings.Contains(err.Error(), hush) {
			t.Errorf("%s: got %v, want %v", row.name, err, row.want)
		}
	}
}
