package device

import "time"

// Silence is what the server goes by to call a device silent. Zero times mean
// never.
type Silence struct {
	// GrantedUntil is until when the device may trust itself: the last lease, and
	// every extension it was ever given.
	GrantedUntil time.Time
	// SealDue and PurgeDue are when the server acts without a word from it.
	SealDue  time.Time
	PurgeDue time.Time
	// HelloAt is when it last proved its key at the beginning of a contact.
	HelloAt time.Time
	// LeftAt is since when its agent is known to be stopped, and LeftReason why.
	LeftAt     time.Time
	LeftReason string
	// After is before when its silence is not acted on: a person said no, or the
	// device is just coming back.
	After time.Time
}

// Granted is the silence of a device that is granted a lease at now; extended is
// the latest end with an extension it was given, which it may still redeem.
func (s Silence) Granted(g *Group, extended, now time.Time) Silence {
	s.GrantedUntil = now.Add(g.Seal)
	if extended.After(s.GrantedUntil) {
		s.GrantedUntil = extended
	}
	s.PurgeDue = s.GrantedUntil.Add(g.Purge - g.Seal)
	return s.due(g)
}

// restartTime is how long an agent that restarts may take.
const restartTime = 10 * time.Minute

// Left is the silence of a device whose agent says that it ends, for reason.
func (s Silence) Left(g *Group, reason string, now time.Time) Silence {
	s.LeftReason, s.LeftAt = reason, now
	if reason == LeftRestart {
		s.LeftAt = now.Add(restartTime)
	}
	return s.due(g)
}

// Heard is the silence of a device that has proved its key at now.
func (s Silence) Heard(g *Group, now time.Time) Silence {
	s.HelloAt, s.LeftReason, s.LeftAt = now, "", time.Time{}
	s = s.due(g)
	// A lease that ran out meanwhile is renewed at once. Once only: who proves its
	// key again and again without a lease is cut like a silent one.
	if !s.SealDue.IsZero() && s.SealDue.Before(now) && !s.After.After(s.SealDue) {
		s.After = now.Add(min(2*g.Renew, restartTime))
	}
	return s
}

// due sets when the server seals: at the end of what was granted, sooner for an
// agent that was stopped.
func (s Silence) due(g *Group) Silence {
	s.SealDue = s.GrantedUntil
	if s.LeftAt.IsZero() {
		return s
	}
	if stopped := s.LeftAt.Add(min(g.Stopped, g.Seal)); s.SealDue.IsZero() || stopped.Before(s.SealDue) {
		s.SealDue = stopped
	}
	return s
}

// Why an agent's process ended, as it said.
const (
	LeftStopped  = "stopped"
	LeftDisabled = "disabled"
	LeftRemoved  = "removed"
	LeftShutdown = "shutdown"
	LeftRestart  = "restart"
)

// Said is what a device last said of the numbers it holds; Known is false
// before the first word.
type Said struct {
	Known bool
	Lease uint64
	Order uint64
	// Boots are its last boots, the present one last.
	Boots []string
}

// Verdict of a device's word about itself.
type Verdict int

// Verdicts.
const (
	Plausible Verdict = iota
	// RolledBack: it knows less than it knew before; its state was put back.
	RolledBack
	// Doubled: nobody who said what it last said can say this now; two have its
	// identity.
	Doubled
)

// HoldsLease judges the word that lease number held is the highest a device
// took, granted being the highest it was given. It took what its last request
// was answered with, or that was lost and it holds what it said then.
func (s Said) HoldsLease(held, granted uint64) Verdict {
	switch {
	case !s.Known || held == s.Lease || held >= granted:
		return Plausible
	case held < s.Lease:
		return RolledBack
	default:
		return Doubled
	}
}

// HoldsOrder judges the word that order number held is the highest it took.
func (s Said) HoldsOrder(held uint64) Verdict {
	if s.Known && held < s.Order {
		return RolledBack
	}
	return Plausible
}

// keptBoots bounds how many boots are remembered.
const keptBoots = 8

// Booted judges the word that the device's boot is id, and remembers it. A boot
// that comes back after another cannot be: two machines take turns.
func (s Said) Booted(id string) (Said, Verdict) {
	n := len(s.Boots)
	if id == "" || n > 0 && s.Boots[n-1] == id {
		return s, Plausible
	}
	verdict := Plausible
	kept := make([]string, 0, keptBoots)
	for _, b := range s.Boots {
		if b == id {
			verdict = Doubled
			continue
		}
		kept = append(kept, b)
	}
	if len(kept) == keptBoots {
		kept = kept[1:]
	}
	s.Boots = append(kept, id)
	return s, verdict
}
