// Package signed makes and opens envelopes: one payload, its type, and Ed25519
// signatures over DSSE's pre-authentication encoding of both
// (https://github.com/secure-systems-lab/dsse/blob/master/protocol.md).
// It signs and verifies bytes, never messages, and it verifies before anything
// is parsed. It must not know what a payload means.
package signed

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// Payload types. A type is part of what is signed, so that no payload can be
// passed off as another.
const (
	TypeRoster     = "application/vnd.cutoff.roster.v1"
	TypeOrder      = "application/vnd.cutoff.order.v1"
	TypeLease      = "application/vnd.cutoff.lease.v1"
	TypeGrant      = "application/vnd.cutoff.standing-grant.v1"
	TypeHello      = "application/vnd.cutoff.hello.v1"
	TypeReceipt    = "application/vnd.cutoff.receipt.v1"
	TypeRefusal    = "application/vnd.cutoff.refusal.v1"
	TypeCheckpoint = "application/vnd.cutoff.checkpoint.v1"
	TypeCatalogue  = "application/vnd.cutoff.catalogue.v1"
	TypeLeaving    = "application/vnd.cutoff.leaving.v1"
	TypeExtension  = "application/vnd.cutoff.extension.v1"
	TypeLiftAsk    = "application/vnd.cutoff.lift-request.v1"
	TypeLiftAnswer = "application/vnd.cutoff.lift-answer.v1"
	TypeProposal   = "application/vnd.cutoff.catalogue-proposal.v1"
)

// MaxEnvelope bounds an envelope in bytes: a receipt of some 20,000 items.
const MaxEnvelope = 8 << 20

// ErrMalformed says that the bytes are not one canonical envelope of the
// expected type.
var ErrMalformed = errors.New("malformed envelope")

// ErrUntrusted says that no signature is by a key the reader trusts.
var ErrUntrusted = errors.New("no trusted signature")

// KeyID names a public key: the first 16 hex digits of its SHA-256.
func KeyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:8])
}

// Keys is a set of trusted keys. The zero value trusts nobody.
type Keys map[string]ed25519.PublicKey

// NewKeys makes a set of raw 32-byte public keys; any other length is an error.
func NewKeys(raw ...[]byte) (Keys, error) {
	keys := make(Keys, len(raw))
	for _, k := range raw {
		if len(k) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("public key of %d bytes, want %d", len(k), ed25519.PublicKeySize)
		}
		keys[KeyID(k)] = bytes.Clone(k)
	}
	return keys, nil
}

// Seal marshals message deterministically and signs it as payloadType with
// signer, whose public key must be Ed25519. It returns the envelope's bytes.
func Seal(payloadType string, message proto.Message, signer crypto.Signer) ([]byte, error) {
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		return nil, fmt.Errorf("marshal payload: %w", err)
	}
	public, ok := signer.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("signer of type %T, want Ed25519", signer.Public())
	}
	sig, err := signer.Sign(rand.Reader, encode(payloadType, payload), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("sign payload: %w", err)
	}
	return proto.MarshalOptions{Deterministic: true}.Marshal(&cutoffv1.Envelope{
		PayloadType: payloadType,
		Payload:     payload,
		Signatures:  []*cutoffv1.Signature{{KeyId: KeyID(public), Sig: sig}},
	})
}

// Open verifies raw as an envelope of payloadType with a signature by one of
// keys, then unmarshals its payload into message. Bytes that do not re-encode
// to themselves, in the envelope or the payload, are refused, so that a signed
// thing has one encoding. It returns the id of the key that signed.
//
// Errors wrap ErrMalformed or ErrUntrusted.
func Open(raw []byte, payloadType string, keys Keys, message proto.Message) (keyID string, err error) {
	envelope, err := decode(raw, payloadType)
	if err != nil {
		return "", err
	}
	text := encode(payloadType, envelope.GetPayload())
	for _, s := range envelope.GetSignatures() {
		public, ok := keys[s.GetKeyId()]
		if ok && len(s.GetSig()) == ed25519.SignatureSize && ed25519.Verify(public, text, s.GetSig()) {
			keyID = s.GetKeyId()
			break
		}
	}
	if keyID == "" {
		return "", ErrUntrusted
	}
	if err := unmarshal(envelope.GetPayload(), message); err != nil {
		return "", err
	}
	return keyID, nil
}

// Peek unmarshals the payload of raw without trusting it, for a report about a
// refused envelope. Nothing may be decided on what it returns.
func Peek(raw []byte, payloadType string, message proto.Message) error {
	envelope, err := decode(raw, payloadType)
	if err != nil {
		return err
	}
	return unmarshal(envelope.GetPayload(), message)
}

// Digest is SHA-256 of an envelope's bytes, by which evidence refers to it.
func Digest(raw []byte) [sha256.Size]byte { return sha256.Sum256(raw) }

func decode(raw []byte, payloadType string) (*cutoffv1.Envelope, error) {
	if len(raw) == 0 || len(raw) > MaxEnvelope {
		return nil, fmt.Errorf("%w: %d bytes", ErrMalformed, len(raw))
	}
	envelope := &cutoffv1.Envelope{}
	if err := unmarshal(raw, envelope); err != nil {
		return nil, err
	}
	if envelope.GetPayloadType() != payloadType {
		return nil, fmt.Errorf("%w: another payload type", ErrMalformed)
	}
	if n := len(envelope.GetSignatures()); n == 0 || n > 8 {
		return nil, fmt.Errorf("%w: %d signatures", ErrMalformed, n)
	}
	return envelope, nil
}

// unmarshal parses raw strictly: it must re-encode to itself, which also
// refuses unknown fields moved to the end, repeated scalars and long varints.
func unmarshal(raw []byte, message proto.Message) error {
	if err := proto.Unmarshal(raw, message); err != nil {
		return fmt.Errorf("%w: not protobuf", ErrMalformed)
	}
	if hasUnknown(message) {
		return fmt.Errorf("%w: unknown field", ErrMalformed)
	}
	again, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil || !bytes.Equal(again, raw) {
		return fmt.Errorf("%w: not canonical", ErrMalformed)
	}
	return nil
}

// encode is DSSE's PAE: "DSSEv1" SP len(type) SP type SP len(payload) SP payload.
func encode(payloadType string, payload []byte) []byte {
	out := make([]byte, 0, len(payload)+len(payloadType)+40)
	out = append(out, "DSSEv1 "...)
	out = strconv.AppendInt(out, int64(len(payloadType)), 10)
	out = append(out, ' ')
	out = append(out, payloadType...)
	out = append(out, ' ')
	out = strconv.AppendInt(out, int64(len(payload)), 10)
	out = append(out, ' ')
	return append(out, payload...)
}
