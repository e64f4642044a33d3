package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

const (
	// Streams are held open, so each session and the whole console have a bound.
	streamsASession = 24
	streamsInAll    = 2000
	// quietest is how long a stream may go without looking by itself: a hint
	// may be lost, the rows may not. It is also when the session is asked again.
	quietest = 5 * time.Second
	// gap keeps a burst of changes from being rendered one by one.
	gap = 120 * time.Millisecond
	// stall is how long one write may take before the stream is given up.
	stall = 10 * time.Second
)

// liveParts are the templates of a cut's page that are sent again when they
// change, each as an event of its name.
var liveParts = [...]string{"verdict", "facts", "timeline", "ondevice", "inclouds", "actions"}

// streams counts open event streams and ends them all at once.
type streams struct {
	done chan struct{}
	once sync.Once

	mu  sync.Mutex
	by  map[string]int
	all int
}

func newStreams() *streams {
	return &streams{by: map[string]int{}, done: make(chan struct{})}
}

func (s *streams) close() { s.once.Do(func() { close(s.done) }) }

// enter takes a place; leave gives it back.
func (s *streams) enter(token string) (leave func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.by[token] >= streamsASession || s.all >= streamsInAll {
		return nil, false
	}
	s.by[token]++
	s.all++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.by[token]--; s.by[token] == 0 {
			delete(s.by, token)
		}
		s.all--
	}, true
}

// digestOf tells whether a cut changed since a page showed it.
func digestOf(k *cutoffv1.Cut) string {
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(k)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:8])
}

// events is the stream behind a cut's page: it sends each part of the page when
// it changes, until the reader goes or is signed out.
func (c *Console) events(w http.ResponseWriter, r *http.Request) {
	token, actor, err := c.session(r.Context(), r)
	if err == nil && !c.May(actor.Role, "GetCut") {
		err = fault.New(fault.Denied, "Your role may not read cuts.")
	}
	if err != nil {
		http.Error(w, sentence(err), status(err))
		return
	}
	leave, ok := c.streams.enter(token)
	if !ok {
		http.Error(w, "Too many live pages are open.", http.StatusTooManyRequests)
		return
	}
	defer leave()
	// Watch first and read then, so that no change falls between.
	changed, stop := c.Watch.Watch(r.PathValue("id"))
	defer stop()
	s := &stream{
		Console: c, id: r.PathValue("id"), limit: rowLimit(r.URL.Query()), token: token,
		sent: map[string][]byte{}, out: w, control: http.NewResponseController(w),
	}
	k, err := s.load(r.Context())
	if err != nil {
		http.Error(w, sentence(err), status(err))
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	_ = s.control.SetWriteDeadline(time.Time{})
	w.WriteHeader(http.StatusOK)
	s.remember(k, r.URL.Query().Get("seen"))
	if err := s.begin(); err != nil {
		return
	}
	if err := s.run(r.Context(), changed); err != nil && r.Context().Err() == nil {
		c.Log.Debug("console stream ended", "cut_id", s.id, "err", err)
	}
}

// stream is one reader of one cut.
type stream struct {
	*Console
	id    string
	limit int
	token string
	actor flow.Actor
	// sent is what the reader has of each part.
	sent    map[string][]byte
	out     http.ResponseWriter
	control *http.ResponseController
}

// load asks again who reads, and reads the cut as that person.
func (s *stream) load(ctx context.Context) (*cutoffv1.Cut, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	actor, err := s.Auth.Session(ctx, s.token)
	if err != nil {
		return nil, err
	}
	s.actor = actor
	answer, err := s.Admin.GetCut(s.WithActor(ctx, actor), &cutoffv1.GetCutRequest{Id: s.id})
	if err != nil {
		return nil, err
	}
	k := theCut(answer, s.id)
	if k == nil {
		return nil, fault.New(fault.NotFound, "There is no such cut.")
	}
	return k, nil
}

// remember takes the parts as sent if the page already shows this very cut.
func (s *stream) remember(k *cutoffv1.Cut, seen string) {
	if seen == "" || seen != digestOf(k) {
		return
	}
	for name, body := range s.parts(k) {
		s.sent[name] = body
	}
}

func (s *stream) parts(k *cutoffv1.Cut) map[string][]byte {
	view := s.liveOf(s.actor.Role, k, s.limit)
	view.FormToken = formToken(s.token)
	parts := make(map[string][]byte, len(liveParts))
	for _, name := range liveParts {
		var body bytes.Buffer
		if err := s.render(&body, "cut", name, view); err != nil {
			s.Log.Error("console part", "part", name, "err", err)
			continue
		}
		parts[name] = body.Bytes()
	}
	return parts
}

func (s *stream) run(ctx context.Context, changed <-chan struct{}) error {
	tick := time.NewTicker(quietest)
	defer tick.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	due, resting := true, true
	for {
		if due && !resting {
			if err := s.update(ctx); err != nil {
				return err
			}
			due, resting = false, true
			pause.Reset(gap)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.streams.done:
			return nil
		case <-pause.C:
			resting = false
		case _, ok := <-changed:
			if !ok {
				changed = nil // the ticker still looks
			}
			due = true
		case <-tick.C:
			due = true
			if err := s.write(": still here\n\n"); err != nil {
				return err
			}
		}
	}
}

// update reads the cut and sends what changed of its page.
func (s *stream) update(ctx context.Context) error {
	k, err := s.load(ctx)
	if err != nil && kindOf(err) == fault.Unauthenticated {
		_ = s.event("ended", []byte("signed out"))
	}
	if err != nil {
		return err // unless told that it has ended, the browser connects again
	}
	parts := s.parts(k)
	for _, name := range liveParts {
		if body, ok := parts[name]; ok && !bytes.Equal(body, s.sent[name]) {
			if err := s.event(name, body); err != nil {
				return err
			}
			s.sent[name] = body
		}
	}
	return nil
}

func (s *stream) begin() error { return s.write("retry: 1000\n: live\n\n") }

// event sends one event; its data is the body line by line.
func (s *stream) event(name string, body []byte) error {
	var b strings.Builder
	fmt.Fprintf(&b, "event: %s\n", name)
	for line := range strings.Lines(string(body)) {
		b.WriteString("data: ")
		b.WriteString(strings.TrimRight(line, "\r\n"))
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	return s.write(b.String())
}

// write sends text now, and gives up on a reader that does not take it.
func (s *stream) write(text string) error {
	watchdog := time.AfterFunc(stall, func() { _ = s.control.SetWriteDeadline(time.Unix(1, 0)) })
	defer watchdog.Stop()
	if _, err := s.out.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
