package flow

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/person"
)

// Token types of a held credential.
const (
	RefreshToken = "refresh_token"
	AccessToken  = "access_token"
)

// maxToken bounds a token handed in, in bytes.
const maxToken = 64 << 10

// HeldCredential hands in a token so that the server can revoke it.
type HeldCredential struct {
	// Connector is the one that can revoke it.
	Connector string
	// Person is an id or an e-mail address, Device an id or a unique hostname;
	// at least one is set.
	Person    string
	Device    string
	TokenType string
	Token     string
	// ExpiresAt is zero if it is not known.
	ExpiresAt time.Time
	Label     string
}

// AddCredential keeps a token the server is to revoke. It is encrypted for its
// row, and from here on only the connector that revokes it gets to see it.
func (f *Flow) AddCredential(ctx context.Context, actor Actor, in HeldCredential) (device.Credential, error) {
	switch {
	case in.TokenType != RefreshToken && in.TokenType != AccessToken:
		return device.Credential{}, fault.New(fault.Invalid, "token type %q is none of %s, %s", in.TokenType, RefreshToken, AccessToken)
	case in.Token == "" || len(in.Token) > maxToken:
		return device.Credential{}, fault.New(fault.Invalid, "a token has 1 to %d bytes", maxToken)
	case in.Person == "" && in.Device == "":
		return device.Credential{}, fault.New(fault.Invalid, "say whose token it is: a person, a device or both")
	case len(in.Label) > 200:
		return device.Credential{}, fault.New(fault.Invalid, "a label has at most 200 bytes")
	}
	c := device.Credential{
		ID: newID("crd_"), Connector: in.Connector, Label: in.Label, ExpiresAt: in.ExpiresAt, SeenAt: f.now(),
		Held: true, TokenType: in.TokenType,
		Identifiers: []device.Identifier{{Kind: "token-hmac", Value: f.fingerprint(in.Token)}},
	}
	sealed, err := f.dataKey.Seal([]byte(in.Token), credentialRow(c.ID))
	if err != nil {
		return device.Credential{}, fmt.Errorf("seal token: %w", err)
	}
	err = f.store.Update(ctx, func(tx Tx) error {
		connector, err := tx.Connector(ctx, in.Connector)
		if err != nil {
			return err
		}
		c.Product = connector.Product
		if c.PersonID, c.DeviceID, err = f.whose(ctx, tx, in.Person, in.Device); err != nil {
			return err
		}
		same, found, err := heldAlready(ctx, tx, c)
		if err != nil || found {
			c = same
			return err
		}
		if err := tx.InsertCredential(ctx, c, sealed); err != nil {
			return err
		}
		return f.record(ctx, tx, evidence.Event{
			Kind: "credential.held", Actor: actor.Name, DeviceID: c.DeviceID, Fields: []evidence.Field{
				{Name: "credential_id", Value: c.ID}, {Name: "person_id", Value: c.PersonID},
				{Name: "connector", Value: c.Connector}, {Name: "token_type", Value: c.TokenType},
				{Name: "token-hmac", Value: c.Identifiers[0].Value},
			},
		})
	})
	if err != nil {
		return device.Credential{}, fmt.Errorf("add credential: %w", err)
	}
	return c, nil
}

// heldAlready finds the token of c among those held for the same person and
// device at the same connector: handing it in again makes no second one.
func heldAlready(ctx context.Context, tx Tx, c device.Credential) (device.Credential, bool, error) {
	list, of := tx.CredentialsOfDevice, c.DeviceID
	if of == "" {
		list, of = tx.CredentialsOfPerson, c.PersonID
	}
	all, err := list(ctx, of)
	for _, k := range all {
		if k.Held && k.Connector == c.Connector && k.PersonID == c.PersonID && k.DeviceID == c.DeviceID &&
			k.TokenType == c.TokenType && slices.Equal(k.Identifiers, c.Identifiers) {
			return k, true, nil
		}
	}
	return c, false, err
}

// fingerprint tells tokens apart without giving anything of them away. Agents
// make the same of what they find in text.
func (f *Flow) fingerprint(token string) string {
	h := hmac.New(sha256.New, f.fingerprintKey())
	h.Write([]byte(token))
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// fingerprintKey is this trust domain's: with it nobody can tell a token who
// does not have the token.
func (f *Flow) fingerprintKey() []byte { return f.dataKey.MAC("credential fingerprint key", nil) }

// credentialRow names the row that a held token is sealed for.
func credentialRow(id string) string { return "credentials/" + id + "/token" }

// whose finds the ids of a person and a device, each of which may be empty. A
// device's token is its person's, too.
func (f *Flow) whose(ctx context.Context, tx Tx, personName, deviceName string) (personID, deviceID string, err error) {
	if deviceName != "" {
		d, err := f.resolveDevice(ctx, tx, deviceName)
		if err != nil {
			return "", "", err
		}
		deviceID, personID = d.ID, d.PersonID
	}
	if personName != "" {
		p, err := personNamed(ctx, tx, personName)
		if err != nil {
			return "", "", err
		}
		personID = p.ID
	}
	return personID, deviceID, nil
}

// personNamed finds a person by id or e-mail address.
func personNamed(ctx context.Context, tx DeviceTx, idOrEmail string) (person.Person, error) {
	if strings.Contains(idOrEmail, "@") {
		return tx.PersonByEmail(ctx, strings.ToLower(strings.TrimSpace(idOrEmail)))
	}
	return tx.Person(ctx, idOrEmail)
}

// HeldToken is the token of a held credential, for the connector that is about
// to hand it to its own provider and to nobody else.
func (f *Flow) HeldToken(ctx context.Context, credentialID string) (string, error) {
	var sealed []byte
	err := f.store.View(ctx, func(tx Tx) (err error) {
		sealed, err = tx.SealedToken(ctx, credentialID)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("held token %s: %w", credentialID, err)
	}
	token, err := f.dataKey.Open(sealed, credentialRow(credentialID))
	if err != nil {
		return "", fmt.Errorf("held token %s: %w", credentialID, err)
	}
	return string(token), nil
}

// Credentials are those of a device (id or unique hostname), of a person (id or
// e-mail address) or all: found on devices and held by the server alike.
func (f *Flow) Credentials(ctx context.Context, deviceName, personName string) (all []device.Credential, err error) {
	err = f.store.View(ctx, func(tx Tx) error {
		switch {
		case deviceName != "":
			d, err := f.resolveDevice(ctx, tx, deviceName)
			if err != nil {
				return err
			}
			all, err = tx.CredentialsOfDevice(ctx, d.ID)
			return err
		case personName != "":
			all, err = f.credentialsOf(ctx, tx, personName)
			return err
		default:
			all, err = tx.Credentials(ctx)
			return err
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list credentials: %w", err)
	}
	return all, nil
}

// credentialsOf are those held for a person and those on the person's devices.
func (f *Flow) credentialsOf(ctx context.Context, tx Tx, name string) ([]device.Credential, error) {
	p, err := personNamed(ctx, tx, name)
	if err != nil {
		return nil, err
	}
	all, err := tx.CredentialsOfPerson(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool, len(all))
	for _, c := range all {
		seen[c.ID] = true
	}
	devices, err := tx.DevicesOfPerson(ctx, p.ID)
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		more, err := tx.CredentialsOfDevice(ctx, d.ID)
		if err != nil {
			return nil, err
		}
		for _, c := range more {
			if !seen[c.ID] {
				all = append(all, c)
			}
		}
	}
	return all, nil
}
