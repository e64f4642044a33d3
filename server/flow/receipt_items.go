package flow

import (
	"strconv"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/evidence"
	"cutoff/server/order"
	"cutoff/server/revoke"
)

// Bounds of a receipt. An agent of ours stays far below.
const (
	maxItems       = 20_000
	maxWordBytes   = 256
	maxPathBytes   = 8 << 10
	maxIdentifiers = 64
)

func checkReceipt(r *cutoffv1.Receipt, peer Peer) error {
	if r.GetDeviceId() != peer.DeviceID {
		return refuse("foreign: it is of another device")
	}
	kind, known := order.KindOf(r.GetKind())
	switch {
	case !known:
		return refuse("malformed: kind")
	case r.GetCutId() == "" || len(r.GetCutId()) > 128 || len(r.GetOrderId()) > 128:
		return refuse("malformed: ids")
	case len(r.GetItems()) > maxItems:
		return refuse("malformed: %d items, at most %d", len(r.GetItems()), maxItems)
	case r.GetCause() == cutoffv1.Cause_CAUSE_ORDER && (r.GetOrderId() == "" || r.GetOrderNumber() == 0):
		return refuse("malformed: an answer to no order")
	case r.GetCause() == cutoffv1.Cause_CAUSE_EXPIRY && (r.GetOrderId() != "" || kind != order.Seal):
		return refuse("malformed: an expiry only seals, without an order")
	case r.GetCause() == cutoffv1.Cause_CAUSE_UNSPECIFIED:
		return refuse("malformed: cause")
	}
	seen := make(map[string]bool, len(r.GetItems()))
	for _, i := range r.GetItems() {
		if err := checkItem(i); err != nil {
			return err
		}
		if outcomeOf(i.GetOutcome()) == "" {
			return refuse("malformed: item outcome")
		}
		if seen[i.GetId()] {
			return refuse("malformed: two items with one id")
		}
		seen[i.GetId()] = true
	}
	return nil
}

func checkItem(i *cutoffv1.Item) error {
	switch {
	case i.GetId() == "" || len(i.GetId()) > maxWordBytes:
		return refuse("malformed: item id")
	case len(i.GetPath()) > maxPathBytes || len(i.GetIdentifiers()) > maxIdentifiers:
		return refuse("malformed: item too long")
	}
	for _, s := range []string{i.GetProduct(), i.GetUser(), i.GetAction(), i.GetDetail(), i.GetRegain(), i.GetConfidence()} {
		if len(s) > maxWordBytes {
			return refuse("malformed: item word too long")
		}
	}
	for _, n := range i.GetIdentifiers() {
		if len(n.GetKind()) > maxWordBytes || len(n.GetValue()) > maxPathBytes {
			return refuse("malformed: identifier too long")
		}
	}
	if !i.GetResidualUntil().IsValid() && i.GetResidualUntil() != nil {
		return refuse("malformed: item residual")
	}
	return nil
}

// itemOf is an item of the wire as the domain has it.
func itemOf(i *cutoffv1.Item) cut.Item {
	item := cut.Item{
		ID: i.GetId(), Product: i.GetProduct(), User: i.GetUser(), Path: i.GetPath(), Action: i.GetAction(),
		Outcome: outcomeOf(i.GetOutcome()), Detail: i.GetDetail(), Sealed: i.GetSealed(), Regain: i.GetRegain(),
		Confidence: i.GetConfidence(), Residual: revoke.Residual{Unbounded: i.GetResidualUnbounded()},
	}
	if t := i.GetResidualUntil(); t != nil {
		item.Residual.Until = t.AsTime()
	}
	for _, n := range i.GetIdentifiers() {
		item.Identifiers = append(item.Identifiers, cut.Identifier{Kind: n.GetKind(), Value: n.GetValue()})
	}
	return item
}

func outcomeOf(o cutoffv1.Outcome) revoke.Outcome {
	switch o {
	case cutoffv1.Outcome_OUTCOME_VERIFIED:
		return revoke.Verified
	case cutoffv1.Outcome_OUTCOME_ACCEPTED:
		return revoke.Accepted
	case cutoffv1.Outcome_OUTCOME_UNSUPPORTED:
		return revoke.Unsupported
	case cutoffv1.Outcome_OUTCOME_RETRYING:
		return revoke.Retrying
	case cutoffv1.Outcome_OUTCOME_BLOCKED:
		return revoke.Blocked
	}
	return ""
}

func receiptFields(r *cutoffv1.Receipt) []evidence.Field {
	counts := map[cutoffv1.Outcome]int{}
	for _, i := range r.GetItems() {
		counts[i.GetOutcome()]++
	}
	fields := []evidence.Field{
		{Name: "order", Value: r.GetOrderId()}, {Name: "kind", Value: r.GetKind().String()},
		{Name: "part", Value: strconv.FormatUint(uint64(r.GetPart()), 10)},
		{Name: "complete", Value: strconv.FormatBool(r.GetComplete())},
		{Name: "items", Value: strconv.Itoa(len(r.GetItems()))},
	}
	for o := cutoffv1.Outcome_OUTCOME_VERIFIED; o <= cutoffv1.Outcome_OUTCOME_BLOCKED; o++ {
		if counts[o] > 0 {
			fields = append(fields, evidence.Field{Name: string(outcomeOf(o)), Value: strconv.Itoa(counts[o])})
		}
	}
	return fields
}
