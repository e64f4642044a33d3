package flow

import (
	"context"
	"fmt"

	"cutoff/server/cut"
	"cutoff/server/evidence"
	"cutoff/server/revoke"
)

// maxShredBatch bounds how many shreddings one look confirms.
const maxShredBatch = 100

// Words of the step that shreds.
const (
	actionShred   = "shred"
	paramEscrow   = "escrow"
	detailShred   = "sealed archives are unreadable; a backup of the key may be kept until then"
	detailNoShred = "the key could not be deleted; look at DIR/escrow"
)

// shredSpec is the step that destroys the key of an escrow.
func shredSpec(escrowID string) revoke.Spec {
	return revoke.Spec{
		Connector: revoke.Escrow, Action: actionShred, Target: "the key of the sealed archives",
		Params: map[string]string{paramEscrow: escrowID}, Scope: revoke.ScopeDevice, Undo: revoke.UndoNone,
	}
}

// shred destroys the key of a sealed device's cut: what it sealed can no longer
// be read by anyone. The row is the tombstone, the key file follows the commit,
// and the step answers for it until no backup can have it any more.
func (f *Flow) shred(ctx context.Context, tx Tx, e *effects, c *cut.Cut) error {
	if c.Escrow == "" {
		return nil
	}
	key, err := tx.Escrow(ctx, c.Escrow)
	if err != nil || key.Shredded() {
		return err
	}
	if err := tx.ShredEscrow(ctx, key.ID, f.now()); err != nil {
		return err
	}
	s := planned(c.ID, shredSpec(key.ID), f.now())
	if err := tx.InsertStep(ctx, s); err != nil {
		return err
	}
	c.Stepless = false
	e.steps, e.shred = true, append(e.shred, key.ID)
	return f.recordCut(ctx, tx, "escrow.shredded", c.Actor, c,
		evidence.Field{Name: "escrow", Value: key.ID}, evidence.Field{Name: "step", Value: s.ID})
}

// Shred carries out a step that shreds. That the key is gone here is read back;
// that it is gone everywhere is so once the last backup that has it is.
func (f *Flow) Shred(ctx context.Context, s revoke.Step) revoke.Result {
	if err := f.vault.Shred(s.Params[paramEscrow]); err != nil {
		f.log.ErrorContext(ctx, "shred escrow key", "escrow_id", s.Params[paramEscrow], "err", err)
		return revoke.Result{Outcome: revoke.Retrying, Detail: detailNoShred}
	}
	if f.escrowBackups <= 0 {
		return revoke.Result{Outcome: revoke.Verified, Proof: revoke.L1, Done: true}
	}
	return revoke.Result{
		Outcome: revoke.Accepted, Proof: revoke.L1, Done: true, Detail: detailShred,
		Residual: revoke.Residual{Until: f.now().Add(f.escrowBackups)},
	}
}

// ReapplyShredding destroys the wrapping keys of escrows whose rows say they are
// shredded: those a crash left between the two, and those a restore brought
// back. It is for the server's start: what the settings say of backups since then
// holds for the keys shredded before, where that is later.
func (f *Flow) ReapplyShredding(ctx context.Context) error {
	var shredded []string
	err := f.store.View(ctx, func(tx Tx) (err error) {
		shredded, err = tx.ShreddedEscrows(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("read shredded escrows: %w", err)
	}
	for _, id := range shredded {
		if err := f.vault.Shred(id); err != nil {
			return fmt.Errorf("shred escrow %s: %w", id, err)
		}
	}
	err = f.store.Update(ctx, func(tx Tx) error { return tx.ExtendShreds(ctx, f.escrowBackups) })
	if err != nil {
		return fmt.Errorf("extend what shredding leaves: %w", err)
	}
	return nil
}

// ConfirmShreds makes verified what was shredded so long ago that no backup has
// the key any more. The key is deleted once more first: a restore may have
// brought it back.
func (f *Flow) ConfirmShreds(ctx context.Context) error {
	var ids []string
	err := f.store.View(ctx, func(tx Tx) (err error) {
		ids, err = tx.ShredSteps(ctx, f.now(), maxShredBatch)
		return err
	})
	if err != nil {
		return fmt.Errorf("list shredded keys: %w", err)
	}
	for _, id := range ids {
		if err := f.act(ctx, func(tx Tx, e *effects) error { return f.confirmShred(ctx, tx, e, id) }); err != nil {
			return fmt.Errorf("confirm shredding %s: %w", id, err)
		}
	}
	return nil
}

func (f *Flow) confirmShred(ctx context.Context, tx Tx, e *effects, id string) error {
	s, err := tx.Step(ctx, id)
	if err != nil || s.Outcome != revoke.Accepted {
		return err
	}
	if err := f.vault.Shred(s.Params[paramEscrow]); err != nil {
		return err
	}
	from := s.State
	if s.State, err = revoke.Next(from, revoke.Confirm); err != nil {
		return err
	}
	s.Outcome, s.Detail, s.DoneAt = revoke.Verified, "", f.now()
	if err := tx.SetStep(ctx, from, "", s); err != nil {
		return err
	}
	c, err := tx.CutRow(ctx, s.CutID)
	if err != nil {
		return err
	}
	e.cut(c.ID)
	return f.recordCut(ctx, tx, "step.result", "server", &c, stepFields(&s)...)
}
