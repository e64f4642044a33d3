package flow

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"filippo.io/age"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"cutoff/agent/journal"
	"cutoff/agent/lease"
	"cutoff/agent/order"
	"cutoff/agent/purge"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// Errors of a lift by file.
var (
	// ErrNotCut: there is nothing to lift.
	ErrNotCut = errors.New("no cut of this device stands: there is nothing to lift")
	// ErrNotAsked: no request of this boot, within a day, waits for an answer.
	ErrNotAsked = errors.New("no request of this device waits for an answer: a request is good for a day, and until the device restarts")
)

// maxLiftKeys bounds an answer's keys when they are open, in bytes.
const maxLiftKeys = 4 << 20

// RequestLift makes the file with which somebody may ask the server to lift the
// cut that stands: a challenge that is good for a day of this boot, the headers
// of what is sealed and the receipts the server has not seen. A later request
// takes the place of an earlier one.
func (f *Flow) RequestLift(ctx context.Context) (cutID string, file []byte, err error) {
	made, err := inLoop(ctx, f, func(now lease.Reading) (*cutoffv1.LiftRequest, error) { return f.askLift(now) })
	if err != nil {
		return "", nil, err
	}
	headers, err := purge.Headers(string(f.config.State), made.GetCutId())
	if err != nil {
		return "", nil, err
	}
	for _, h := range headers {
		made.Headers = append(made.Headers, &cutoffv1.LiftHeader{ItemId: h.GetItemId(), Header: h.GetHeader()})
	}
	if made.Receipts, err = f.config.Journal.Unacknowledged(); err != nil {
		return "", nil, err
	}
	file, err = signed.Seal(signed.TypeLiftAsk, made, f.config.Key)
	if err != nil {
		return "", nil, fmt.Errorf("sign request: %w", err)
	}
	return made.GetCutId(), file, nil
}

func (f *Flow) askLift(now lease.Reading) (*cutoffv1.LiftRequest, error) {
	s := &f.loop
	if s.current != nil || len(s.queue) > 0 {
		return nil, ErrBusy
	}
	cutID := ""
	for id, w := range s.standing {
		if w.Kind() == cutoffv1.OrderKind_ORDER_KIND_SEAL && id > cutID {
			cutID = id
		}
	}
	if cutID == "" {
		return nil, ErrNotCut
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return nil, fmt.Errorf("draw key: %w", err)
	}
	challenge := make([]byte, 32)
	_, _ = rand.Read(challenge) // never fails, see crypto/rand
	err = f.config.Journal.ChangeExtensions(func(e *journal.Extensions) {
		e.Ask = journal.Ask{CutID: cutID, Challenge: challenge, Identity: identity.String(), Boot: now.Boot, BootID: now.BootID}
	})
	if err != nil {
		return nil, err
	}
	highestOrder, highestLease, err := f.config.Journal.Numbers()
	if err != nil {
		return nil, err
	}
	return &cutoffv1.LiftRequest{
		DeviceId: f.config.DeviceID, CutId: cutID, Challenge: challenge, Recipient: identity.Recipient().String(),
		HighestOrder: highestOrder, HighestLease: highestLease, At: timestamppb.New(now.Wall),
	}, nil
}

// IsLiftAnswer tells an answer to a lift from an extension. Nothing is trusted
// for it.
func IsLiftAnswer(file []byte) bool {
	return signed.Peek(file, signed.TypeLiftAnswer, &cutoffv1.LiftAnswer{}) == nil
}

// AnswerLift takes the answer to the last request: verified, kept, journalled,
// and only then carried out. What is refused is reported at the next contact.
func (f *Flow) AnswerLift(ctx context.Context, file []byte) (cutID string, err error) {
	return inLoop(ctx, f, func(now lease.Reading) (string, error) {
		state, err := f.knowledge(now)
		if err != nil {
			return "", err
		}
		known, err := f.config.Journal.Extensions()
		if err != nil {
			return "", err
		}
		if !known.Ask.Answered(state.Now) {
			return "", ErrNotAsked
		}
		answer, err := order.OpenLiftAnswer(file, known.Ask.Challenge, state)
		var refused *order.Refused
		if errors.As(err, &refused) {
			f.refuseLater("lift", refused, file)
			return "", refused
		}
		if err != nil {
			return "", err
		}
		if answer.Order.CutID() != known.Ask.CutID {
			return "", ErrNotAsked
		}
		if _, err := openLiftKeys(answer.Keys, known.Ask.Identity); err != nil {
			return "", err
		}
		if err := f.config.State.KeepLiftAnswer(file); err != nil {
			return "", err
		}
		w, err := f.config.Journal.Begin(answer.Order)
		if err != nil {
			return "", err
		}
		cutID := w.CutID() // once dispatched, the warrant is the actor's
		f.config.Log.Info("lift by file accepted", "cut_id", cutID, "order_id", w.OrderID())
		f.enqueue(w)
		f.dispatch()
		return cutID, nil
	})
}

// openLiftKeys decrypts an answer's keys.
func openLiftKeys(keys []byte, identity string) (map[string]*cutoffv1.LiftKey, error) {
	id, err := age.ParseX25519Identity(identity)
	if err != nil {
		return nil, ErrNotAsked
	}
	r, err := age.Decrypt(bytes.NewReader(keys), id)
	if err != nil {
		return nil, fmt.Errorf("the answer's keys do not open: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, maxLiftKeys+1))
	if err != nil || len(plain) > maxLiftKeys {
		return nil, errors.New("the answer's keys do not open")
	}
	m := &cutoffv1.LiftKeys{}
	if err := proto.Unmarshal(plain, m); err != nil {
		return nil, errors.New("the answer's keys cannot be read")
	}
	all := make(map[string]*cutoffv1.LiftKey, len(m.GetKeys()))
	for _, k := range m.GetKeys() {
		all[k.GetItemId()] = k
	}
	return all, nil
}

// unseal asks for the keys of a cut's items: the kept answer of a lift by file
// has them, or the server does.
func (f *Flow) unseal(ctx context.Context, cutID string, headers []*cutoffv1.SealedHeader) ([]*cutoffv1.FileKey, error) {
	have, err := f.answered(cutID)
	if err != nil {
		f.config.Log.Warn("answer to the lift cannot be used", "cut_id", cutID, "err", err)
	}
	if len(have) == 0 {
		return f.config.Unseal(ctx, cutID, headers)
	}
	var keys []*cutoffv1.FileKey
	var rest []*cutoffv1.SealedHeader
	for _, h := range headers {
		if k := have[h.GetItemId()]; len(k.GetKey()) > 0 {
			keys = append(keys, &cutoffv1.FileKey{ItemId: k.GetItemId(), Key: k.GetKey()})
			continue
		}
		rest = append(rest, h)
	}
	if len(rest) == 0 {
		return keys, nil
	}
	more, err := f.config.Unseal(ctx, cutID, rest)
	if err != nil {
		f.config.Log.Info("keys that the answer lacks wait for the server", "cut_id", cutID, "items", len(rest), "err", err)
	}
	return append(keys, more...), nil
}

// answered are the keys of the kept answer, if it is about this cut. It is held
// against the roster again: a file in the state directory is no word of anybody.
func (f *Flow) answered(cutID string) (map[string]*cutoffv1.LiftKey, error) {
	file, err := f.config.State.LiftAnswer()
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	known, err := f.config.Journal.Extensions()
	if err != nil || known.Ask.CutID != cutID {
		return nil, err
	}
	state, err := f.knowledge(f.config.Clock())
	if err != nil {
		return nil, err
	}
	m, err := order.LiftKeys(file, known.Ask.Challenge, state)
	if err != nil {
		return nil, err
	}
	return openLiftKeys(m.GetKeys(), known.Ask.Identity)
}

// dropAnswer forgets the request and its answer, when all is back.
func (f *Flow) dropAnswer(cutID string) error {
	known, err := f.config.Journal.Extensions()
	if err != nil || known.Ask.CutID != cutID {
		return err
	}
	if err := f.config.State.DropLiftAnswer(); err != nil {
		return err
	}
	return f.config.Journal.ChangeExtensions(func(e *journal.Extensions) { e.Ask = journal.Ask{} })
}
