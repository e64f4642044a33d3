package purge_test

import (
	"context"
	"crypto/ed25519"
	"testing"
	"time"

	"cutoff/agent/order"
	"cutoff/agent/purge"
	"cutoff/platform/platformtest"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// expire has a lease run out and returns what the seal did.
func (b *bench) expire(at cutoffv1.AtExpiry) purge.Result {
	b.t.Helper()
	keys, err := signed.NewKeys(b.signer.Public().(ed25519.PublicKey))
	if err != nil {
		b.t.Fatal(err)
	}
	raw, err := signed.Seal(signed.TypeLease, &cutoffv1.Lease{
		DeviceId: "dev_1", Number: 1, Nonce: make([]byte, 32), WarnMs: 1000, SealMs: 2000, RenewMs: 500, AtExpiry: at,
		CutId: "cut_1", EscrowRecipient: b.escrow.Recipient().String(),
	}, b.signer)
	if err != nil {
		b.t.Fatal(err)
	}
	v, err := order.Expired(raw, nil, order.State{DeviceID: "dev_1", LeaseKeys: keys}, 2*time.Second)
	if err != nil {
		b.t.Fatal(err)
	}
	w, err := b.journal.Begin(v)
	if err != nil {
		b.t.Fatal(err)
	}
	p, err := purge.New(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	r, err := p.Run(ctx, w)
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

func TestAtExpiryAGroupMayHaveWhatASignInRegainsRemovedAndTheRestSealed(t *testing.T) {
	for when, sealed := range map[cutoffv1.AtExpiry]bool{cutoffv1.AtExpiry_AT_EXPIRY_SEAL: true, cutoffv1.AtExpiry_AT_EXPIRY_PURGE: false} {
		t.Run(when.String(), func(t *testing.T) {
			b := newBench(t, platformtest.Users()...)
			u := user("alice")
			b.root.File(u, u.Home+"/.vault-token", secret)       // a sign-in brings it back
			b.root.File(u, u.Home+"/.pgpass", "h:1:d:u:"+secret) // nothing does
			r := b.expire(when)
			if i := at(t, r.Items, u.Home+"/.vault-token"); i.GetSealed() != sealed || i.GetOutcome() != verified {
				t.Errorf("what a sign-in regains: %v", i)
			}
			if i := at(t, r.Items, u.Home+"/.pgpass"); !i.GetSealed() || i.GetOutcome() != verified {
				t.Errorf("what no sign-in regains: %v", i)
			}
			noSecretBelow(t, b.root.Dir)
		})
	}
}
