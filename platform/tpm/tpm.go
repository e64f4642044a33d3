// Package tpm asks the machine's TPM as a witness of time: for how long it has
// had power, how often it was reset, and a counter that this agent raises and
// nobody can turn back. It must not hold keys, and it must not judge what the
// witness says.
package tpm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
)

// index is where the counter is, among those that the machine's owner defines.
const index = tpm2.TPMHandle(0x0180C07F)

// Sight is what the TPM says.
type Sight struct {
	// Powered is how long it has had power in its life. A loss of power without
	// warning may turn it back a little.
	Powered time.Duration
	// Resets counts boots, whatever was booted.
	Resets uint32
	// Counter is this agent's; never 0.
	Counter uint64
}

// ErrOther says that something else is where the counter should be.
var ErrOther = errors.New("something else is in the counter's place")

// TPM is an open one. It is for one goroutine at a time, and it may hang: the
// machine's firmware answers.
type TPM struct {
	device  transport.TPM
	closer  io.Closer
	counter tpm2.NamedHandle
}

// Open opens the machine's TPM 2.0, and makes the counter unless it is there.
// Below a trial root it is the simulator that listens at root/run/tpm.sock.
// Without one the error is fs.ErrNotExist or errors.ErrUnsupported.
func Open(root string) (*TPM, error) {
	device, closer, err := open(root)
	if err != nil {
		return nil, fmt.Errorf("open TPM: %w", err)
	}
	t := &TPM{device: device, closer: closer}
	if err := t.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("open TPM: %w", err), t.Close())
	}
	return t, nil
}

// Close lets others have it.
func (t *TPM) Close() error { return t.closer.Close() }

// prepare finds the counter or makes it. One that somebody made anew begins
// above all that ever were: the TPM sees to that.
func (t *TPM) prepare() error {
	found, err := t.find()
	if errors.Is(err, tpm2.TPMRCHandle) {
		if err = t.define(); err == nil {
			found, err = t.find()
		}
	}
	if err != nil {
		return err
	}
	t.counter = found
	if _, err := t.count(); errors.Is(err, tpm2.TPMRCNVUninitialized) {
		return t.Raise() // it has no value before
	} else if err != nil {
		return err
	}
	return nil
}

func (t *TPM) find() (tpm2.NamedHandle, error) {
	answer, err := tpm2.NVReadPublic{NVIndex: index}.Execute(t.device)
	if err != nil {
		return tpm2.NamedHandle{}, fmt.Errorf("find counter: %w", err)
	}
	public, err := answer.NVPublic.Contents()
	if err != nil {
		return tpm2.NamedHandle{}, fmt.Errorf("find counter: %w", err)
	}
	// An index of another kind can be written with what one likes.
	if public.Attributes.NT != tpm2.TPMNTCounter || public.DataSize != 8 {
		return tpm2.NamedHandle{}, ErrOther
	}
	return tpm2.NamedHandle{Handle: index, Name: answer.NVName}, nil
}

func (t *TPM) define() error {
	_, err := tpm2.NVDefineSpace{
		AuthHandle: tpm2.TPMRHOwner,
		PublicInfo: tpm2.New2B(tpm2.TPMSNVPublic{
			NVIndex: index, NameAlg: tpm2.TPMAlgSHA256, DataSize: 8,
			Attributes: tpm2.TPMANV{AuthWrite: true, AuthRead: true, OwnerRead: true, NoDA: true, NT: tpm2.TPMNTCounter},
		}),
	}.Execute(t.device)
	if err != nil {
		return fmt.Errorf("define counter: %w", err)
	}
	return nil
}

func (t *TPM) auth() tpm2.AuthHandle {
	return tpm2.AuthHandle{Handle: t.counter.Handle, Name: t.counter.Name, Auth: tpm2.PasswordAuth(nil)}
}

func (t *TPM) count() (uint64, error) {
	answer, err := tpm2.NVRead{AuthHandle: t.auth(), NVIndex: t.counter, Size: 8}.Execute(t.device)
	if err != nil {
		return 0, fmt.Errorf("read counter: %w", err)
	}
	if len(answer.Data.Buffer) != 8 {
		return 0, ErrOther
	}
	return binary.BigEndian.Uint64(answer.Data.Buffer), nil
}

// Raise raises the counter by one.
func (t *TPM) Raise() error {
	if _, err := (tpm2.NVIncrement{AuthHandle: t.auth(), NVIndex: t.counter}).Execute(t.device); err != nil {
		return fmt.Errorf("raise counter: %w", err)
	}
	return nil
}

// Look asks it.
func (t *TPM) Look() (Sight, error) {
	count, err := t.count()
	if err != nil {
		return Sight{}, err
	}
	answer, err := tpm2.ReadClock{}.Execute(t.device)
	if err != nil {
		return Sight{}, fmt.Errorf("read the TPM's clock: %w", err)
	}
	info := answer.CurrentTime.ClockInfo
	// The clock is NV-saved milliseconds; a value beyond a century is no clock.
	const century = uint64(100 * 365 * 24 * time.Hour / time.Millisecond)
	return Sight{
		Powered: time.Duration(min(info.Clock, century)) * time.Millisecond, Resets: info.ResetCount, Counter: max(count, 1),
	}, nil
}
