package flow

import (
	"context"
	"crypto/subtle"
	"fmt"

	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/operator"
)

// SetupCode draws a setup code if one is needed: while there is no account, and
// unless the last one still holds and the caller still has it (kept). It
// answers the empty string if none is needed. The caller puts it where only
// the machine's administrator can read it, and nowhere else.
func (f *Flow) SetupCode(ctx context.Context, kept bool) (string, error) {
	var code string
	err := f.store.Update(ctx, func(tx Tx) error {
		code = ""
		accounts, err := tx.Accounts(ctx)
		if err != nil || len(accounts) > 0 {
			return err
		}
		last, err := tx.SetupCode(ctx)
		if err != nil || (kept && last.Live(f.now())) {
			return err
		}
		code = operator.NewSetupCode()
		next := operator.SetupCode{Hash: operator.HashOf(code), ExpiresAt: f.now().Add(operator.SetupLife)}
		if err := tx.PutSetupCode(ctx, next); err != nil {
			return err
		}
		return f.record(ctx, tx, evidence.Event{Kind: "setup-code.drawn", Actor: "server"})
	})
	if err != nil {
		return "", fmt.Errorf("draw setup code: %w", err)
	}
	return code, nil
}

// SetupPending reports whether the first admin is still to be made.
func (f *Flow) SetupPending(ctx context.Context) (bool, error) {
	all, err := f.Users(ctx)
	return len(all) == 0, err
}

// Setup makes the first admin with the setup code, once. The code's 120 random
// bits are what protects it: a limit on tries would only lock its owner out.
func (f *Flow) Setup(ctx context.Context, code, name, password string) error {
	hash := operator.HashOf(operator.PlainSetupCode(code))
	if err := f.store.View(ctx, func(tx Tx) error { return f.checkSetup(ctx, tx, hash) }); err != nil {
		return err
	}
	a, passwordHash, err := f.newAccount(ctx, name, password, operator.Admin)
	if err != nil {
		return err
	}
	err = f.store.Update(ctx, func(tx Tx) error {
		if err := f.checkSetup(ctx, tx, hash); err != nil {
			return err
		}
		return f.insertAccount(ctx, tx, "setup-code", a, passwordHash)
	})
	if err != nil {
		return fmt.Errorf("set up: %w", err)
	}
	if f.setUp != nil {
		f.setUp()
	}
	return nil
}

// checkSetup answers a wrong, an expired and a used code alike.
func (f *Flow) checkSetup(ctx context.Context, tx Tx, hash operator.Hash) error {
	refused := fault.New(fault.Unauthenticated,
		"the setup code is wrong or no longer holds; a restart of the server draws a new one while there is no account")
	accounts, err := tx.Accounts(ctx)
	if err != nil {
		return err
	}
	if len(accounts) > 0 {
		return refused
	}
	c, err := tx.SetupCode(ctx)
	if err != nil {
		return err
	}
	if !c.Live(f.now()) || subtle.ConstantTimeCompare(c.Hash[:], hash[:]) != 1 {
		return refused
	}
	return nil
}
