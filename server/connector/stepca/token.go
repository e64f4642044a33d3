package stepca

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"cutoff/server/connector/outgoing"
)

// maxPages bounds how many pages of provisioners are read.
const maxPages = 20

// tokenLife is how long a token for one call is good; the CA allows a minute of
// difference between clocks.
const tokenLife = 2 * time.Minute

// provisioner is what is read of one.
type provisioner struct {
	Type      string          `json:"type"`
	Name      string          `json:"name"`
	Key       jose.JSONWebKey `json:"key"`
	Encrypted string          `json:"encryptedKey"`
	Claims    struct {
		DisableRenewal *bool `json:"disableRenewal"`
	} `json:"claims"`
	Options struct {
		X509 struct {
			Template string `json:"template"`
		} `json:"x509"`
	} `json:"options"`
}

// provisioners lists those of the CA.
func (c *Connector) provisioners(ctx context.Context) ([]provisioner, error) {
	var all []provisioner
	cursor := ""
	for range maxPages {
		var page struct {
			Provisioners []json.RawMessage `json:"provisioners"`
			Next         string            `json:"nextCursor"`
		}
		if err := c.get(ctx, "provisioners", url.Values{"limit": {"100"}, "cursor": {cursor}}, &page); err != nil {
			return nil, err
		}
		if page.Provisioners == nil {
			return nil, &answerError{http.StatusOK, "answer-malformed"}
		}
		for _, raw := range page.Provisioners {
			var p provisioner
			// Of some kinds the key is no JWK: those are of no use here.
			if json.Unmarshal(raw, &p) != nil {
				p = provisioner{}
				_ = json.Unmarshal(raw, &struct {
					Type *string `json:"type"`
					Name *string `json:"name"`
				}{&p.Type, &p.Name})
			}
			all = append(all, p)
		}
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
	return nil, &answerError{http.StatusOK, "too-many-provisioners"}
}

func named(all []provisioner, name string) (provisioner, error) {
	for _, p := range all {
		if p.Name == name && p.Type == "JWK" {
			return p, nil
		}
	}
	return provisioner{}, &keyError{"no-such-jwk-provisioner"}
}

// signingKey is the provisioner's private key, opened once.
func (c *Connector) signingKey(ctx context.Context) (*jose.JSONWebKey, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.key != nil {
		return c.key, nil
	}
	text := c.secrets[secretKey]
	if c.file.key == keyPublished {
		all, err := c.provisioners(ctx)
		if err != nil {
			return nil, err
		}
		p, err := named(all, c.file.provisioner)
		if err != nil {
			return nil, err
		}
		if text = p.Encrypted; text == "" {
			return nil, &keyError{"provisioner-key-not-published"}
		}
	}
	key, err := openKey(text, c.file.key != keyPlain, c.secrets[secretPassword])
	if err != nil {
		return nil, err
	}
	c.key = key
	return key, nil
}

// openKey reads a private JWK, which the step command encrypts by a password
// (PBES2). Of what is wrong only a word is told: the rest may hold the key.
func openKey(text string, encrypted bool, password string) (*jose.JSONWebKey, error) {
	plain := []byte(text)
	if encrypted {
		sealed, err := jose.ParseEncrypted(text,
			[]jose.KeyAlgorithm{jose.PBES2_HS256_A128KW, jose.PBES2_HS384_A192KW, jose.PBES2_HS512_A256KW},
			[]jose.ContentEncryption{jose.A128GCM, jose.A192GCM, jose.A256GCM, jose.A128CBC_HS256, jose.A256CBC_HS512})
		if err != nil {
			return nil, &keyError{"provisioner-key-malformed"}
		}
		if plain, err = sealed.Decrypt([]byte(password)); err != nil {
			return nil, &keyError{"wrong-password"}
		}
		defer clear(plain)
	}
	var key jose.JSONWebKey
	if json.Unmarshal(plain, &key) != nil || !key.Valid() || key.IsPublic() || algorithm(&key) == "" {
		return nil, &keyError{"provisioner-key-malformed"}
	}
	return &key, nil
}

// algorithm is by which a key signs.
func algorithm(key *jose.JSONWebKey) jose.SignatureAlgorithm {
	switch k := key.Key.(type) {
	case *ecdsa.PrivateKey:
		switch k.Curve {
		case elliptic.P256():
			return jose.ES256
		case elliptic.P384():
			return jose.ES384
		case elliptic.P521():
			return jose.ES512
		}
	case ed25519.PrivateKey:
		return jose.EdDSA
	case *rsa.PrivateKey:
		return jose.RS256
	}
	return ""
}

// token is the one-time token for one call: whoever has it may revoke that one
// serial, for two minutes.
func (c *Connector) token(ctx context.Context, call, subject string) (string, error) {
	key, err := c.signingKey(ctx)
	if err != nil {
		return "", err
	}
	id := key.KeyID
	if id == "" {
		sum, err := key.Thumbprint(thumbprint)
		if err != nil {
			return "", &keyError{"provisioner-key-malformed"}
		}
		id = encode(sum)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm(key), Key: jose.JSONWebKey{Key: key.Key, KeyID: id}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return "", &keyError{"provisioner-key-malformed"}
	}
	now := c.now()
	text, err := jwt.Signed(signer).Claims(jwt.Claims{
		Issuer: c.file.provisioner, Subject: subject, Audience: jwt.Audience{c.at(call).String()}, ID: rand.Text(),
		IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(tokenLife)),
	}).Serialize()
	if err != nil {
		return "", &keyError{"provisioner-key-malformed"}
	}
	return text, nil
}

// at is the address of a call of the CA's API.
func (c *Connector) at(call string) *url.URL { return c.file.server.JoinPath("1.0", call) }

// get reads a JSON answer. Some of step-ca's lists come with 201.
func (c *Connector) get(ctx context.Context, call string, query url.Values, into any) error {
	to := c.at(call)
	to.RawQuery = query.Encode()
	res, err := c.client.Do(ctx, outgoing.Request{Method: http.MethodGet, URL: to, Header: http.Header{"Accept": {"application/json"}}})
	if err != nil {
		return err
	}
	if res.Status != http.StatusOK && res.Status != http.StatusCreated {
		return &answerError{res.Status, "refused"}
	}
	if json.Unmarshal(res.Body, into) != nil {
		return &answerError{res.Status, "answer-malformed"}
	}
	return nil
}
