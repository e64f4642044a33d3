package cut

import (
	"time"

	"cutoff/server/revoke"
)

// Exposure is the latest time until which anything of the cut may still work,
// as of now: the maximum over its items and steps whatever their outcome. An
// order the device has not answered is unbounded, for nobody knows what lives
// on it; so is anything that is not proved dead and has no known end. The zero
// Residual is none: all is verified and every residual is past.
//
// A cut that was turned down or lifted exposes nothing: what works is meant to.
func Exposure(c *Cut, now time.Time) revoke.Residual {
	switch c.State {
	case Refused, Lapsed, Lifted:
		return revoke.Residual{}
	case Held:
		return revoke.Residual{Unbounded: true}
	}
	if c.ReceiptDue() || c.Unfinished {
		return revoke.Residual{Unbounded: true}
	}
	var most revoke.Residual
	if c.Lives != nil {
		most = *c.Lives
	}
	for i := range c.Items {
		most = most.Later(lives(c.Items[i].Outcome, c.Items[i].Residual))
	}
	for i := range c.Steps {
		if s := &c.Steps[i]; s.Counts() {
			most = most.Later(lives(s.Outcome, s.Residual))
		}
	}
	if !most.Unbounded && !most.Until.After(now) {
		return revoke.Residual{}
	}
	return most
}

// lives is until when a target with this outcome may work: what is not
// verified and has no known end has none.
func lives(outcome revoke.Outcome, residual revoke.Residual) revoke.Residual {
	if outcome != revoke.Verified && !residual.Unbounded && residual.Until.IsZero() {
		return revoke.Residual{Unbounded: true}
	}
	return residual
}

// Quiet reports whether nothing is due: no order without its answer, nothing
// the device still tries, no step with a due time.
func (c *Cut) Quiet() bool {
	if c.ReceiptDue() || c.Unfinished {
		return false
	}
	for i := range c.Steps {
		if !c.Steps[i].Due.IsZero() {
			return false
		}
	}
	return true
}

// Proved reports whether every item and step is verified or accepted: what
// `cut --wait` exits 0 on.
func (c *Cut) Proved() bool {
	for i := range c.Items {
		if o := c.Items[i].Outcome; o != revoke.Verified && o != revoke.Accepted {
			return false
		}
	}
	for i := range c.Steps {
		if o := c.Steps[i].Outcome; c.Steps[i].Counts() && o != revoke.Verified && o != revoke.Accepted {
			return false
		}
	}
	return true
}
