package flow

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"cutoff/agent/lease"
	"cutoff/agent/order"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// permit keeps the server's permission to remove this agent, and answers it. It
// touches nothing: whoever removes the agent shows it to the server then.
func (f *Flow) permit(v order.Verified, now lease.Reading) {
	at := timestamppb.New(now.Wall)
	receipt, err := signed.Seal(signed.TypeReceipt, &cutoffv1.Receipt{
		DeviceId: f.config.DeviceID, CutId: v.CutID(), OrderId: v.OrderID(), OrderNumber: v.Number(), Kind: v.Kind(), Cause: v.Cause(),
		Complete: true, StartedAt: at, FinishedAt: at, FinishedBootMs: now.Boot.Milliseconds(), BootId: now.BootID,
		AgentVersion: f.config.Version, TrialRoot: f.config.Root,
	}, f.config.Key)
	if err == nil {
		err = f.config.Journal.Permit(v, receipt)
	}
	if err != nil {
		f.config.Log.Error("permission to remove the agent not journalled", "order_id", v.OrderID(), "err", err)
		return
	}
	f.config.Log.Info("the server permits this agent's removal", "order_id", v.OrderID())
	f.send(&cutoffv1.ConnectRequest{Message: &cutoffv1.ConnectRequest_Receipt{Receipt: receipt}})
}
