package secrets

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/big"

	"github.com/godbus/dbus/v5"
)

// session is how secrets travel over the bus. They are encrypted where the
// keyring can: the peers trust each other as they are, but a bus daemon's
// buffers and a monitor's log are no place for a secret. A keyring that cannot
// (KWallet without its cipher plug-in) is spoken to in the clear: the socket is
// this user's own, and who could force that is the keyring itself.
type session struct {
	path dbus.ObjectPath
	key  []byte // nil: in the clear
}

const (
	encrypted = "dh-ietf1024-sha256-aes128-cbc-pkcs7"
	clearText = "plain"
	// keySize is the group's, and blockSize AES-128's key and block.
	keySize   = 128
	blockSize = 16
	// maxSecret bounds a secret of a keyring that got out of hand.
	maxSecret = 32 << 20
)

// group is the second Oakley group (RFC 2409, 6.2), which the specification asks for.
const group = "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74" +
	"020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F1437" +
	"4FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED" +
	"EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381FFFFFFFFFFFFFFFF"

// sent is a secret as it travels: (oayays).
type sent struct {
	Session     dbus.ObjectPath
	Parameters  []byte
	Value       []byte
	ContentType string
}

var errSecret = errors.New("secret of another form")

// begin opens the one session of this conversation.
func (k *keyring) begin(ctx context.Context) (*session, error) {
	if k.session != nil {
		return k.session, nil
	}
	prime, _ := new(big.Int).SetString(group, 16)
	private, err := rand.Int(rand.Reader, new(big.Int).Sub(prime, big.NewInt(2)))
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	private.Add(private, big.NewInt(1))
	public := new(big.Int).Exp(big.NewInt(2), private, prime)
	var (
		output dbus.Variant
		s      session
	)
	err = k.call(ctx, root, serviceIface+".OpenSession", encrypted, dbus.MakeVariant(public.FillBytes(make([]byte, keySize)))).Store(&output, &s.path)
	if err == nil {
		peer, _ := output.Value().([]byte)
		s.key, err = agree(new(big.Int).SetBytes(peer), private, prime)
	} else if ctx.Err() == nil {
		err = k.call(ctx, root, serviceIface+".OpenSession", clearText, dbus.MakeVariant("")).Store(&output, &s.path)
	}
	if err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	k.session = &s
	return k.session, nil
}

func agree(peer, private, prime *big.Int) ([]byte, error) {
	if peer.Cmp(big.NewInt(1)) <= 0 || peer.Cmp(new(big.Int).Sub(prime, big.NewInt(1))) >= 0 {
		return nil, errSecret
	}
	shared := new(big.Int).Exp(peer, private, prime).FillBytes(make([]byte, keySize))
	defer clear(shared)
	return hkdf.Key(sha256.New, shared, nil, "", blockSize)
}

// Read reads an item's secret.
func (k *keyring) Read(ctx context.Context, item Item) (Secret, error) {
	if item.Locked {
		return Secret{}, ErrLocked
	}
	s, err := k.begin(ctx)
	if err != nil {
		return Secret{}, err
	}
	var got sent
	if err := k.call(ctx, dbus.ObjectPath(item.Ref), itemIface+".GetSecret", s.path).Store(&got); err != nil {
		return Secret{}, fmt.Errorf("read secret: %w", err)
	}
	value, err := s.open(got)
	if err != nil {
		return Secret{}, fmt.Errorf("read secret: %w", err)
	}
	return Secret{Value: value, ContentType: got.ContentType}, nil
}

// Create puts an item back into its collection. It writes over none: one with
// the same attributes is ErrCameBack, unless it is this very item.
func (k *keyring) Create(ctx context.Context, item Item, secret Secret) error {
	into, err := k.collection(ctx, item.Collection)
	if err != nil {
		return err
	}
	there, err := k.Items(ctx, into)
	if err != nil {
		return err
	}
	for _, other := range there {
		if alike(other.Attributes, item.Attributes) {
			return k.same(ctx, other, item, secret)
		}
	}
	s, err := k.begin(ctx)
	if err != nil {
		return err
	}
	out, err := s.seal(secret)
	if err != nil {
		return err
	}
	var ref, prompt dbus.ObjectPath
	props := map[string]dbus.Variant{itemIface + ".Label": dbus.MakeVariant(item.Label), itemIface + ".Attributes": dbus.MakeVariant(item.Attributes)}
	if err := k.call(ctx, dbus.ObjectPath(into.Ref), collectionIface+".CreateItem", props, out, false).Store(&ref, &prompt); err != nil {
		return fmt.Errorf("put item back: %w", err)
	}
	if prompt != nothing {
		k.dismiss(ctx, prompt)
		return ErrPrompt
	}
	made, err := k.item(ctx, ref)
	if err != nil {
		return fmt.Errorf("put item back: %w", err)
	}
	return k.same(ctx, made, item, secret)
}

func (k *keyring) collection(ctx context.Context, name string) (Collection, error) {
	all, err := k.Collections(ctx)
	if err != nil {
		return Collection{}, err
	}
	for _, c := range all {
		if c.Name != name {
			continue
		}
		if c.Locked {
			return Collection{}, ErrLocked
		}
		return c, nil
	}
	return Collection{}, ErrNoCollection
}

// alike reports whether an item has the attributes it is to have. Once it has
// written its file, gnome-keyring shows the schema of an item that was given
// none.
func alike(is, want map[string]string) bool {
	const schema, none = "xdg:schema", "org.freedesktop.Secret.Generic"
	if _, given := want[schema]; !given && is[schema] == none {
		is = maps.Clone(is)
		delete(is, schema)
	}
	return maps.Equal(is, want)
}

// same holds an item of the keyring against what it is to be.
func (k *keyring) same(ctx context.Context, is, want Item, secret Secret) error {
	have, err := k.Read(ctx, is)
	if err != nil {
		return err
	}
	defer clear(have.Value)
	if !bytes.Equal(have.Value, secret.Value) || is.Label != want.Label || !alike(is.Attributes, want.Attributes) {
		return ErrCameBack
	}
	return nil
}

func (s *session) open(got sent) ([]byte, error) {
	if len(got.Value) > maxSecret {
		return nil, errSecret
	}
	if s.key == nil {
		return got.Value, nil
	}
	block, err := aes.NewCipher(s.key)
	if err != nil || len(got.Parameters) != blockSize || len(got.Value) == 0 || len(got.Value)%blockSize != 0 {
		return nil, errSecret
	}
	cipher.NewCBCDecrypter(block, got.Parameters).CryptBlocks(got.Value, got.Value)
	pad := int(got.Value[len(got.Value)-1])
	if pad == 0 || pad > blockSize || !bytes.HasSuffix(got.Value, bytes.Repeat([]byte{byte(pad)}, pad)) {
		return nil, errSecret
	}
	return got.Value[:len(got.Value)-pad], nil
}

func (s *session) seal(secret Secret) (sent, error) {
	out := sent{Session: s.path, Parameters: []byte{}, Value: secret.Value, ContentType: secret.ContentType}
	if s.key == nil {
		return out, nil
	}
	block, err := aes.NewCipher(s.key)
	if err != nil {
		return sent{}, fmt.Errorf("put item back: %w", err)
	}
	out.Parameters = make([]byte, blockSize)
	if _, err := rand.Read(out.Parameters); err != nil {
		return sent{}, fmt.Errorf("put item back: %w", err)
	}
	pad := blockSize - len(secret.Value)%blockSize
	out.Value = append(bytes.Clone(secret.Value), bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, out.Parameters).CryptBlocks(out.Value, out.Value)
	return out, nil
}
