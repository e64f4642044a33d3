package flow

import (
	"context"
	"time"

	"cutoff/server/catalogue"
)

// CatalogueTx is the part of a transaction that keeps what groups chose, what
// administrators add to the agents' catalogue, and what each device was sent.
type CatalogueTx interface {
	// Choices are a group's; the zero ones if it made none.
	Choices(ctx context.Context, group string) (catalogue.Choices, error)
	PutChoices(ctx context.Context, group string, c catalogue.Choices, by string, now time.Time) error
	// CatalogueVersion is the highest number given to choices or a change.
	CatalogueVersion(ctx context.Context) (int64, error)

	InsertChange(ctx context.Context, c catalogue.Change) error
	// SetChange replaces a change's state, version, steps and count; a Conflict
	// if it is not from any more.
	SetChange(ctx context.Context, from catalogue.State, c catalogue.Change) error
	Change(ctx context.Context, id string) (catalogue.Change, error)
	// Changes are all, newest first.
	Changes(ctx context.Context) ([]catalogue.Change, error)

	CatalogueOf(ctx context.Context, deviceID string) (SentCatalogue, error)
	// PutSentCatalogue is a Conflict unless the number is higher than the last.
	PutSentCatalogue(ctx context.Context, s SentCatalogue, now time.Time) error
	SetCatalogueTaken(ctx context.Context, deviceID string, number uint64) error
	SetCataloguePlanned(ctx context.Context, deviceID string, version int64, now time.Time) error
	// CataloguePlans counts the live devices of a group, and those of them whose
	// last inventory was made with at least version.
	CataloguePlans(ctx context.Context, group string, version int64) (devices, planned int, err error)
	// FoundOfProduct counts, by device, what a group's inventories hold of one.
	FoundOfProduct(ctx context.Context, group, product string) (map[string]int, error)
}

// SentCatalogue is what a device was sent last.
type SentCatalogue struct {
	DeviceID string
	Group    string
	Number   uint64
	Content  string
	Version  int64
	// Taken is the number of the one it said it keeps; Planned the version of the
	// one its last inventory was made with.
	Taken     uint64
	Planned   int64
	PlannedAt time.Time
	// Newest is the highest version of the server.
	Newest int64
}
