package console_test

import (
	"bufio"
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// listener reads a cut's event stream.
type listener struct {
	t      *testing.T
	events chan [2]string
	hangUp context.CancelFunc
}

// listen opens the stream that the cut's page points to.
func (v *visitor) listen(page string) *listener {
	v.t.Helper()
	found := regexp.MustCompile(`sse-connect="([^"]+)"`).FindStringSubmatch(v.get(page).body)
	if found == nil {
		v.t.Fatal("the page has no stream")
	}
	return v.open(strings.ReplaceAll(found[1], "&amp;", "&"))
}

func (v *visitor) open(path string) *listener {
	v.t.Helper()
	ctx, cancel := context.WithCancel(v.t.Context())
	v.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, v.base+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	response, err := v.http.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { _ = response.Body.Close() })
	if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || kind != "text/event-stream" {
		v.t.Fatalf("stream: %d %s", response.StatusCode, kind)
	}
	l := &listener{t: v.t, events: make(chan [2]string, 100), hangUp: cancel}
	go func() {
		defer close(l.events)
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 4<<20)
		name, data := "", ""
		for lines.Scan() {
			switch line := lines.Text(); {
			case strings.HasPrefix(line, "event: "):
				name = line[len("event: "):]
			case strings.HasPrefix(line, "data: "):
				data += line[len("data: "):] + "\n"
			case line == "" && name != "":
				l.events <- [2]string{name, data}
				name, data = "", ""
			}
		}
	}()
	return l
}

// next waits for an event of a name and returns its data; those before it are
// named in skipped.
func (l *listener) next(name string) (data string, skipped []string) {
	l.t.Helper()
	deadline := time.After(15 * time.Second)
	for {
		select {
		case event, ok := <-l.events:
			if !ok {
				l.t.Fatalf("the stream ended before %q, after %q", name, skipped)
			}
			if event[0] == name {
				return event[1], skipped
			}
			skipped = append(skipped, event[0])
		case <-deadline:
			l.t.Fatalf("no event %q, only %q", name, skipped)
		}
	}
}

func TestAStreamSendsOnlyThePartsThatChanged(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("viewer-vic")
	l := v.listen("/cuts/cut_held")
	s.change("cut_held", func(k *cutoffv1.Cut) { k.Steps = sampleSteps(s.now, false) })
	data, before := l.next("inclouds")
	if len(before) != 0 {
		t.Errorf("sent besides: %q", before)
	}
	if !strings.Contains(data, "revoke refresh tokens") {
		t.Errorf("the part: %s", data)
	}
}

func TestAChangeBetweenPageAndStreamIsNotLost(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("viewer-vic")
	page := regexp.MustCompile(`sse-connect="([^"]+)"`).FindStringSubmatch(v.get("/cuts/cut_held").body)
	s.change("cut_held", func(k *cutoffv1.Cut) { k.State = "refused" })
	l := v.open(page[1])
	if data, _ := l.next("verdict"); !strings.Contains(data, "Refused") {
		t.Errorf("the verdict: %s", data)
	}
}

func TestALostHintOnlyDelays(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("viewer-vic")
	l := v.listen("/cuts/cut_held")
	s.mu.Lock()
	for _, k := range s.cuts {
		if k.GetCutId() == "cut_held" {
			k.State = "refused"
		}
	}
	s.mu.Unlock()
	if data, _ := l.next("verdict"); !strings.Contains(data, "Refused") {
		t.Errorf("the verdict: %s", data)
	}
}

func TestAStreamEndsWithItsSession(t *testing.T) {
	s := newSite(t)
	l := s.visitor().signIn("viewer-vic").listen("/cuts/cut_open")
	s.signOutAll()
	s.change("cut_open", func(k *cutoffv1.Cut) { k.Reason = "secret by now" })
	if _, before := l.next("ended"); len(before) != 0 {
		t.Errorf("sent after the session had ended: %q", before)
	}
	if _, open := <-l.events; open {
		t.Error("the stream goes on")
	}
}

func TestStreamsAreLetGo(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("viewer-vic")
	gone := func(what string) {
		t.Helper()
		deadline := time.Now().Add(10 * time.Second)
		for s.watched("cut_open") != 0 {
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d watches are still held", what, s.watched("cut_open"))
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	l := v.listen("/cuts/cut_open")
	l.hangUp()
	gone("the reader went")
	last := v.listen("/cuts/cut_open")
	s.console.Close()
	for range last.events {
		continue
	}
	gone("the console closed")
}

func TestASessionHoldsAFewStreamsOnly(t *testing.T) {
	s := newSite(t)
	v := s.visitor().signIn("viewer-vic")
	for range 24 {
		v.open("/cuts/cut_open/events")
	}
	wantStatus(t, "one more", v.get("/cuts/cut_open/events"), http.StatusTooManyRequests)
	other := s.visitor().signIn("operator-olu")
	other.open("/cuts/cut_open/events")
}
