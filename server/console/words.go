package console

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// word is a state or an outcome as people read it: a word, an icon that differs
// in shape, a tone that differs in colour, and what it means.
type word struct {
	Word string
	Icon string
	Tone string
	Says string
}

// outcomeWord explains an outcome of an item or step.
func outcomeWord(outcome string) word {
	switch outcome {
	case "verified":
		return word{"verified", "proved", "good", "read back or probed dead, or seen absent"}
	case "accepted":
		return word{"accepted", "accepted", "fair", "the provider said yes; not proved"}
	case "unsupported":
		return word{"out of reach", "unreachable", "dull", "nothing here can end it; it lives until the time shown"}
	case "retrying":
		return word{"retrying", "again", "wait", "not done yet; it goes on by itself"}
	case "blocked":
		return word{"blocked", "blocked", "bad", "needs a person"}
	case "":
		return word{"waiting", "again", "wait", "nothing known yet"}
	default:
		return word{outcome, "unknown", "dull", "unknown to this console"}
	}
}

// outcomeRank puts what needs eyes first.
func outcomeRank(outcome string) int {
	switch outcome {
	case "blocked":
		return 0
	case "retrying", "":
		return 1
	case "unsupported":
		return 2
	case "accepted":
		return 3
	case "verified":
		return 4
	default:
		return 1
	}
}

// cutStateWord explains the state of a cut.
func cutStateWord(state string) word {
	switch state {
	case "held":
		return word{"held", "held", "wait", "waiting for a second person; nothing was sent"}
	case "open":
		return word{"under way", "again", "wait", "something is still due"}
	case "settled":
		return word{"settled", "settled", "fair", "nothing is due any more"}
	case "refused":
		return word{"refused", "blocked", "dull", "turned down; nothing was sent"}
	case "lapsed":
		return word{"lapsed", "unreachable", "dull", "nobody decided in time; nothing was sent"}
	case "lifting":
		return word{"lifting", "again", "wait", "being given back"}
	case "lifted":
		return word{"lifted", "lifted", "good", "given back"}
	default:
		return word{state, "unknown", "dull", "unknown to this console"}
	}
}

// deviceStateWord explains the state of a device.
func deviceStateWord(state string) word {
	switch state {
	case "trusted":
		return word{"trusted", "proved", "good", "holds a lease"}
	case "warned":
		return word{"warned", "warned", "wait", "policy has warned it"}
	case "pending":
		return word{"pending", "held", "wait", "waits for a person to admit it"}
	case "sealed":
		return word{"sealed", "sealed", "bad", "its secrets are encrypted to the server"}
	case "purged":
		return word{"purged", "purged", "bad", "its secrets are gone"}
	case "retired":
		return word{"retired", "unreachable", "dull", "no longer in use"}
	default:
		return word{state, "unknown", "dull", "unknown to this console"}
	}
}

// actionWords says what was done to an item, from the receipt's word.
func actionWords(action string, sealed bool) string {
	var says string
	switch action {
	case "delete":
		says = "file removed"
	case "delete-dir":
		says = "folder removed"
	case "edit":
		says = "secret taken out, file kept"
	case "keyring-delete":
		says = "removed from the keyring"
	case "agent-clear":
		says = "cleared from the agent’s memory"
	case "left":
		says = "left where it was"
	default:
		says = strings.ReplaceAll(action, "-", " ")
	}
	if sealed {
		if says != "" {
			says += ", "
		}
		says += "sealed copy kept"
	}
	return says
}

// proofWords says what a step's proof level means.
func proofWords(proof string) string {
	switch proof {
	case "L0":
		return "L0 · the provider answered"
	case "L1":
		return "L1 · read back at the provider"
	case "L2":
		return "L2 · tried, and refused"
	case "L3":
		return "L3 · in the provider's own log"
	default:
		return ""
	}
}

// undoWords says what undoing a step costs.
func undoWords(undo string) string {
	switch undo {
	case "full":
		return "can be undone"
	case "sign-in":
		return "costs one sign-in"
	case "none":
		return "cannot be undone"
	default:
		return ""
	}
}

// moment is a time as a page shows it; the zero one is not known.
type moment struct {
	at  time.Time
	now time.Time
}

func momentOf(t *timestamppb.Timestamp, now time.Time) moment {
	if t == nil || !t.IsValid() || (t.GetSeconds() == 0 && t.GetNanos() == 0) {
		return moment{now: now}
	}
	return moment{at: t.AsTime().UTC(), now: now}
}

// Known reports whether there is a time.
func (m moment) Known() bool { return !m.at.IsZero() }

// Past reports whether it is over.
func (m moment) Past() bool { return m.Known() && !m.at.After(m.now) }

// ISO is for machines.
func (m moment) ISO() string { return m.at.Format(time.RFC3339) }

// Clock is the whole time, for people.
func (m moment) Clock() string {
	if m.at.Year() != m.now.UTC().Year() {
		return m.at.Format("2 Jan 2006 15:04:05 UTC")
	}
	return m.at.Format("2 Jan 15:04:05 UTC")
}

// Relative is how far away it is.
func (m moment) Relative() string {
	if !m.Known() {
		return "never"
	}
	d := m.at.Sub(m.now)
	switch {
	case d > -time.Second && d < time.Second:
		return "now"
	case d < 0:
		return short(-d) + " ago"
	default:
		return "in " + short(d)
	}
}

// Countdown is what remains, to the second.
func (m moment) Countdown() string {
	d := max(m.at.Sub(m.now), 0).Round(time.Second)
	days := d / (24 * time.Hour)
	d -= days * 24 * time.Hour
	text := fmt.Sprintf("%02d:%02d:%02d", d/time.Hour, d/time.Minute%60, d/time.Second%60)
	if days > 0 {
		return fmt.Sprintf("%d d %s", days, text)
	}
	return text
}

// short is a duration in its two largest units.
func short(d time.Duration) string {
	d = d.Abs()
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 24*time.Hour:
		return joined(int(d/time.Hour), "h", int(d/time.Minute%60), "min")
	default:
		return joined(int(d/(24*time.Hour)), "d", int(d/time.Hour%24), "h")
	}
}

func joined(a int, unitA string, b int, unitB string) string {
	if b == 0 {
		return fmt.Sprintf("%d %s", a, unitA)
	}
	return fmt.Sprintf("%d %s %d %s", a, unitA, b, unitB)
}

// plural is a count with its noun.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// asSentence begins with a capital and ends with a stop.
func asSentence(text string) string {
	text = strings.TrimSpace(text)
	if text == "" {
		return "It did not work, and the server did not say why."
	}
	word, _, _ := strings.Cut(text, " ")
	if !strings.ContainsAny(word, "_.:-0123456789") { // an id or a name stays as it is
		first, size := utf8.DecodeRuneInString(text)
		text = string(unicode.ToUpper(first)) + text[size:]
	}
	if !strings.ContainsAny(text[len(text)-1:], ".!?") {
		text += "."
	}
	return text
}

// visible shows text of a device: characters that could hide or reorder others
// (controls, bidirectional marks, bad UTF-8) are written out, and it is cut to
// a bearable length.
func visible(text string) string {
	const most = 512
	var b strings.Builder
	for i, r := range text {
		if b.Len() > most {
			b.WriteString("…")
			break
		}
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
			fmt.Fprintf(&b, "\\x%02x", text[i])
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// typeable reports whether people can type text back exactly.
func typeable(text string) bool {
	if text == "" || len(text) > 80 {
		return false
	}
	for _, r := range text {
		if r <= ' ' || r > '~' {
			return false
		}
	}
	return true
}
