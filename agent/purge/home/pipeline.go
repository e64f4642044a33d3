package home

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"filippo.io/age"
	"golang.org/x/sync/semaphore"

	"cutoff/agent/purge/wire"
)

// pipeline seals items: one after another is encrypted and sent, while the
// parent makes those before it durable. Safe for concurrent use.
type pipeline struct {
	w         *Worker
	recipient age.Recipient
	// room bounds what is sent and not answered. An item weighs its bytes, and
	// at least its part of the window.
	room    *semaphore.Weighted
	sending sync.Mutex // one item's frames after another's

	mu     sync.Mutex
	sent   []*sealing // in the order of their answers
	broken error
	ended  chan struct{}
}

// sealing is one item on its way to the parent's disk.
type sealing struct {
	weight int64
	done   chan struct{}
	err    error
}

// Errors of a sealing.
var (
	// errParent: the parent is gone or keeps nothing any more. It ends the job.
	errParent = errors.New("parent does not keep sealed items")
	errNoRoom = errors.New("no room for a sealed item")
)

// wait returns once the copy is durable, nil, or says why there is none. Only
// after nil may the item itself be touched.
func (s *sealing) wait() error {
	<-s.done
	return s.err
}

func (s *sealing) settled() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// startPipeline starts the one goroutine that reads the parent's answers; it
// ends with the pipe, and stop waits for that.
func (w *Worker) startPipeline() error {
	recipient, err := age.ParseX25519Recipient(w.job.Recipient)
	if err != nil {
		return fmt.Errorf("read recipient: %w", err)
	}
	w.pipe = &pipeline{w: w, recipient: recipient, room: semaphore.NewWeighted(wire.WindowBytes), ended: make(chan struct{})}
	go w.pipe.read()
	return nil
}

func (p *pipeline) stop() { <-p.ended }

func (p *pipeline) read() {
	defer close(p.ended)
	for {
		kind, payload, err := wire.Read(p.w.in)
		var a wire.Answer
		if err == nil && kind != wire.KindAnswer {
			err = wire.ErrFrame
		}
		if err == nil {
			err = wire.Unmarshal(payload, &a)
		}
		if err == nil && a.Failed {
			err = errParent
		}
		if err != nil || !p.answered(a) {
			p.fail(err)
			return
		}
	}
}

// answered settles the oldest item; false: none is waiting.
func (p *pipeline) answered(a wire.Answer) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.sent) == 0 {
		return false
	}
	s := p.sent[0]
	p.sent = p.sent[1:]
	if !a.Kept {
		s.err = errNoRoom
	}
	p.room.Release(s.weight)
	close(s.done)
	return true
}

// fail settles all that wait, now and later.
func (p *pipeline) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = fmt.Errorf("%w: %w", errParent, err)
	for _, s := range p.sent {
		s.err = p.broken
		p.room.Release(s.weight)
		close(s.done)
	}
	p.sent = nil
}

// seal encrypts what content writes, of about size bytes, and sends it as the
// item's copy, with m before it for the way back. It returns as soon as the
// item is under way; what content could not read is told by wait too.
func (p *pipeline) seal(i wire.Item, m meta, size int64, content func(io.Writer) error) *sealing {
	s := &sealing{weight: min(wire.WindowBytes, max(size, wire.WindowBytes/wire.Window)), done: make(chan struct{})}
	if p.room.Acquire(p.w.ctx, s.weight) != nil {
		return failed(errBudget)
	}
	p.sending.Lock()
	defer p.sending.Unlock()
	m.Version, m.ID = metaVersion, i.ID
	unread, err := p.send(i, m, content)
	if unread != nil || err != nil {
		p.room.Release(s.weight)
		if err != nil {
			return failed(fmt.Errorf("%w: %w", errParent, err))
		}
		return failed(unread)
	}
	// The parent's answer cannot come before its question.
	p.mu.Lock()
	if p.broken != nil {
		s.err = p.broken
		p.room.Release(s.weight)
		close(s.done)
	} else {
		p.sent = append(p.sent, s)
	}
	p.mu.Unlock()
	if s.settled() {
		return s
	}
	if err := p.w.send(wire.KindEnd, wire.End{Whole: true}); err != nil {
		p.fail(err)
	}
	return s
}

func failed(err error) *sealing {
	s := &sealing{done: make(chan struct{}), err: err}
	close(s.done)
	return s
}

// send sends an item but for its end. unread is what went wrong with its
// content: the copy is not whole then, and the parent told to drop it.
func (p *pipeline) send(i wire.Item, m meta, content func(io.Writer) error) (unread, err error) {
	head, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	if err := p.w.send(wire.KindSeal, i); err != nil {
		return nil, err
	}
	out := &chunks{w: p.w}
	sealed, err := age.Encrypt(out, p.recipient)
	if err != nil {
		return nil, err
	}
	plain := append(binary.BigEndian.AppendUint32(nil, uint32(len(head))), head...)
	_, err = sealed.Write(plain)
	clear(plain)
	clear(head)
	if err != nil {
		return nil, err
	}
	if unread = content(sealed); unread != nil {
		return unread, p.w.send(wire.KindEnd, wire.End{})
	}
	return nil, firstOf(sealed.Close(), out.flush())
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// chunks turns a stream into frames.
type chunks struct {
	w   *Worker
	buf []byte
}

func (c *chunks) Write(p []byte) (int, error) {
	c.buf = append(c.buf, p...)
	if len(c.buf) >= chunk {
		return len(p), c.flush()
	}
	return len(p), nil
}

func (c *chunks) flush() error {
	for len(c.buf) > 0 {
		n := min(len(c.buf), chunk)
		c.w.mu.Lock()
		err := wire.Write(c.w.out, wire.KindChunk, c.buf[:n])
		c.w.mu.Unlock()
		if err != nil {
			return err
		}
		c.buf = c.buf[n:]
	}
	c.buf = nil
	return nil
}
