package flow

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"cutoff/proto/signed"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
)

// EnrollInput is what an agent that wants to enrol sent.
type EnrollInput struct {
	// Secret is the 32-byte secret of its token.
	Secret []byte
	// CSR is a PKCS #10 request in DER, signed by the device key (Ed25519).
	CSR                              []byte
	Hostname, OS, Arch, AgentVersion string
	TrialRoot                        string
	// Anchor tells the same machine enrolled anew; may be empty.
	Anchor []byte
	// Source is where it comes from (an IP address): bad attempts are limited
	// by it.
	Source string
}

// EnrollResult is a new device identity.
type EnrollResult struct {
	DeviceID string
	// Chain is the certificate's chain in DER, leaf first.
	Chain [][]byte
	// Grant and Roster are envelopes.
	Grant, Roster []byte
	// Pending is set when a person has to admit the device first.
	Pending bool
}

// Limits of what a device says of itself.
const (
	maxHostname = 253
	maxWord     = 64
	maxRoot     = 4096
	maxAnchor   = 64
)

// enrollRetry is for how long a device whose answer was lost may ask again with
// the same key and token.
const enrollRetry = time.Hour

var errTooMany = fault.New(fault.Limited, "too many enrolment attempts with tokens that are not valid; try again later")

// Roster is the signed roster and the raw root key that signed it.
func (f *Flow) Roster() (envelope, rootKey []byte) {
	return f.authority.Roster(), f.authority.RootKey()
}

// Enroll trades a token's secret for a device identity. Bad attempts are
// limited by source; a good one is never delayed by them. Asking again with the
// same key and token, because the answer was lost, answers the same device.
func (f *Flow) Enroll(ctx context.Context, in EnrollInput) (EnrollResult, error) {
	result, err := f.enroll(ctx, in)
	switch {
	case err == nil:
		return result, nil
	case fault.Is(err, fault.Unauthenticated), fault.Is(err, fault.Denied):
		if f.enrolments.bad(in.Source, f.now()) {
			return EnrollResult{}, errTooMany
		}
		return EnrollResult{}, err
	default:
		return EnrollResult{}, fmt.Errorf("enrol: %w", err)
	}
}

func (f *Flow) enroll(ctx context.Context, in EnrollInput) (EnrollResult, error) {
	now := f.now()
	var token device.Token
	err := f.store.View(ctx, func(tx Tx) (err error) {
		token, err = tokenOf(ctx, tx, in.Secret)
		return err
	})
	if err != nil {
		return EnrollResult{}, err
	}
	key, err := f.authority.RequestKey(in.CSR)
	if err != nil {
		return EnrollResult{}, err
	}
	again, found, err := f.enrolledAgain(ctx, key, token, now)
	switch {
	case err != nil:
		return EnrollResult{}, err
	case found:
		return f.answerAgain(ctx, &again, in.CSR)
	}
	if err := usable(token, now); err != nil {
		return EnrollResult{}, err
	}
	if err := in.check(); err != nil {
		return EnrollResult{}, err
	}
	return f.enrollNew(ctx, in, key, now)
}

// enrolledAgain is the device that already has this key, if its answer may
// have been lost: the same token, a while ago at most, never heard of since.
func (f *Flow) enrolledAgain(
	ctx context.Context, key []byte, token device.Token, now time.Time,
) (d device.Device, found bool, err error) {
	err = f.store.View(ctx, func(tx Tx) (err error) {
		d, err = tx.DeviceByKey(ctx, key)
		return err
	})
	switch {
	case fault.Is(err, fault.NotFound):
		return device.Device{}, false, nil
	case err != nil:
		return device.Device{}, false, err
	}
	lost := d.EnrolledWith == token.ID && d.LastContact.IsZero() && d.RetiredAt.IsZero() &&
		token.RevokedAt.IsZero() && now.Sub(d.EnrolledAt) < enrollRetry
	if !lost {
		return device.Device{}, false, fault.New(fault.Conflict,
			"this device key is already enrolled; enrol with a new state directory")
	}
	return d, true, nil
}

func (f *Flow) answerAgain(ctx context.Context, d *device.Device, csr []byte) (EnrollResult, error) {
	issued, err := f.authority.Issue(IssueRequest{
		CSR: csr, DeviceID: d.ID, TrialRoot: d.TrialRoot, After: max(d.CurrentSerial, d.NextSerial), Now: f.now(),
	})
	if err != nil {
		return EnrollResult{}, err
	}
	var g device.Group
	err = f.store.Update(ctx, func(tx Tx) (err error) {
		if g, err = tx.Group(ctx, d.Group); err != nil {
			return err
		}
		// As next, not current: whichever of the two answers arrived is good.
		if err := tx.SetCertificates(ctx, d.ID, d.CurrentSerial, issued.Serial); err != nil {
			return err
		}
		return f.record(ctx, tx, certificateIssued(d.ID, issued.Serial))
	})
	if err != nil {
		return EnrollResult{}, err
	}
	return f.enrolled(d, &g, issued.Chain)
}

// enrolled answers an enrolment that is durable. Whoever gets no answer asks
// again.
func (f *Flow) enrolled(d *device.Device, g *device.Group, chain [][]byte) (EnrollResult, error) {
	grant, err := f.grant(d, g)
	if err != nil {
		return EnrollResult{}, err
	}
	return EnrollResult{
		DeviceID: d.ID, Chain: chain, Grant: grant, Roster: f.authority.Roster(), Pending: d.State == device.Pending,
	}, nil
}

func (f *Flow) enrollNew(ctx context.Context, in EnrollInput, key []byte, now time.Time) (EnrollResult, error) {
	d := device.Device{
		ID: newID("dev_"), Hostname: in.Hostname, OS: in.OS, Arch: in.Arch, AgentVersion: in.AgentVersion,
		TrialRoot: in.TrialRoot, Anchor: in.Anchor, PublicKey: key, EnrolledAt: now, State: device.Trusted,
	}
	issued, err := f.authority.Issue(IssueRequest{CSR: in.CSR, DeviceID: d.ID, TrialRoot: in.TrialRoot, Now: now})
	if err != nil {
		return EnrollResult{}, err
	}
	reserved, err := f.drawReservation()
	if err != nil {
		return EnrollResult{}, err
	}
	d.CurrentSerial = issued.Serial
	d.ReservedCut, d.Escrow, d.Recipient = reserved.CutID, reserved.EscrowID, reserved.Recipient
	var g device.Group
	err = f.store.Update(ctx, func(tx Tx) (err error) {
		g, err = f.insertEnrolment(ctx, tx, &d, reserved, in.Secret)
		return err
	})
	if err != nil {
		return EnrollResult{}, err
	}
	return f.enrolled(&d, &g, issued.Chain)
}

// insertEnrolment counts the use and adds the device, both or neither. The time
// of a lease runs from here, on the device by its standing grant and here: who
// never comes for a lease is silent too.
func (f *Flow) insertEnrolment(
	ctx context.Context, tx Tx, d *device.Device, reserved Reservation, secret []byte,
) (g device.Group, err error) {
	token, err := tokenOf(ctx, tx, secret)
	if err != nil {
		return g, err
	}
	if err := usable(token, d.EnrolledAt); err != nil {
		return g, err
	}
	if err := tx.UseToken(ctx, token.ID); err != nil {
		return g, err
	}
	d.Group, d.EnrolledWith = token.Group, token.ID
	if g, err = tx.Group(ctx, d.Group); err != nil {
		return g, err
	}
	if err := f.sameMachine(ctx, tx, d); err != nil {
		return g, err
	}
	if err := tx.InsertDevice(ctx, *d); err != nil {
		return g, err
	}
	if d.State != device.Pending {
		d.Silence = d.Silence.Granted(&g, time.Time{}, d.EnrolledAt)
		if err := tx.SetSilence(ctx, d.ID, d.Silence); err != nil {
			return g, err
		}
	}
	if err := f.keepReservation(ctx, tx, d.ID, reserved); err != nil {
		return g, err
	}
	return g, f.record(ctx, tx, evidence.Event{
		Kind: "device.enrolled", Actor: "token:" + token.ID, DeviceID: d.ID,
		Fields: []evidence.Field{
			{Name: "hostname", Value: d.Hostname}, {Name: "group", Value: d.Group}, {Name: "state", Value: string(d.State)},
			{Name: "key_id", Value: signed.KeyID(d.PublicKey)}, {Name: "serial", Value: d.CurrentSerial},
			{Name: "reserved_cut", Value: d.ReservedCut}, {Name: "trial", Value: strconv.FormatBool(d.Trial())},
		},
	})
}

// sameMachine looks at earlier enrolments of the same machine: with a cut of
// one of them not lifted, the new one waits for a person. An enrolment that was
// purged and let go is replaced by the new one.
func (f *Flow) sameMachine(ctx context.Context, tx Tx, d *device.Device) error {
	if len(d.Anchor) == 0 {
		return nil
	}
	earlier, err := tx.DevicesByAnchor(ctx, d.Anchor)
	if err != nil {
		return err
	}
	for i := range earlier {
		e := &earlier[i]
		c, found, err := f.standing(ctx, tx, e)
		switch {
		case err != nil:
			return err
		case found && c.Active():
			d.State = device.Pending
		case e.State == device.Purged:
			if err := f.retire(ctx, tx, Actor{Name: "server", Machine: true}, e); err != nil {
				return err
			}
		}
	}
	return nil
}

// check refuses what no agent of ours would say of its machine.
func (in *EnrollInput) check() error {
	for _, field := range []struct {
		name, value string
		most        int
	}{
		{"hostname", in.Hostname, maxHostname}, {"operating system", in.OS, maxWord}, {"architecture", in.Arch, maxWord},
		{"agent version", in.AgentVersion, maxWord}, {"trial root", in.TrialRoot, maxRoot},
	} {
		if len(field.value) > field.most || !plain(field.value) {
			return fault.New(fault.Invalid, "the %s must be at most %d bytes of printable text", field.name, field.most)
		}
	}
	switch {
	case in.Hostname == "":
		return fault.New(fault.Invalid, "a device needs a hostname")
	case strings.HasPrefix(in.Hostname, "dev_"):
		return fault.New(fault.Invalid, "a hostname must not look like a device id")
	case len(in.Anchor) > maxAnchor:
		return fault.New(fault.Invalid, "the anchor has more than %d bytes", maxAnchor)
	}
	return nil
}

func plain(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

func certificateIssued(deviceID, serial string) evidence.Event {
	return evidence.Event{Kind: "certificate.issued", Actor: "server", DeviceID: deviceID, Fields: []evidence.Field{
		{Name: "serial", Value: serial},
	}}
}
