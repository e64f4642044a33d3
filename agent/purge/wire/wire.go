// Package wire is what the agent and its child in a user's home say to each
// other over two pipes: frames of bounded length. The only secret that ever
// goes along is one sealed item's ciphertext (and, in a lift, its file key). It
// must not act on what it carries.
package wire

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/identify"
	"cutoff/platform/files"
)

// Kind says what a frame holds.
type Kind byte

// Kinds of frames.
const (
	_ Kind = iota
	// KindJob: a Job, the parent's first frame but for a catalogue.
	KindJob
	// KindItem: one item is done, an Item.
	KindItem
	// KindSeal begins one sealed item, an Item; KindChunk frames of ciphertext
	// follow, then KindEnd with an End. The parent answers each that is Whole by a
	// KindAnswer, in the order they came; the child goes on meanwhile.
	KindSeal
	KindChunk
	KindEnd
	KindAnswer
	// KindRestore begins one item to be put back, a Restore; chunks and an end
	// follow, the child answers KindItem.
	KindRestore
	// KindDone is the last frame of either side.
	KindDone
	// KindNames: what a token's provider calls it, a NamesOf.
	KindNames
	// KindCatalogue: the catalogue of the job that follows.
	KindCatalogue
	// KindRevoked: what a provider made of a token of an item, a Revoked.
	KindRevoked
)

// MaxFrame bounds a frame's payload.
const MaxFrame = 4 << 20

// How much a child may have sent without an answer: in items, and in bytes
// unless it is a single item.
const (
	Window      = 128
	WindowBytes = 16 << 20
)

// ErrFrame says that the other side does not keep to the protocol.
var ErrFrame = errors.New("malformed frame")

// Modes of a job.
const (
	Plan    = "plan"
	Purge   = "purge"
	Seal    = "seal"
	Restore = "restore"
	// Await: nothing is touched; the child is done when a keyring is unlocked.
	Await = "await"
)

// Job is what a child is to do.
type Job struct {
	Mode string `json:"mode"`
	User string `json:"user"`
	// Home is the user's home as he sees it; Root is the trial root or empty.
	Home string `json:"home"`
	Root string `json:"root,omitempty"`
	UID  uint32 `json:"uid"`
	// System: this child, root's own, also works on the machine's own stores.
	System bool `json:"system,omitempty"`
	// Recipient is whom a seal encrypts to.
	Recipient string `json:"recipient,omitempty"`
	// DropRegainable: a seal removes outright what a sign-in regains.
	DropRegainable bool `json:"drop_regainable,omitempty"`
	// Taken are ids that have a sealed copy already.
	Taken []string `json:"taken,omitempty"`
	// Kept are those of them that a killed child did not report, with their Was:
	// what is still as it was then goes without another copy.
	Kept map[string][]uint64 `json:"kept,omitempty"`
	// Seconds and Entries are the child's budgets.
	Seconds int `json:"seconds"`
	Entries int `json:"entries"`
	// Catalogue goes in a frame of its own, which is written once for all children.
	Catalogue []catalogue.Credential `json:"-"`
	// Scope is what the device's group chose.
	Scope catalogue.Scope `json:"scope"`
	// Text: work trees are searched for secrets in text, which takes long.
	Text bool `json:"text,omitempty"`
	// Ask: a plan may ask tokens' providers for names, but for those in Known, by
	// item.
	Ask   bool             `json:"ask,omitempty"`
	Known map[string]Names `json:"known,omitempty"`
}

// Outcomes as the receipt has them; empty: not treated yet (plan).
const (
	Verified    = "verified"
	Accepted    = "accepted"
	Unsupported = "unsupported"
	Retrying    = "retrying"
	Blocked     = "blocked"
)

// Item is one credential as the child reports it.
type Item struct {
	ID      string `json:"id"`
	Product string `json:"product"`
	// Path is the place as the user sees it.
	Path string `json:"path"`
	// Base and Name are the place for the parent: a name below the home, or
	// below the root.
	Base        string                `json:"base,omitempty"`
	Name        string                `json:"name,omitempty"`
	Action      string                `json:"action"`
	Outcome     string                `json:"outcome,omitempty"`
	Detail      string                `json:"detail,omitempty"`
	Regain      string                `json:"regain,omitempty"`
	Confidence  string                `json:"confidence,omitempty"`
	Identifiers []identify.Identifier `json:"identifiers,omitempty"`
	// Until is Unix seconds; 0 with Unbounded false: nothing lives on.
	Until     int64 `json:"until,omitempty"`
	Unbounded bool  `json:"unbounded,omitempty"`
	Sealed    bool  `json:"sealed,omitempty"`
	// Gone: the parent is to see that Name is absent. Digest: that its content
	// is what is left.
	Gone   bool   `json:"gone,omitempty"`
	Digest []byte `json:"digest,omitempty"`
	// Beside are names that are to be absent too.
	Beside []string `json:"beside,omitempty"`
	// Removed: something was taken away.
	Removed bool `json:"removed,omitempty"`
	// Was are the prints of the files that a sealed copy holds.
	Was []uint64 `json:"was,omitempty"`
}

// Print tells a file of the item at name, and a state of it, from others, by
// what the file system says of it: nothing of its content is in it.
func Print(name string, i files.Info) uint64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s\x00%d\x00%d", name, i.Kind, i.Inode)
	if i.Kind != files.Directory {
		fmt.Fprintf(h, "\x00%d\x00%d", i.Size, i.ModTime.UnixNano())
	}
	return h.Sum64()
}

// Bases of Item.Name.
const (
	InHome = "home"
	InRoot = "root"
)

// End ends one sealed item. A copy that is not Whole is dropped.
type End struct {
	Whole bool `json:"whole,omitempty"`
}

// Answer is the parent's word on one sealed item.
type Answer struct {
	// Kept: the ciphertext is durable. Else there is no room for it, or, if
	// Failed, nothing can be kept any more: the child is to end.
	Kept   bool `json:"kept,omitempty"`
	Failed bool `json:"failed,omitempty"`
}

// RestoreItem is one item to be put back.
type RestoreItem struct {
	ID  string `json:"id"`
	Key []byte `json:"key"`
}

// Names are what a token's provider calls it, by kind of identifier; Stamp
// changes with the file.
type Names struct {
	Stamp string            `json:"stamp"`
	Names map[string]string `json:"names,omitempty"`
}

// NamesOf are the names of one item.
type NamesOf struct {
	ID string `json:"id"`
	Names
}

// Revoked says what a token's own provider made of the wish to end it.
type Revoked struct {
	ID   string `json:"id"`
	Host string `json:"host"`
	Word string `json:"word"`
}

// Done is a child's last word.
type Done struct {
	// Exhausted: a budget ran out before everything was looked at.
	Exhausted bool `json:"exhausted,omitempty"`
	// Listed are the beginnings of paths of things in memory below which all was
	// reported: what is not among it has gone.
	Listed []string `json:"listed,omitempty"`
}

// Write writes one frame.
func Write(w io.Writer, kind Kind, payload []byte) error {
	if len(payload) > MaxFrame {
		return fmt.Errorf("%w: %d bytes", ErrFrame, len(payload))
	}
	frame := make([]byte, 5, 5+len(payload))
	frame[0] = byte(kind)
	binary.BigEndian.PutUint32(frame[1:], uint32(len(payload)))
	_, err := w.Write(append(frame, payload...))
	return err
}

// WriteJSON writes one frame with v in it.
func WriteJSON(w io.Writer, kind Kind, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write frame: %w", err)
	}
	return Write(w, kind, payload)
}

// Encode writes a catalogue as its frame holds it.
func Encode(all []catalogue.Credential) ([]byte, error) {
	payload, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("write catalogue: %w", err)
	}
	return payload, nil
}

// WriteJob writes a job and, before it, its catalogue as Encode wrote it; nil:
// it has none.
func WriteJob(w io.Writer, job Job, entries []byte) error {
	if entries != nil {
		if err := Write(w, KindCatalogue, entries); err != nil {
			return err
		}
	}
	return WriteJSON(w, KindJob, job)
}

// ReadJob reads what WriteJob wrote.
func ReadJob(r io.Reader) (Job, error) {
	var job Job
	var entries []catalogue.Credential
	kind, payload, err := Read(r)
	if err == nil && kind == KindCatalogue {
		if err := Unmarshal(payload, &entries); err != nil {
			return job, err
		}
		kind, payload, err = Read(r)
	}
	switch {
	case err != nil:
		return job, fmt.Errorf("read job: %w", err)
	case kind != KindJob:
		return job, ErrFrame
	}
	err = Unmarshal(payload, &job)
	job.Catalogue = entries
	return job, err
}

// Read reads one frame.
func Read(r io.Reader) (Kind, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > MaxFrame {
		return 0, nil, fmt.Errorf("%w: %d bytes", ErrFrame, n)
	}
	payload := make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, err
	}
	return Kind(head[0]), payload, nil
}

// Unmarshal reads a frame's payload; the reader's own words may quote it, so
// they are not handed on.
func Unmarshal(payload []byte, v any) error {
	if json.Unmarshal(payload, v) != nil {
		return ErrFrame
	}
	return nil
}
