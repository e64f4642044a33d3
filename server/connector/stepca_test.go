package connector_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"

	"cutoff/server/device"
	"cutoff/server/revoke"
)

func stepCA() provider {
	s := revoke.Subject{DeviceID: "dev_1", Hostname: "laptop-1", Credentials: []revoke.Credential{{ID: "crd_1", Names: []device.Identifier{
		{Kind: "x509-serial", Value: "0a"}, {Kind: "x509-subject", Value: "CN=laptop-1"}, {Kind: "x509-issuer", Value: "CN=Fake CA"},
	}}}}
	return provider{
		name: "step-ca", kind: "step-ca", action: "revoke-certificate", subject: s, proof: revoke.L1, fake: fakeStepCA,
		config: "server: BASE\nprovisioner: cutoff\nissuer: CN=Fake CA\ncertificate_life: 24h\n",
	}
}

// fakeStepCA answers as smallstep/certificates v0.30.2 does.
func fakeStepCA() fake {
	var ended atomic.Bool
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Fake CA"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		panic(err)
	}
	if ca, err = x509.ParseCertificate(der); err != nil {
		panic(err)
	}
	jwk := jose.JSONWebKey{Key: key, KeyID: "k1"}
	plain, _ := json.Marshal(jwk)
	e, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.PBES2_HS256_A128KW, Key: []byte(subjectSecret), PBES2Count: 1000}, nil)
	if err != nil {
		panic(err)
	}
	sealed, err := e.Encrypt(plain)
	if err != nil {
		panic(err)
	}
	encrypted, _ := sealed.CompactSerialize()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /1.0/provisioners", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, map[string]any{"provisioners": []any{map[string]any{"type": "JWK", "name": "cutoff", "key": jwk.Public(), "encryptedKey": encrypted}}, "nextCursor": ""})
	})
	mux.HandleFunc("GET /1.0/intermediates", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 201, map[string]any{"crts": []string{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}})
	})
	mux.HandleFunc("POST /1.0/revoke", func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			Serial string `json:"serial"`
			OTT    string `json:"ott"`
		}
		_ = json.NewDecoder(r.Body).Decode(&asked)
		token, err := jose.ParseSigned(asked.OTT, []jose.SignatureAlgorithm{jose.ES256})
		if err != nil {
			answer(w, 401, map[string]any{"status": 401, "message": "no token"})
			return
		}
		if _, err := token.Verify(key.Public()); err != nil || asked.Serial != "10" {
			answer(w, 401, map[string]any{"status": 401, "message": "bad token"})
			return
		}
		if ended.Swap(true) {
			answer(w, 400, map[string]any{"status": 400, "message": "certificate with serial number '10' is already revoked."})
			return
		}
		answer(w, 200, map[string]any{"status": "ok"})
	})
	mux.HandleFunc("GET /1.0/crl", func(w http.ResponseWriter, _ *http.Request) {
		list := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
		if ended.Load() {
			list.RevokedCertificateEntries = []x509.RevocationListEntry{{SerialNumber: big.NewInt(10), RevocationTime: time.Now()}}
		}
		text, err := x509.CreateRevocationList(rand.Reader, list, ca, key)
		if err != nil {
			panic(err)
		}
		_, _ = w.Write(text)
	})
	return fake{mux, func() bool { return !ended.Load() }}
}
