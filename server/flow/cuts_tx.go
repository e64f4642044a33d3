package flow

// CutTx is the part of a transaction that keeps cuts, items, steps, orders, receipts, approvals.
type CutTx interface {
}
