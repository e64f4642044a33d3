package flow

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/protobuf/proto"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/extension"
	"cutoff/server/device"
	"cutoff/server/fault"
	"cutoff/server/lease"
)

// codesEach is how many codes of each length a lease carries.
const codesEach = 2

// Making a device's codes costs some 40 ms, once: a fleet that enrols at once
// gets them over an hour or two, so that its leases never wait for that.
const (
	codesBurst = 32
	codesRate  = rate.Limit(2)
)

func newCodesLimit() *rate.Limiter { return rate.NewLimiter(codesRate, codesBurst) }

// codesOf are the hashes that the device's leases carry; nil if it has none.
func codesOf(d *device.Device) *cutoffv1.LeaseCodes {
	codes := &cutoffv1.LeaseCodes{}
	if len(d.LeaseCodes) == 0 || proto.Unmarshal(d.LeaseCodes, codes) != nil || len(codes.GetSalt()) != extension.SaltSize {
		return nil
	}
	return codes
}

// missing says how many codes of each length codes lacks.
func missing(codes *cutoffv1.LeaseCodes) map[time.Duration]int {
	lacks := map[time.Duration]int{}
	for _, add := range lease.CodeSpans() {
		n := codesEach
		for _, c := range codes.GetCodes() {
			if c.GetAddMs() == add.Milliseconds() {
				n--
			}
		}
		if n > 0 {
			lacks[add] = n
		}
	}
	return lacks
}

// drawn is a code that is about to be kept.
type drawn struct {
	code extension.Code
	hash []byte
	add  time.Duration
}

// fillCodes draws what a device's set lacks and answers the set that its next
// lease carries. The hashes are made before the transaction, and not again until
// a code is given out. Without leave to spend the time, or on a failure, the set
// stays as it is: a lease is worth more than its codes.
func (f *Flow) fillCodes(ctx context.Context, deviceID string, codes *cutoffv1.LeaseCodes) *cutoffv1.LeaseCodes {
	lacks := missing(codes)
	if len(lacks) == 0 || !f.codes.AllowN(f.now(), 1) {
		return codes
	}
	salt := codes.GetSalt()
	if codes == nil {
		salt = make([]byte, extension.SaltSize)
		_, _ = rand.Read(salt) // never fails, see crypto/rand
	}
	var fresh []drawn
	for _, add := range lease.CodeSpans() {
		for range lacks[add] {
			one := drawn{add: add}
			_, _ = rand.Read(one.code[:])
			var err error
			if one.hash, err = one.code.Hash(salt); err != nil {
				f.log.ErrorContext(ctx, "code not hashed", "device_id", deviceID, "err", err)
				return codes
			}
			fresh = append(fresh, one)
		}
	}
	next := codes
	err := f.store.Update(ctx, func(tx Tx) (err error) {
		next, err = f.keepCodes(ctx, tx, deviceID, salt, fresh)
		return err
	})
	if err != nil {
		f.log.ErrorContext(ctx, "codes not kept", "device_id", deviceID, "err", err)
		return codes
	}
	return next
}

// keepCodes adds what the set still lacks; another stream of the device may have
// been first.
func (f *Flow) keepCodes(ctx context.Context, tx Tx, deviceID string, salt []byte, fresh []drawn) (*cutoffv1.LeaseCodes, error) {
	d, err := tx.Device(ctx, deviceID)
	if err != nil {
		return nil, err
	}
	set := codesOf(&d)
	if set == nil {
		set = &cutoffv1.LeaseCodes{Salt: salt}
	}
	if !bytes.Equal(set.GetSalt(), salt) {
		return set, nil
	}
	lacks := missing(set)
	for _, one := range fresh {
		if lacks[one.add] == 0 {
			continue
		}
		lacks[one.add]--
		sealed, err := f.dataKey.Seal(one.code[:], codeName(deviceID))
		if err != nil {
			return nil, fmt.Errorf("seal code: %w", err)
		}
		err = tx.InsertLeaseCode(ctx, lease.SealedCode{DeviceID: deviceID, Hash: one.hash, Add: one.add, Sealed: sealed})
		if err != nil {
			return nil, err
		}
		set.Codes = append(set.Codes, &cutoffv1.LeaseCode{Hash: one.hash, AddMs: one.add.Milliseconds()})
	}
	return set, setCodes(ctx, tx, deviceID, set)
}

func setCodes(ctx context.Context, tx Tx, deviceID string, set *cutoffv1.LeaseCodes) error {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(set)
	if err != nil {
		return err
	}
	return tx.SetLeaseCodes(ctx, deviceID, raw)
}

func codeName(deviceID string) string { return "lease code of " + deviceID }

// takeCode gives a code out, once. Leases granted from now on do not carry it
// any more, so that it extends none but the one the device has now.
func (f *Flow) takeCode(ctx context.Context, tx Tx, d *device.Device, add time.Duration) (string, error) {
	if !slices.Contains(lease.CodeSpans(), add) {
		return "", fault.New(fault.Invalid, "a code is for 24h or 48h; for another time make a file: -o FILE")
	}
	sealed, err := tx.LeaseCode(ctx, d.ID, add)
	if fault.Is(err, fault.NotFound) {
		return "", fault.New(fault.Conflict, "the lease of %s carries no unused code for %s; make a file instead: -o FILE", d.ID, add)
	}
	if err != nil {
		return "", err
	}
	plain, err := f.dataKey.Open(sealed.Sealed, codeName(d.ID))
	if err != nil || len(plain) != extension.CodeSize {
		return "", fmt.Errorf("open code of %s: %w", d.ID, err)
	}
	defer clear(plain)
	if err := tx.DeleteLeaseCode(ctx, d.ID, sealed.Hash); err != nil {
		return "", err
	}
	set := codesOf(d)
	if set == nil {
		return "", fmt.Errorf("codes of %s cannot be read", d.ID)
	}
	set.Codes = slices.DeleteFunc(set.Codes, func(c *cutoffv1.LeaseCode) bool { return bytes.Equal(c.GetHash(), sealed.Hash) })
	return extension.Code(plain).String(), setCodes(ctx, tx, d.ID, set)
}
