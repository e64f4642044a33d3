package flow

import (
	"context"
	"time"

	"cutoff/server/device"
)

// GroupView is a group and how many live devices it has.
type GroupView struct {
	device.Group
	Devices int
}

// GroupChange is what SetGroup changes; nil stays.
type GroupChange struct {
	Warn, Seal, Purge, Renew, Report *time.Duration
	AtExpiry                         *string
	Approvals                        *int
}

// Groups are all groups, by name.
func (f *Flow) Groups(ctx context.Context, actor Actor) ([]GroupView, error) {
	return nil, errUnbuilt
}

// SetGroup creates or changes a group.
func (f *Flow) SetGroup(ctx context.Context, actor Actor, name string, change GroupChange) (GroupView, error) {
	return GroupView{}, errUnbuilt
}
