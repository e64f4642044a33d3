package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// again is how long a lost connection is waited for: the cut goes on meanwhile,
// whatever becomes of this command.
const again = 500 * time.Millisecond

// errWaited says that the time of --timeout is over.
var errWaited = errors.New("waited long enough")

// cutOver reports whether a cut has come to its end: the receipt is stored and
// no step has a due time; or people have to decide.
func cutOver(cut *cutoffv1.Cut) bool {
	switch cut.GetState() {
	case "held", "refused", "lapsed", "lifting", "lifted":
		return true
	case "settled":
		return true
	}
	if cut.GetDeviceId() != "" && (cut.GetReceiptAt() == nil || orderDue(cut)) {
		return false
	}
	for _, s := range cut.GetSteps() {
		if s.GetDueAt() != nil {
			return false
		}
	}
	return true
}

// orderDue reports whether the device still owes an answer.
func orderDue(cut *cutoffv1.Cut) bool {
	return cut.GetOrderState() == "drafted" || cut.GetOrderState() == "delivered"
}

// liftOver reports whether every sealed item is back.
func liftOver(cut *cutoffv1.Cut) bool { return cut.GetState() != "lifting" }

// proved says what is missing until all of a cut is verified or accepted, or
// the empty string.
func proved(cut *cutoffv1.Cut) string {
	switch cut.GetState() {
	case "held":
		return "is held: " + clean(cut.GetHeldReason()) + "; another operator lets it through: cutoff-server cut approve " + cut.GetCaseId()
	case "open", "settled":
	default:
		return "is " + cut.GetState()
	}
	if !cutOver(cut) {
		return "is not done yet; it goes on: cutoff-server cut show " + cut.GetCutId()
	}
	items, steps := 0, 0
	for _, i := range cut.GetItems() {
		if !good(i.GetOutcome()) {
			items++
		}
	}
	for _, s := range cut.GetSteps() {
		if s.GetUndoOf() == "" && s.GetState() != "withdrawn" && !good(s.GetOutcome()) {
			steps++
		}
	}
	if items+steps == 0 {
		return ""
	}
	return fmt.Sprintf("is done as far as it can be: %d of %d items and %d of %d steps are not proved; exposure %s",
		items, len(cut.GetItems()), steps, len(cut.GetSteps()), cut.GetExposure())
}

func good(outcome string) bool { return outcome == "verified" || outcome == "accepted" }

// restored says what is missing until a cut is lifted, or the empty string.
func restored(cut *cutoffv1.Cut) string {
	if cut.GetState() == "lifted" {
		return ""
	}
	return "is " + cut.GetState() + "; the lift goes on: cutoff-server cut show " + cut.GetCutId()
}

// follow watches cuts until over holds for each, and answers how they are then.
// The error is errWaited when the time is over before that.
func (c *cli) follow(
	ctx context.Context, cuts []*cutoffv1.Cut, timeout time.Duration, over func(*cutoffv1.Cut) bool,
) ([]*cutoffv1.Cut, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, errWaited)
	defer cancel()
	latest := make([]*cutoffv1.Cut, len(cuts))
	errs := make([]error, len(cuts))
	progress := &progress{cli: c}
	err := c.connected(ctx, func(ctx context.Context, admin cutoffv1.AdminServiceClient) error {
		var all sync.WaitGroup
		for i, cut := range cuts {
			latest[i] = cut
			all.Go(func() { latest[i], errs[i] = c.followOne(ctx, admin, cut, over, progress) })
		}
		all.Wait()
		return nil
	})
	err = errors.Join(append(errs, err)...)
	if err != nil && errors.Is(context.Cause(ctx), errWaited) {
		return latest, errWaited
	}
	return latest, err
}

// followOne is follow for one cut. A server that goes away is waited for: the
// rows are durable, and it may only be starting again.
func (c *cli) followOne(
	ctx context.Context, admin cutoffv1.AdminServiceClient, cut *cutoffv1.Cut,
	over func(*cutoffv1.Cut) bool, progress *progress,
) (*cutoffv1.Cut, error) {
	for {
		last, err := c.watch(ctx, admin, cut, over, progress)
		cut = last
		if err == nil {
			return cut, nil
		}
		switch status.Code(err) {
		case codes.Unavailable, codes.Unknown:
		default:
			return cut, err
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return cut, ctx.Err()
		}
	}
}

func (c *cli) watch(
	ctx context.Context, admin cutoffv1.AdminServiceClient, cut *cutoffv1.Cut,
	over func(*cutoffv1.Cut) bool, progress *progress,
) (*cutoffv1.Cut, error) {
	stream, err := admin.WatchCut(ctx, &cutoffv1.WatchCutRequest{CutId: cut.GetCutId()})
	if err != nil {
		return cut, err
	}
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return cut, status.Error(codes.Unavailable, "the server ended the stream")
		}
		if err != nil {
			return cut, err
		}
		cut = resp.GetCut()
		progress.show(cut)
		if over(cut) {
			return cut, nil
		}
	}
}

// finish prints how the cuts ended and answers the exit status: done only if
// nothing is missing of any.
func (c *cli) finish(r result, err error, missing func(*cutoffv1.Cut) string) error {
	if err != nil && !errors.Is(err, errWaited) {
		return err
	}
	if show := c.show(r); show != nil {
		return show
	}
	for _, cut := range r.cuts {
		if text := missing(cut); text != "" {
			return notf("cut %s of %s %s", cut.GetCutId(), subjectOf(cut), text)
		}
	}
	return nil
}

// progress says on standard error what changed of the cuts waited for.
type progress struct {
	cli  *cli
	mu   sync.Mutex
	last map[string]string
}

func (p *progress) show(cut *cutoffv1.Cut) {
	items, steps := 0, 0
	for _, i := range cut.GetItems() {
		if good(i.GetOutcome()) {
			items++
		}
	}
	for _, s := range cut.GetSteps() {
		if s.GetDueAt() == nil {
			steps++
		}
	}
	line := fmt.Sprintf("%s: %s, order %s, %d/%d items proved, %d/%d steps closed, exposure %s",
		subjectOf(cut), cut.GetState(), dash(cut.GetOrderState()), items, len(cut.GetItems()),
		steps, len(cut.GetSteps()), cut.GetExposure())
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[string]string{}
	}
	if p.last[cut.GetCutId()] == line {
		return
	}
	p.last[cut.GetCutId()] = line
	p.cli.note("%s", line)
}
