package uplink

import "cutoff/agent/config"

// Learn takes further addresses of the server, as a lease names them. The server
// is known by roster and SPIFFE id wherever it answers, so that an address that
// lies costs a try and nothing else.
func (u *Uplink) Learn(servers []string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.learnt = servers
}

// addresses are all that may be tried: those of enrolment first.
func (u *Uplink) addresses() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return config.Known(config.Addresses(u.config.Server), u.learnt)
}

// address is the one to try now: the last that answered, or the next in turn.
func (u *Uplink) address() string {
	all := u.addresses()
	if len(all) == 0 {
		return u.config.Server // its own error says what is wrong with it
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return all[u.turn%len(all)]
}

// next goes on to the next address and answers how many there are.
func (u *Uplink) next() int {
	u.mu.Lock()
	u.turn++
	u.mu.Unlock()
	return max(1, len(u.addresses()))
}
