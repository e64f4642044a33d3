package flow

import (
	"errors"

	"cutoff/agent/order"
	"cutoff/agent/scope"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// rescoped takes a catalogue: verified, kept, and only then in force. A cut
// that stands looks again with it at once, and the server hears what is found
// with it now.
func (f *Flow) rescoped(raw []byte) {
	changed, err := f.config.Scope.Take(raw)
	if err != nil {
		f.catalogueRefused(err)
		return
	}
	number, content := f.config.Scope.Held()
	f.send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Catalogue{
		Catalogue: &cutoffv1.CatalogueHeld{Number: number, Content: content},
	}})
	if !changed {
		return
	}
	now := f.config.Clock()
	f.config.Log.Info("catalogue taken", "number", number, "version", f.config.Scope.Scope().Version)
	if len(f.loop.standing) > 0 {
		f.loop.due.sweep = now.Boot
	}
	f.loop.scanned = 0 // what was found without it is old
	f.wantInventory(true, now)
}

// catalogueRefused reports what was not taken, or logs what could not be kept.
func (f *Flow) catalogueRefused(err error) {
	var refused *scope.Refused
	if !errors.As(err, &refused) {
		f.config.Log.Error("catalogue not kept", "err", err)
		return
	}
	f.config.Log.Warn("catalogue refused", "reason", refused.Reason, "err", refused)
	f.refuse("catalogue", &order.Refused{Reason: order.Reason(refused.Reason), Number: refused.Number}, f.config.Clock())
}
