package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/order"
)

const deviceColumns = `d.id, d.group_name, d.hostname, d.os, d.arch, d.state, d.anchor, d.public_key,
	d.agent_version, d.trial_root, d.person_id, d.cut_id, d.reserved_cut, d.escrow_id, d.recipient,
	d.current_serial, d.next_serial, d.order_number, d.lease_number, d.facts, d.enrolled_at, d.enrolled_with,
	d.last_contact, d.lease_until, d.inventory_at, d.retired_at, d.extended_until, d.lease_codes, ` + silenceColumns

// scanDevice reads deviceColumns, and more columns after them into more.
func scanDevice(row interface{ Scan(...any) error }, more ...any) (device.Device, error) {
	var d device.Device
	var facts string
	var personID sql.NullString
	var enrolled, contact, lease, inventory, retired, extended sql.NullInt64
	var silence silenceRow
	err := row.Scan(append([]any{
		&d.ID, &d.Group, &d.Hostname, &d.OS, &d.Arch, &d.State, &d.Anchor, &d.PublicKey,
		&d.AgentVersion, &d.TrialRoot, &personID, &d.CutID, &d.ReservedCut, &d.Escrow, &d.Recipient,
		&d.CurrentSerial, &d.NextSerial, &d.OrderNumber, &d.LeaseNumber, &facts, &enrolled, &d.EnrolledWith,
		&contact, &lease, &inventory, &retired, &extended, &d.LeaseCodes,
	}, append(silence.targets(), more...)...)...)
	if err != nil {
		return device.Device{}, err
	}
	d.PersonID = personID.String
	d.EnrolledAt, d.LastContact, d.LeaseUntil = timeOf(enrolled), timeOf(contact), timeOf(lease)
	d.InventoryAt, d.RetiredAt, d.ExtendedUntil = timeOf(inventory), timeOf(retired), timeOf(extended)
	d.Silence, d.Said = silence.silence(), silence.said()
	if facts == "[]" {
		return d, nil
	}
	if err := json.Unmarshal([]byte(facts), &d.Facts); err != nil {
		return device.Device{}, fmt.Errorf("facts of %s: %w", d.ID, err)
	}
	return d, nil
}

// InsertDevice adds an enrolment.
func (t *Tx) InsertDevice(ctx context.Context, d device.Device) error {
	facts, err := factsText(d.Facts)
	if err != nil {
		return err
	}
	_, err = t.tx.ExecContext(ctx, `INSERT INTO devices (id, group_name, hostname, os, arch, state, anchor, public_key,
		agent_version, trial_root, person_id, cut_id, reserved_cut, escrow_id, recipient,
		current_serial, next_serial, order_number, lease_number, facts, enrolled_at, enrolled_with)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)`,
		d.ID, d.Group, d.Hostname, d.OS, d.Arch, d.State, bytesOrNull(d.Anchor), d.PublicKey,
		d.AgentVersion, d.TrialRoot, textOrNull(d.PersonID), d.CutID, d.ReservedCut, d.Escrow, d.Recipient,
		d.CurrentSerial, d.NextSerial, d.OrderNumber, d.LeaseNumber, facts, micros(d.EnrolledAt), d.EnrolledWith)
	return wrap(err)
}

// Device reads one by its id.
func (t *Tx) Device(ctx context.Context, id string) (device.Device, error) {
	d, err := scanDevice(t.tx.QueryRowContext(ctx, `SELECT `+deviceColumns+` FROM devices d WHERE d.id = $1`, id))
	return d, found(err, "device")
}

// DeviceByKey finds the enrolment of a device key.
func (t *Tx) DeviceByKey(ctx context.Context, publicKey []byte) (device.Device, error) {
	d, err := scanDevice(t.tx.QueryRowContext(ctx,
		`SELECT `+deviceColumns+` FROM devices d WHERE d.public_key = $1`, publicKey))
	return d, found(err, "device")
}

// DevicesByHostname are all enrolments under a hostname.
func (t *Tx) DevicesByHostname(ctx context.Context, hostname string) ([]device.Device, error) {
	return t.devices(ctx, `WHERE d.hostname = $1 ORDER BY d.enrolled_at, d.id`, hostname)
}

// DevicesByAnchor are the enrolments of one machine that have a cut or are purged.
func (t *Tx) DevicesByAnchor(ctx context.Context, anchor []byte) ([]device.Device, error) {
	return t.devices(ctx, `WHERE d.anchor = $1 AND (d.cut_id <> '' OR d.state = 'purged')
		ORDER BY d.enrolled_at, d.id`, anchor)
}

// DevicesOfPerson are those assigned to a person and not retired.
func (t *Tx) DevicesOfPerson(ctx context.Context, personID string) ([]device.Device, error) {
	return t.devices(ctx, `WHERE d.person_id = $1 AND d.state <> 'retired' ORDER BY d.hostname, d.id`, personID)
}

// AssignedDevices are the ids of assigned devices that are not retired, by person.
func (t *Tx) AssignedDevices(ctx context.Context) (map[string][]string, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT person_id, id FROM devices
		WHERE person_id IS NOT NULL AND state <> 'retired' ORDER BY person_id, hostname, id`)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string][]string{}
	for rows.Next() {
		var personID, id string
		if err := rows.Scan(&personID, &id); err != nil {
			return nil, wrap(err)
		}
		all[personID] = append(all[personID], id)
	}
	return all, wrap(rows.Err())
}

// Devices are all of a group, or of all groups.
func (t *Tx) Devices(ctx context.Context, group string) ([]device.Device, error) {
	if group == "" {
		return t.devices(ctx, `ORDER BY d.hostname, d.id`)
	}
	return t.devices(ctx, `WHERE d.group_name = $1 ORDER BY d.hostname, d.id`, group)
}

func (t *Tx) devices(ctx context.Context, rest string, args ...any) ([]device.Device, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT `+deviceColumns+` FROM devices d `+rest, args...)
	if err != nil {
		return nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []device.Device
	for rows.Next() {
		d, err := scanDevice(rows)
		if err != nil {
			return nil, wrap(err)
		}
		all = append(all, d)
	}
	return all, wrap(rows.Err())
}

// CountDevices counts the live ones of a group, or of the fleet.
func (t *Tx) CountDevices(ctx context.Context, group string) (int, error) {
	query, args := `SELECT COUNT(*) FROM devices WHERE state NOT IN ('retired', 'purged')`, []any{}
	if group != "" {
		query, args = query+` AND group_name = $1`, append(args, group)
	}
	var n int
	err := t.tx.QueryRowContext(ctx, query, args...).Scan(&n)
	return n, wrap(err)
}

// MoveDevice changes the state from one to another.
func (t *Tx) MoveDevice(ctx context.Context, id string, from, to device.State) error {
	return t.oneDevice(ctx, `UPDATE devices SET state = $1 WHERE id = $2 AND state = $3`, to, id, from)
}

// RetireDevice moves the device to its last state.
func (t *Tx) RetireDevice(ctx context.Context, id string, from device.State, now time.Time) error {
	return t.oneDevice(ctx, `UPDATE devices SET state = 'retired', retired_at = $1 WHERE id = $2 AND state = $3`,
		micros(now), id, from)
}

// SetStandingCut sets or clears the cut that stands for a device.
func (t *Tx) SetStandingCut(ctx context.Context, id, cutID string) error {
	return t.oneDevice(ctx, `UPDATE devices SET cut_id = $1 WHERE id = $2`, cutID, id)
}

// SetReservation sets the ids of the device's next cut.
func (t *Tx) SetReservation(ctx context.Context, id, cutID, escrowID, recipient string) error {
	return t.oneDevice(ctx, `UPDATE devices SET reserved_cut = $1, escrow_id = $2, recipient = $3 WHERE id = $4`,
		cutID, escrowID, recipient, id)
}

// RaiseOrderNumber sets the highest order number.
func (t *Tx) RaiseOrderNumber(ctx context.Context, id string, number uint64) error {
	return t.oneDevice(ctx, `UPDATE devices SET order_number = $1 WHERE id = $2 AND order_number < $1`, number, id)
}

// NextOrderNumber raises the highest order number by one and answers it.
func (t *Tx) NextOrderNumber(ctx context.Context, id string) (uint64, error) {
	var number uint64
	err := t.tx.QueryRowContext(ctx, `UPDATE devices SET order_number = order_number + 1
		WHERE id = $1 AND order_number < $2 RETURNING order_number`, id, int64(math.MaxInt64)).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, order.ErrExhausted
	}
	return number, wrap(err)
}

// SetCertificates sets the serials of its certificates.
func (t *Tx) SetCertificates(ctx context.Context, id, current, next string) error {
	return t.oneDevice(ctx, `UPDATE devices SET current_serial = $1, next_serial = $2 WHERE id = $3`, current, next, id)
}

// SetContact notes that the device was heard.
func (t *Tx) SetContact(ctx context.Context, id string, now time.Time) error {
	return t.oneDevice(ctx, `UPDATE devices SET last_contact = $1 WHERE id = $2`, micros(now), id)
}

// SetHello notes what a hello said: the numbers, what it shows of silence and
// the agent's version.
func (t *Tx) SetHello(ctx context.Context, d device.Device, now time.Time) error {
	s := &d.Silence
	return t.oneDevice(ctx, `UPDATE devices SET order_number = $1, lease_number = $2, agent_version = $3, last_contact = $4,
		said_lease = $5, said_order = $6, boots = $7, hello_at = $8, left_reason = $9, left_at = $10, seal_due = $11,
		silence_after = $12 WHERE id = $13`, d.OrderNumber, d.LeaseNumber, d.AgentVersion, micros(now),
		saidNumber(d.Said, d.Said.Lease), saidNumber(d.Said, d.Said.Order), strings.Join(d.Said.Boots, " "), micros(s.HelloAt),
		s.LeftReason, micros(s.LeftAt), micros(s.SealDue), micros(s.After), d.ID)
}

// SetFacts sets what was found out about the device beside its posture.
func (t *Tx) SetFacts(ctx context.Context, id string, facts []string) error {
	text, err := factsText(facts)
	if err != nil {
		return err
	}
	return t.oneDevice(ctx, `UPDATE devices SET facts = $1 WHERE id = $2`, text, id)
}

// SetAssignment sets the device's person (empty: nobody) and group.
func (t *Tx) SetAssignment(ctx context.Context, id, personID, group string) error {
	return t.oneDevice(ctx, `UPDATE devices SET person_id = $1, group_name = $2 WHERE id = $3`,
		textOrNull(personID), group, id)
}

func (t *Tx) oneDevice(ctx context.Context, query string, args ...any) error {
	res, err := t.tx.ExecContext(ctx, query, args...)
	return changed(res, err, "device")
}

func factsText(facts []string) (string, error) {
	if len(facts) == 0 {
		return "[]", nil
	}
	text, err := json.Marshal(facts)
	return string(text), err
}

// found turns "no rows" into a NotFound.
func found(err error, what string) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fault.New(fault.NotFound, "there is no such %s", what)
	}
	return wrap(err)
}

func textOrNull(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }

func bytesOrNull(b []byte) any {
	if len(b) == 0 {
		return nil
	}
	return b
}
