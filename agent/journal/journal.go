// Package journal keeps what the agent has set out to do and how far it got, so
// that a crash at any point resumes it: the intent before the act, progress
// during it, receipts until they are acknowledged, and the highest numbers it
// ever accepted. A Warrant, without which nothing is removed, comes only from
// here and only for a checked order.Verified. It must not remove anything
// itself, talk to a server or know what is inside a receipt.
package journal

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// Buckets. Each key of notes is a bucket named by a cut id, of items by id.
var (
	bucketMeta     = []byte("meta")
	bucketCases    = []byte("cases")
	bucketNotes    = []byte("notes")
	bucketReceipts = []byte("receipts")
)

// Keys of meta: 8 bytes big-endian each.
var (
	keyVersion = []byte("version")
	keyOrder   = []byte("highest_order")
	keyLease   = []byte("highest_lease")
	keyHolds   = []byte("leased") // its name from when only a lease could be held
)

// version is that of the layout; a newer one is refused.
const version = 1

// Errors of Open and Begin.
var (
	// ErrInUse: another agent has the journal open.
	ErrInUse = errors.New("journal is in use by another agent")
	// ErrNewer: a newer agent wrote it.
	ErrNewer = errors.New("journal was written by a newer agent")
	// ErrUnwritable: the system does not let this process write it. The file
	// itself may be whole.
	ErrUnwritable = errors.New("journal cannot be written: its file or folder is read-only or another's")
	// ErrUnverified: what was handed to Begin did not come from a check.
	ErrUnverified = errors.New("not a verified order")
	// ErrReplayed: the order's number was accepted before.
	ErrReplayed = errors.New("order number was accepted before")
)

// errShort: the file lacks pages it should have.
var errShort = errors.New("open journal: the file is cut short")

// lockWait is how long Open waits for another process to let go.
const lockWait = 2 * time.Second

// Journal is the agent's durable memory. Safe for use by several goroutines.
type Journal struct {
	db *bbolt.DB
}

// Open opens the journal at path or makes one, readable by its owner only.
func Open(path string) (*Journal, error) {
	db, err := openDB(path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect journal: %w", err), db.Close())
	}
	j := &Journal{db: db}
	if err := j.prepare(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return j, nil
}

// openDB opens the file. The library maps it into memory: a file that was cut
// short would end the process at some later read.
func openDB(path string) (db *bbolt.DB, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if fault := recover(); fault != nil {
			db, err = nil, errShort
		}
	}()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, ErrInUse
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return nil, fmt.Errorf("%w: %w", ErrUnwritable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	info, err := os.Stat(path)
	if err == nil {
		err = db.View(func(tx *bbolt.Tx) error {
			if tx.Size() > info.Size() {
				return errShort
			}
			return nil
		})
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// Close closes it.
func (j *Journal) Close() error { return j.db.Close() }

func (j *Journal) prepare() error {
	return j.db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketCases, bucketNotes, bucketReceipts, bucketExtensions} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return fmt.Errorf("make journal: %w", err)
			}
		}
		meta := tx.Bucket(bucketMeta)
		if getNumber(meta, keyVersion) > version {
			return ErrNewer
		}
		return putNumber(meta, keyVersion, version)
	})
}

// Numbers are the highest order and lease numbers ever accepted.
func (j *Journal) Numbers() (order, lease uint64, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		order, lease = getNumber(meta, keyOrder), getNumber(meta, keyLease)
		return nil
	})
	return order, lease, err
}

// AcceptLease records that the lease with this number is in force.
func (j *Journal) AcceptLease(number uint64) error {
	return j.db.Update(func(tx *bbolt.Tx) error {
		meta := tx.Bucket(bucketMeta)
		if err := raise(meta, keyLease, number); err != nil {
			return err
		}
		return putNumber(meta, keyHolds, uint64(Lease))
	})
}

// Holding is what the device's trust in itself rests on.
type Holding uint64

// What it may be. A new journal holds nothing.
const (
	Nothing Holding = iota
	// Lease: one was granted, and is missed if it is gone.
	Lease
	// Grant: the standing grant of an enrolment or a lift, until the next lease.
	Grant
)

// Holds says what the device's trust rests on.
func (j *Journal) Holds() (Holding, error) {
	var holds Holding
	err := j.db.View(func(tx *bbolt.Tx) error {
		holds = Holding(getNumber(tx.Bucket(bucketMeta), keyHolds))
		return nil
	})
	return holds, err
}

// HoldGrant records that the standing grant's own deadlines run.
func (j *Journal) HoldGrant() error {
	return j.db.Update(func(tx *bbolt.Tx) error { return putNumber(tx.Bucket(bucketMeta), keyHolds, uint64(Grant)) })
}

func getNumber(b *bbolt.Bucket, key []byte) uint64 {
	raw := b.Get(key)
	if len(raw) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(raw)
}

func putNumber(b *bbolt.Bucket, key []byte, n uint64) error {
	return b.Put(key, binary.BigEndian.AppendUint64(nil, n))
}

// raise puts n unless a higher number is there.
func raise(b *bbolt.Bucket, key []byte, n uint64) error {
	if n <= getNumber(b, key) {
		return nil
	}
	return putNumber(b, key, n)
}

func putJSON(b *bbolt.Bucket, key []byte, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode journal entry: %w", err)
	}
	return b.Put(key, raw)
}

// Running reports whether an agent has the journal at path open.
func Running(path string) (bool, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: 100 * time.Millisecond, ReadOnly: true})
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at journal: %w", err)
	}
	return false, db.Close()
}
