package purge

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/home"
	"cutoff/agent/purge/wire"
	"cutoff/platform/files"
	"cutoff/platform/users"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// talk is the parent's side of one child. The child runs as a user who may be
// hostile: nothing it says is believed that can be looked up.
type talk struct {
	errand *errand
	user   users.User
	home   *files.Dir
	items  int

	mu      sync.Mutex
	kept    map[string]bool // ids whose copy is durable, and not reported yet
	failed  error           // of the store
	waiting sync.WaitGroup  // for copies to be durable
	sending atomic.Int32    // how many
	// guarded are names below the home that only a flag kept from going.
	guarded []string
	// searched: this child was asked to search work trees for secrets in text.
	searched bool
}

var idPattern = regexp.MustCompile(`^itm_[0-9a-f]{20}$`)

// run sends the job and takes answers until the child is done.
func (t *talk) run(in io.WriteCloser, out io.Reader) error {
	defer t.waiting.Wait()
	job := t.errand.job(t.user)
	t.searched = job.Text
	entries, err := t.errand.encoded()
	if err == nil {
		err = wire.WriteJob(in, job, entries)
	}
	if err != nil {
		return fmt.Errorf("send job: %w", err)
	}
	var open *incoming
	defer func() {
		if open != nil {
			open.discard() // half said
		}
	}()
	for {
		kind, payload, err := wire.Read(out)
		if err != nil {
			t.waiting.Wait()
			return errors.Join(t.failed, fmt.Errorf("child went silent: %w", err))
		}
		switch kind {
		case wire.KindItem:
			err = t.item(payload)
		case wire.KindSeal, wire.KindChunk, wire.KindEnd:
			open, err = t.sealing(in, open, kind, payload)
		case wire.KindNames:
			err = t.names(payload)
		case wire.KindRevoked:
			err = t.revoked(payload)
		case wire.KindDone:
			return t.done(payload)
		default:
			err = wire.ErrFrame
		}
		if err != nil {
			return err
		}
	}
}

func (t *talk) done(payload []byte) error {
	var d wire.Done
	if err := wire.Unmarshal(payload, &d); err != nil {
		return err
	}
	if d.Exhausted {
		t.errand.add(t.errand.homeItem(t.user, "budget"))
		return nil
	}
	t.errand.finished(t.user.Name, d.Listed)
	t.texts()
	return nil
}

// sealing takes one frame of a sealed item, and returns the one that is open.
func (t *talk) sealing(in io.Writer, open *incoming, kind wire.Kind, payload []byte) (*incoming, error) {
	if (kind == wire.KindSeal) != (open == nil) {
		return open, wire.ErrFrame
	}
	switch kind {
	case wire.KindSeal:
		return t.begin(payload)
	case wire.KindChunk:
		open.write(payload)
		return open, nil
	}
	var e wire.End
	if err := wire.Unmarshal(payload, &e); err != nil {
		return open, err
	}
	if !e.Whole {
		open.discard()
		return nil, nil
	}
	open.answer = func(err error) { t.answer(in, open.item.GetId(), err) }
	t.waiting.Add(1)
	t.sending.Add(1)
	if !t.errand.store.enqueue(open) {
		t.answer(in, open.item.GetId(), errStore)
		return open, errStore
	}
	return nil, nil
}

// begin opens the file for one sealed item.
func (t *talk) begin(payload []byte) (*incoming, error) {
	var i wire.Item
	if err := wire.Unmarshal(payload, &i); err != nil {
		return nil, err
	}
	// Within the window no answer ever waits for the child to read.
	if t.errand.mode != wire.Seal || !idPattern.MatchString(i.ID) || t.sending.Load() >= wire.Window {
		return nil, wire.ErrFrame
	}
	return t.errand.store.begin(t.user, t.proto(i), i, t.errand.flagsOf(t.user, i))
}

// answer tells the child how the keeping of an item went. One that is gone by
// now does not hear it.
func (t *talk) answer(in io.Writer, id string, err error) {
	defer t.waiting.Done()
	t.mu.Lock()
	defer t.mu.Unlock()
	a := wire.Answer{Kept: err == nil}
	if a.Kept {
		t.kept[id] = true
	} else if !errors.Is(err, errNoRoom) {
		a.Failed, t.failed = true, err
	}
	t.sending.Add(-1)
	_ = wire.WriteJSON(in, wire.KindAnswer, a)
}

// item takes one item, after a look of its own.
func (t *talk) item(payload []byte) error {
	var i wire.Item
	if err := wire.Unmarshal(payload, &i); err != nil {
		return err
	}
	if t.items++; t.items > childItems || !idPattern.MatchString(i.ID) || !t.errand.belongs(i.ID, t.user.Name) {
		return wire.ErrFrame
	}
	t.verify(&i)
	item := t.proto(i)
	t.mu.Lock()
	kept := t.kept[i.ID]
	delete(t.kept, i.ID)
	t.mu.Unlock()
	if i.Sealed && !kept {
		return wire.ErrFrame
	}
	if !i.Sealed && kept {
		if err := t.errand.store.remove(i.ID); err != nil { // a copy of what stayed where it was
			return err
		}
	}
	t.errand.add(item)
	if i.Detail == "immutable" && i.Base == wire.InHome {
		t.guarded = append(t.guarded, i.Name)
	}
	return nil
}

// verify holds the child's word against the file system. It opens nothing but
// regular files, follows nothing, and crosses no mount but of this kernel's own. An agent that is not
// root may not look into what its own user has closed: parent and child are
// then one user.
func (t *talk) verify(i *wire.Item) {
	if t.errand.mode == wire.Plan {
		return
	}
	dir := t.home
	if i.Base == wire.InRoot {
		dir = t.errand.across(i.Name)
	}
	switch {
	case i.Gone:
		_, err := dir.Stat(i.Name)
		switch {
		case errors.Is(err, files.ErrNotExist):
		case errors.Is(err, files.ErrPermission) && os.Geteuid() != 0:
		case errors.Is(err, files.ErrMount):
			if i.Outcome == wire.Verified {
				i.Outcome, i.Detail = wire.Accepted, "other-filesystem"
			}
		default:
			i.Outcome, i.Detail = wire.Blocked, "re-created"
		}
	case len(i.Digest) > 0:
		sum, err := digest(dir, i.Name)
		if err == nil && !bytes.Equal(sum, i.Digest) {
			i.Outcome, i.Detail = wire.Blocked, "re-created"
		} else if errors.Is(err, files.ErrMount) {
			i.Outcome, i.Detail = wire.Accepted, "other-filesystem"
		} else if err != nil && (os.Geteuid() == 0 || !errors.Is(err, files.ErrPermission)) {
			i.Outcome, i.Detail = wire.Blocked, "re-created"
		}
	case i.Outcome == wire.Verified && i.Action != "left" && onDisk(i.Action):
		i.Outcome, i.Detail = wire.Blocked, "not-shown"
	}
	for _, name := range i.Beside[:min(len(i.Beside), maxBeside)] {
		_, err := dir.Stat(name)
		if !errors.Is(err, files.ErrNotExist) && (os.Geteuid() == 0 || !errors.Is(err, files.ErrPermission)) {
			i.Outcome, i.Detail = wire.Blocked, "re-created"
		}
	}
}

// across is the root through which a name below it is looked at: one that
// crosses mounts if it lies on a file system of this kernel's own, as /tmp and
// /run often are. Any other may hang, or lie.
func (e *errand) across(name string) *files.Dir {
	if _, err := e.root.Stat(name); !errors.Is(err, files.ErrMount) {
		return e.root
	}
	root, err := filepath.EvalSymlinks("/" + strings.TrimPrefix(e.purger.config.Root, "/"))
	if err != nil || !files.Local(filepath.Join(root, name)) {
		return e.root
	}
	return e.root.AcrossMounts()
}

// maxBeside bounds the names that a child may have looked at for one item.
const maxBeside = 8

// digest reads an edited file back, of any size that is edited.
func digest(dir *files.Dir, name string) ([]byte, error) {
	file, _, err := dir.OpenRegular(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, io.LimitReader(file, maxEdited))
	return sum.Sum(nil), err
}

// maxEdited bounds what is read back of an edited file.
const maxEdited = 64 << 20

func onDisk(action string) bool {
	return !slices.Contains([]catalogue.Action{catalogue.KeyringDelete, catalogue.AgentClear, catalogue.KernelKey}, catalogue.Action(action))
}

// proto turns a child's item into the receipt's. Texts come from names that a
// user chose: they are made valid and bounded.
func (t *talk) proto(i wire.Item) *cutoffv1.Item {
	item := &cutoffv1.Item{
		Id: i.ID, Product: text(i.Product), User: t.user.Name, Path: text(i.Path), Action: text(i.Action),
		Outcome: outcomes[i.Outcome], Detail: text(i.Detail), ResidualUnbounded: i.Unbounded, Sealed: i.Sealed,
		Regain: text(i.Regain), Confidence: text(i.Confidence),
	}
	if i.Until != 0 {
		item.ResidualUntil = timestamppb.New(time.Unix(i.Until, 0))
	}
	for n, id := range i.Identifiers {
		if n < maxIdentifiers {
			item.Identifiers = append(item.Identifiers, &cutoffv1.Identifier{Kind: text(id.Kind), Value: text(id.Value)})
		}
	}
	if i.Removed {
		t.errand.took.add(t.user.Name, i.Product)
		now := t.errand.purger.config.Boot()
		item.RemovedBootMs = now.Milliseconds()
		t.errand.removed(now)
	}
	return item
}

var outcomes = map[string]cutoffv1.Outcome{
	wire.Verified: cutoffv1.Outcome_OUTCOME_VERIFIED, wire.Accepted: cutoffv1.Outcome_OUTCOME_ACCEPTED,
	wire.Unsupported: cutoffv1.Outcome_OUTCOME_UNSUPPORTED, wire.Retrying: cutoffv1.Outcome_OUTCOME_RETRYING,
	wire.Blocked: cutoffv1.Outcome_OUTCOME_BLOCKED,
}

// maxText bounds a text of an item: a path and some.
const maxText = 4400

func text(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// homeItem says of a whole home that it could not be worked through.
func (e *errand) homeItem(u users.User, detail string) *cutoffv1.Item {
	return &cutoffv1.Item{Id: home.ID("home", u.Name, u.Home, 0), Product: "home", User: u.Name, Path: u.Home, Action: "left",
		Outcome: cutoffv1.Outcome_OUTCOME_BLOCKED, Detail: detail, ResidualUnbounded: true, Regain: string(catalogue.None), Confidence: "confirmed"}
}
