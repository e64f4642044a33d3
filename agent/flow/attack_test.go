package flow_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"cutoff/agent/flow"
	"cutoff/agent/lease"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// attack is one way to keep a machine from sealing itself, or to make it seal
// for nothing. The lease warns after 1 h and seals after 2 h, unless the row
// names others.
type attack struct {
	name   string
	terms  string
	script string
	// bound is what is lost at most, as the table for people says it.
	bound string
}

const (
	atOnce   = "seals within 5 s of the deadline"
	atBoot   = "seals at boot, before log-in"
	atStart  = "seals when the agent starts"
	noGain   = "no gain"
	serverIs = "not seen here; the server cuts at its own deadline"
	early    = "seals too early; contact lifts it"
)

var attacks = []attack{
	{"clock set back while the lease is good", "", "boot · run 59m · wall -1000h · run 62m · sealed", atOnce},
	{"clock set back while the user is warned", "", "boot · run 90m · wall -1000h · run 31m · sealed", atOnce},
	{"clock set back after the seal", "", "boot · run 3h · sealed · wall -1000h · run 1m · sealed", noGain},
	{"clock set forward while it runs", "", "boot · wall +1000h · run 10m · intact · run 2h · sealed", "ignored"},
	{"clock set forward and back again", "", "boot · wall +1000h · run 10m · wall -1000h · run 10m · intact", "ignored"},
	{"clock set back and over a boot", "", "boot · run 1h · wall -1000h · run 5m · stop · off 30m · boot · intact · run 26m · sealed", noGain},
	{"clock set back while off, below the mark", "", "boot · run 10m · stop · off 30m wall -2h · boot · sealed", atBoot},
	{"the same where the group only wants to hear", "report", "boot · run 10m · stop · off 30m wall -2h · boot · intact · run 111m · sealed", "the time off; told at contact"},
	{"clock set back over three boots", "report", "boot · run 59m · off 1h wall -9h · boot · run 30m · off 1h wall -9h · boot · run 31m · sealed", noGain + " of time that it ran"},
	{"clock set back while off by as much as it was off", "", "boot · run 1h · stop · off 50h wall -50h · boot · intact · run 60m · sealed", serverIs},
	{"clock set forward while off", "", "boot · stop · off 1m wall +3h · boot · sealed", early},
	{"clock of the year 3000", "", "boot · stop · off 1m wall +2500000h · boot · sealed", early},
	{"clock battery dead: 1970 at boot", "", "boot · run 1m · stop · off 10m rtc · boot · sealed", early + ", or is told if the group says so"},
	{"clock battery dead where the group only wants to hear", "report", "boot · run 1m · stop · off 10m rtc · boot · intact · stop · off 10m rtc · boot · intact · run 119m · sealed", "the time off; told at contact"},
	{"asleep over the deadline", "", "boot · run 30m · run 10h · sealed", "seals at wake"},
	{"hibernated, and the hardware clock set back", "", "boot · run 1h · nothing for 100h · intact · run 61m · sealed", serverIs},
	{"switched off over the deadline", "", "boot · run 30m · stop · off 3h · boot · sealed", atBoot},
	{"power cut and off over the deadline", "", "boot · run 30m · cut · off 3h · boot · sealed", atBoot},
	{"power cut before each mark, clock set back each time", "short", strings.Repeat("boot · run 55s · cut · off 1h wall -1h · ", 15) + "boot · sealed", noGain + ": a boot costs a minute"},
	{"reboots without end in a group with a toll", "toll", strings.Repeat("boot · stop · off 1m · ", 6) + "boot · sealed", "20 minutes a boot, as the group says"},
	{"agent restarted without end", "", strings.Repeat("boot · run 13m · stop · ", 9) + "boot · run 4m · sealed", noGain},
	{"agent killed without end", "", strings.Repeat("boot · run 13m · kill · ", 9) + "boot · run 4m · sealed", noGain},
	{"agent stopped and started after the deadline", "", "boot · stop · run 3h · boot · sealed", atStart},
	{"lease removed", "", "boot · stop · lose lease · boot · sealed", atStart},
	{"lease emptied", "", "boot · stop · empty lease · boot · sealed", atStart},
	{"lease scrambled", "", "boot · stop · scramble lease · boot · sealed", atStart},
	{"lease of another device", "", "boot · stop · lease foreign · boot · sealed", atStart},
	{"longer lease signed by another key, as from before a re-enrolment", "", "boot · stop · lease forged · boot · sealed", atStart},
	{"older, longer lease put back", "", "boot · stop · lease older · boot · sealed", atStart},
	{"longer lease signed as an order", "", "boot · stop · lease retyped · boot · sealed", atStart},
	{"mark removed", "", "boot · stop · lose mark.a · lose mark.b · boot · sealed", atStart},
	{"one copy of the mark damaged", "", "boot · run 1h · stop · empty mark.a · boot · intact · run 61m · sealed", noGain},
	{"both copies of the mark damaged", "", "boot · stop · scramble mark.a · empty mark.b · boot · sealed", atStart},
	{"journal removed", "", "boot · run 1h · stop · lose journal.db · boot · intact · run 61m · sealed", noGain + "; a clone to the server"},
	{"lease and one grant removed", "", "boot · stop · lose lease · lose grant.b · boot · sealed", atStart},
	{"lease, mark and journal removed, as right after the enrolment", "", "boot · run 3m · stop · lose lease · lose mark.a · lose mark.b · lose journal.db · boot · intact · run 118m · sealed", noGain + ": the enrolment counts"},
	{"the same after the deadline", "", "boot · run 1h · stop · off 61m · lose lease · lose mark.a · lose mark.b · lose journal.db · boot · sealed", atStart},
	{"every answer with a lease held back since the enrolment", "new", "boot · run 1h · warn · run 61m · sealed", atOnce},
	{"the same, restarted and killed without end", "new", strings.Repeat("boot · run 13m · stop · boot · kill · ", 9) + "boot · run 4m · sealed", noGain},
	{"the same, switched off over the deadline", "new", "boot · run 1h · cut · off 61m · boot · sealed", atBoot},
	{"the same, clock set back while off", "new", "boot · run 1h · stop · off 1h wall -9h · boot · sealed", atBoot},
	{"the same, mark removed", "new", "boot · stop · lose mark.a · lose mark.b · boot · sealed", atStart},
	{"the same, journal removed", "new", "boot · run 1h · stop · lose journal.db · boot · intact · run 61m · sealed", noGain},
	{"the same, grants removed", "new", "boot · run 1m · stop · lose grant.a · lose grant.b · boot · tamper", serverIs + "; nothing is removed here, tamper is told"},
	{"lease and both grants removed", "", "boot · stop · lose lease · lose grant.a · lose grant.b · boot · tamper", serverIs + "; nothing is removed here, tamper is told"},
	{"state put back within a boot", "", "boot · run 5m · save · run 55m · stop · put back · boot · run 61m · sealed", noGain},
	{"disk put back, no TPM", "", "boot · run 5m · save · run 90m · cut · off 1h · put back · boot · sealed", "counts by the clock"},
	{"disk and clock put back, no TPM", "", "boot · run 5m · save · run 90m · cut · off 1h wall -150m · put back · boot · intact", serverIs},
	{"disk and clock put back, with a TPM", "tpm", "boot · run 5m · save · run 30m · cut · off 1m · boot · run 30m · cut · off 1h wall -150m · put back · boot · sealed", atBoot},
	{"disk put back to this boot's start, with a TPM", "tpm", "boot · run 5m · stop · off 1m · boot · save · run 30m · cut · off 1m wall -31m · put back · boot · intact · run 119m · sealed", "as a power cut then: no more than that boot"},
	{"TPM switched off, or the disk in another machine", "tpm", "boot · stop · off 1m · no tpm · boot · sealed", atBoot},
	{"another machine's TPM", "tpm", "boot · stop · off 1m · other tpm · boot · sealed", atBoot},
	{"another system booted meanwhile, clock set back, with a TPM", "tpm", "boot · run 5m · stop · off 5h wall -5h powered 3h · boot · sealed", "counts the power it used"},
	{"power cut while the counter was raised", "tpm", "boot · run 5m · stop · off 1m · raised · boot · intact · stop · off 1m · boot · intact", "no false alarm"},
	{"warned, and no contact", "", "boot · run 61m · warned · run 50m · warned again · run 9m · sealed · told so", "the user is told three times or more"},
}

// stage is a machine under attack.
type stage struct {
	*machine
	server *server
	flow   *flow.Flow
	end    func()
	boots  int
	saved  map[string][]byte
}

// originals are enrolled machines with a lease, by the terms rows name.
func originals(t *testing.T) map[string]*stage {
	all := map[string]*stage{}
	var mu sync.Mutex
	t.Run("enrol", func(t *testing.T) {
		for name, change := range map[string]func(*cutoffv1.Lease){
			"":       func(*cutoffv1.Lease) {},
			"report": func(l *cutoffv1.Lease) { l.OnTamper = cutoffv1.OnTamper_ON_TAMPER_REPORT },
			"short": func(l *cutoffv1.Lease) {
				l.WarnMs, l.SealMs = (10 * time.Minute).Milliseconds(), (15 * time.Minute).Milliseconds()
			},
			"toll": func(l *cutoffv1.Lease) { l.BootTollMs = (20 * time.Minute).Milliseconds() },
			"tpm":  nil,
			"new":  func(*cutoffv1.Lease) {},
		} {
			s, m := newServer(t), newMachine(t)
			if change != nil {
				s.set(func() { change(s.terms) })
			} else {
				m.tpm = lease.Witness{Counter: 40, Resets: 7, Clock: time.Hour, At: m.now.Boot}
			}
			m.enrol(s)
			if name == "new" {
				s.grpc.Stop()
			} else {
				a := m.boot()
				m.settled()
				a.stop()
				s.grpc.Stop()
			}
			st := &stage{machine: m, server: s}
			st.save()
			mu.Lock()
			all[name] = st
			mu.Unlock()
		}
	})
	return all
}

// on is a copy of the original on a machine of its own.
func (o *stage) on(t *testing.T) *stage {
	t.Helper()
	m := newMachine(t)
	m.now, m.tpm, m.enrolledAt = o.now, o.tpm, o.enrolledAt
	s := &stage{machine: m, server: o.server, saved: o.saved}
	s.putBack()
	return s
}

// save keeps what the state directory holds; a journal that is open and idle is
// whole on the disk.
func (s *stage) save() {
	s.t.Helper()
	s.saved = map[string][]byte{}
	entries, err := os.ReadDir(string(s.state))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == "reserve" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(string(s.state), e.Name()))
		if err != nil {
			s.t.Fatal(err)
		}
		s.saved[e.Name()] = raw
	}
}

func (s *stage) putBack() {
	s.t.Helper()
	if err := os.RemoveAll(string(s.state)); err != nil {
		s.t.Fatal(err)
	}
	if err := s.state.Make(); err != nil {
		s.t.Fatal(err)
	}
	for name, raw := range s.saved {
		if err := os.WriteFile(filepath.Join(string(s.state), name), raw, 0o600); err != nil {
			s.t.Fatal(err)
		}
	}
}

// start starts the agent; it has judged when this returns.
func (s *stage) start() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	_, f, u, j := s.assemble()
	go func() {
		defer close(ended)
		var wait sync.WaitGroup
		wait.Go(func() { _ = f.Run(ctx) })
		wait.Go(func() { _ = u.Run(ctx) })
		wait.Wait()
		_ = j.Close()
	}()
	s.flow, s.end = f, sync.OnceFunc(func() { cancel(); <-ended })
	s.t.Cleanup(s.end)
	s.looks()
}

// looks waits until the loop has looked at the clocks as they are now.
func (s *stage) looks() {
	s.t.Helper()
	if s.end == nil {
		return
	}
	for range 2 { // the loop looks after it answered
		if err := s.flow.Alive(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *stage) stop() {
	if s.end != nil {
		s.end()
		s.end = nil
	}
}

// kill ends the agent without a last word: what it wrote at its end is undone.
func (s *stage) kill() {
	s.t.Helper()
	if s.end == nil {
		return
	}
	before := s.saved
	s.save()
	s.stop()
	s.putBack()
	s.saved = before
}

func (s *stage) duration(text string) time.Duration {
	s.t.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// off switches the machine off for a while. What follows says what the thief
// does: "wall -2h" sets the clock, "rtc" takes its battery, "powered 3h" boots
// another system once.
func (s *stage) off(words []string) {
	s.t.Helper()
	s.kill()
	off := s.duration(words[0])
	s.boots++
	s.set(func() {
		s.now = lease.Reading{Boot: 2 * time.Second, BootID: fmt.Sprint("again-", s.boots), Wall: s.now.Wall.Add(off)}
		if s.tpm.Counter != 0 {
			s.tpm.Resets++
			s.tpm.Clock, s.tpm.At = s.tpm.Clock+2*time.Second, s.now.Boot
		}
		for i := 1; i < len(words); i++ {
			switch words[i] {
			case "wall":
				s.now.Wall = s.now.Wall.Add(s.duration(words[i+1]))
			case "rtc":
				s.now.Wall = time.Date(1970, 1, 1, 0, 0, 2, 0, time.UTC)
			case "powered":
				s.tpm.Clock += s.duration(words[i+1])
				s.tpm.Resets++
			}
		}
	})
}

// do is one line of a script.
func (s *stage) do(line string) {
	s.t.Helper()
	words := strings.Fields(line)
	file := filepath.Join(string(s.state), words[len(words)-1])
	must := func(err error) {
		s.t.Helper()
		if err != nil {
			s.t.Fatal(err)
		}
	}
	switch words[0] {
	case "boot":
		s.start()
	case "stop":
		s.stop()
	case "kill", "cut":
		s.kill()
	case "run":
		s.passes(s.duration(words[1]))
		s.set(func() {
			if s.tpm.Counter != 0 {
				s.tpm.Clock, s.tpm.At = s.tpm.Clock+s.duration(words[1]), s.now.Boot
			}
		})
		s.looks()
	case "wall":
		s.set(func() { s.now.Wall = s.now.Wall.Add(s.duration(words[1])) })
		s.looks()
	case "nothing":
		s.looks()
	case "off":
		s.off(words[1:])
	case "save":
		s.save()
	case "put":
		s.putBack()
	case "lose":
		must(os.Remove(file))
	case "empty":
		must(os.Truncate(file, 0))
	case "scramble":
		must(scramble(file))
	case "lease":
		must(s.state.KeepLease(s.longer(words[1])))
	case "no":
		s.set(func() { s.tpm = lease.Witness{} })
	case "other":
		s.set(func() { s.tpm.Counter, s.tpm.Clock = 900, 1000*time.Hour })
	case "raised":
		s.interruptedRaise()
	default:
		s.expect(line)
	}
}

// expect is a line that asks.
func (s *stage) expect(line string) {
	s.t.Helper()
	trust := func(is string) bool { return contains([]byte(s.status()), `"trust":"`+is+`"`) }
	switch line {
	case "intact":
		if !s.has("credentials") || !s.has("token") || trust("expired") {
			s.t.Fatalf("something was removed: %s", s.status())
		}
	case "sealed":
		s.eventually("the seal", func() bool { return s.has("credentials.sealed") && s.has("token.sealed") })
	case "tamper":
		s.eventually("the word", func() bool { return contains([]byte(s.status()), `"tamper":true`) })
		if !s.has("credentials") || s.runs != 0 {
			s.t.Fatal("something was removed without trust")
		}
	case "warn":
		s.eventually("the warning", func() bool { return trust("warn") })
	case "warned", "warned again", "told so":
		want := map[string]int{"warned": 1, "warned again": 2}[line]
		s.set(func() {
			last := flow.Notice{}
			if len(s.told) > 0 {
				last = s.told[len(s.told)-1]
			}
			if line == "told so" && last.Kind != flow.Sealing || line != "told so" && (last.Kind != flow.Warning || len(s.told) < want) {
				s.t.Errorf("the users were told %+v", s.told)
			}
		})
	default:
		s.t.Fatalf("no such line: %q", line)
	}
}

// longer is a lease of a year that the device must not take.
func (s *stage) longer(how string) []byte {
	year := (365 * 24 * time.Hour).Milliseconds()
	l := &cutoffv1.Lease{
		DeviceId: s.server.deviceID, Number: 9, Nonce: make([]byte, 32), WarnMs: year, SealMs: year, RenewMs: 1000,
		CutId: "cut_reserved", EscrowRecipient: s.server.escrow.Recipient().String(),
	}
	key, kind := s.server.lease, signed.TypeLease
	switch how {
	case "foreign":
		l.DeviceId = "dev_other"
	case "forged":
		key = newKey(s.t)
	case "older":
		l.Number = 0
	case "retyped":
		kind = signed.TypeOrder
	}
	return s.server.seal(kind, l, key)
}

// interruptedRaise leaves what a power cut leaves between raising the witness's
// counter and keeping the mark.
func (s *stage) interruptedRaise() {
	s.t.Helper()
	copies, _ := s.state.Marks()
	m, err := lease.Newest(copies)
	if err != nil {
		s.t.Fatal(err)
	}
	m.Raising = true
	raw, err := m.Encode()
	if err == nil {
		err = s.state.KeepMark(raw)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	_ = s.raise()
}

func TestEachAttackOnTheDeadMansSwitchHasItsBound(t *testing.T) {
	all := originals(t)
	if t.Failed() {
		return
	}
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			s := all[a.terms].on(t)
			for line := range strings.SplitSeq(a.script, " · ") {
				s.do(line)
			}
			s.stop()
		})
	}
}

var update = flag.Bool("update", false, "write the attacks into ATTACKS.md")

func TestTheAttacksAreWrittenDown(t *testing.T) {
	raw, err := os.ReadFile("ATTACKS.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(raw), "<!-- attacks -->\n")
	_, after, ended := strings.Cut(rest, "<!-- end -->")
	if !begun || !ended {
		t.Fatal("ATTACKS.md has no place for the attacks")
	}
	table := "| attack | what comes of it |\n|---|---|\n"
	for _, a := range attacks {
		table += "| " + a.name + " | " + a.bound + " |\n"
	}
	want := before + "<!-- attacks -->\n" + table + "<!-- end -->" + after
	if *update {
		if err := os.WriteFile("ATTACKS.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(raw) {
		t.Error("ATTACKS.md is stale: go test ./agent/flow -run WrittenDown -update")
	}
}
