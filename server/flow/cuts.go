package flow

import (
	"context"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/revoke"
)

// Planner is what flow asks of the configured connectors. It must not wait: no
// network, no lock held over one; it is asked inside a transaction.
type Planner interface {
	// Names lists the configured connectors.
	Names() []string
	// Plan says what the connector would revoke for the subject.
	Plan(ctx context.Context, connector string, subject revoke.Subject) ([]revoke.Spec, error)
	// UndoSpecs says what undoes the step, from its Params and Memo.
	UndoSpecs(step revoke.Step) []revoke.Spec
}

// Waker is the step queue. What it does is a hint: the truth is in rows.
type Waker interface {
	// Steps makes it look for due steps now. It must not wait.
	Steps()
}

// DevicePlanner asks connected devices what a cut would remove now.
type DevicePlanner interface {
	// PlanDevice is Unavailable if the device has no stream, or answers too late.
	PlanDevice(ctx context.Context, deviceID string) ([]*cutoffv1.Item, error)
}

// ProposalPlanner is a DevicePlanner that also asks what a cut would remove with
// a proposed catalogue.
type ProposalPlanner interface {
	PlanProposal(ctx context.Context, deviceID string, proposal []byte) ([]*cutoffv1.Item, error)
}

// StepGroup is what one job works on: the due steps of one cut at one connector.
type StepGroup struct {
	CutID     string
	Connector string
}

// OpenRequest asks for a cut of one device, one person or one credential.
type OpenRequest struct {
	// Device is an id or a unique hostname, Person an id or an e-mail address,
	// Credential an id. Exactly one is set.
	Device     string
	Person     string
	Credential string
	Level      cut.Level
	Cause      cut.Cause
	Reason     string
	Actor      Actor
	// Durable, if set, is told when the commit that holds what was asked
	// returned, before anything is done about it.
	Durable func(at time.Time)

	// devices stands for Device where silence makes one decision about several.
	devices []device.Device
	// hold, if set, is why a person has to decide, whatever the brake says.
	hold string
}

// Preview is the dry run of a cut.
type Preview struct {
	Devices []PreviewDevice
	// Steps have no id and no state: nothing was opened.
	Steps []revoke.Step
	// Held says why the cut would be held, or is empty.
	Held string
}

// PreviewDevice is what one device would remove.
type PreviewDevice struct {
	DeviceID string
	Hostname string
	// Live is set when the device answered now; else Items are its inventory
	// of AsOf, and Problem says why.
	Live    bool
	AsOf    time.Time
	Items   []cut.Item
	Problem string
}
