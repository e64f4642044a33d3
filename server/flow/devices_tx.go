package flow

import (
	"context"
	"time"

	"cutoff/server/device"
	"cutoff/server/escrow"
	"cutoff/server/person"
	"cutoff/server/posture"
)

// DeviceTx is the part of a transaction that keeps devices, groups, people,
// tokens, credentials of the inventory, posture and escrows. What is not there
// is a NotFound; a conditional change that did not hold is a Conflict.
type DeviceTx interface {
	InsertDevice(ctx context.Context, d device.Device) error
	Device(ctx context.Context, id string) (device.Device, error)
	// DeviceAndGroup reads a device and its group together.
	DeviceAndGroup(ctx context.Context, id string) (device.Device, device.Group, error)
	// DeviceByKey finds the enrolment of a device key.
	DeviceByKey(ctx context.Context, publicKey []byte) (device.Device, error)
	// DevicesByHostname are all enrolments under a hostname, retired ones too.
	DevicesByHostname(ctx context.Context, hostname string) ([]device.Device, error)
	// DevicesByAnchor are the enrolments of one machine that have a cut or are
	// purged: those a new one must know of.
	DevicesByAnchor(ctx context.Context, anchor []byte) ([]device.Device, error)
	// DevicesOfPerson are those assigned, retired ones left out.
	DevicesOfPerson(ctx context.Context, personID string) ([]device.Device, error)
	// AssignedDevices are the ids of all those, by person.
	AssignedDevices(ctx context.Context) (map[string][]string, error)
	// Devices are all of a group, or of all groups if it is empty.
	Devices(ctx context.Context, group string) ([]device.Device, error)
	// CountDevices counts the live ones (not retired, not purged) of a group,
	// or of the fleet if group is empty.
	CountDevices(ctx context.Context, group string) (int, error)

	// MoveDevice changes the state; a Conflict if it is not from any more.
	MoveDevice(ctx context.Context, id string, from, to device.State) error
	// SetStandingCut sets or (empty) clears the cut that stands for a device.
	SetStandingCut(ctx context.Context, id, cutID string) error
	// SetReservation sets the ids of its next cut.
	SetReservation(ctx context.Context, id, cutID, escrowID, recipient string) error
	// RaiseOrderNumber sets the highest order number; a Conflict unless higher.
	RaiseOrderNumber(ctx context.Context, id string, number uint64) error
	// NextOrderNumber raises it by one and answers it; order.ErrExhausted if
	// there is no higher one.
	NextOrderNumber(ctx context.Context, id string) (uint64, error)
	// SetLease notes a granted lease; a Conflict unless number is the next. It
	// writes of d what it said and what its silence means.
	SetLease(ctx context.Context, d *device.Device, number uint64, until, now time.Time) error
	SetCertificates(ctx context.Context, id, current, next string) error
	SetContact(ctx context.Context, id string, now time.Time) error
	// SetHello writes of d what a hello said; the numbers are already adopted.
	SetHello(ctx context.Context, d device.Device, now time.Time) error
	SetFacts(ctx context.Context, id string, facts []string) error
	SetAssignment(ctx context.Context, id, personID, group string) error
	RetireDevice(ctx context.Context, id string, from device.State, now time.Time) error

	Group(ctx context.Context, name string) (device.Group, error)
	// Groups are all, with how many live devices each has.
	Groups(ctx context.Context) ([]device.Group, map[string]int, error)
	PutGroup(ctx context.Context, g device.Group) error

	InsertPerson(ctx context.Context, p person.Person) error
	UpdatePerson(ctx context.Context, p person.Person) error
	Person(ctx context.Context, id string) (person.Person, error)
	PersonByEmail(ctx context.Context, email string) (person.Person, error)
	People(ctx context.Context) ([]person.Person, error)

	InsertToken(ctx context.Context, t device.Token, hash []byte) error
	// TokenByHash also answers the hash as stored, to be compared.
	TokenByHash(ctx context.Context, hash []byte) (device.Token, []byte, error)
	Tokens(ctx context.Context) ([]device.Token, error)
	// UseToken counts one use; a Conflict if none is left.
	UseToken(ctx context.Context, id string) error
	RevokeToken(ctx context.Context, id string, now time.Time) error

	// InsertCredential adds one that the server holds; sealed is its token.
	InsertCredential(ctx context.Context, c device.Credential, sealed []byte) error
	Credential(ctx context.Context, id string) (device.Credential, error)
	// SealedToken is the sealed token of a held credential.
	SealedToken(ctx context.Context, id string) ([]byte, error)
	CredentialsOfDevice(ctx context.Context, deviceID string) ([]device.Credential, error)
	CredentialsOfPerson(ctx context.Context, personID string) ([]device.Credential, error)
	Credentials(ctx context.Context) ([]device.Credential, error)
	// ReplaceInventory replaces what the device itself reported.
	ReplaceInventory(ctx context.Context, deviceID string, found []device.Credential, now time.Time) error

	PutPosture(ctx context.Context, deviceID string, facts []posture.Fact, now time.Time) error
	// Posture is the last report and when it came; none before the first.
	Posture(ctx context.Context, deviceID string) ([]posture.Fact, time.Time, error)

	InsertEscrow(ctx context.Context, e escrow.Escrow) error
	Escrow(ctx context.Context, id string) (escrow.Escrow, error)
	// EscrowOfCut is the one reserved together with a cut id.
	EscrowOfCut(ctx context.Context, cutID string) (escrow.Escrow, error)
	// ShredEscrow writes the tombstone: no wrapped key any more.
	ShredEscrow(ctx context.Context, id string, now time.Time) error
	// ShreddedEscrows are the ids of all tombstones.
	ShreddedEscrows(ctx context.Context) ([]string, error)
	// ShredSteps are the ids of steps whose shredding is accepted and whose
	// residual ends at or before until, the first to end first.
	ShredSteps(ctx context.Context, until time.Time, limit int) ([]string, error)
	// ExtendShreds moves those residuals to kept after the key was deleted,
	// where that is later.
	ExtendShreds(ctx context.Context, kept time.Duration) error
}
