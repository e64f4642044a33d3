package flow

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"cutoff/agent/lease"
)

// status is what `cutoff-agent status` shows of a running agent.
type status struct {
	DeviceID  string `json:"device_id"`
	Server    string `json:"server"`
	Connected bool   `json:"connected"`
	// Trust: none, trusting, warn, expired.
	Trust      string     `json:"trust"`
	LeaseUntil *time.Time `json:"lease_until"`
	// Cuts are the ids of the cuts that stand.
	Cuts []string `json:"cuts"`
	// Acting is the id of the cut being carried out.
	Acting  string `json:"acting,omitempty"`
	Tamper  bool   `json:"tamper,omitempty"`
	Version string `json:"agent_version"`
	BootID  string `json:"boot_id"`
}

// keepStatus writes the status when something in it changed.
func (f *Flow) keepStatus(now lease.Reading) {
	s := &f.loop
	next := status{
		DeviceID: f.config.DeviceID, Server: f.config.Server, Connected: s.link != nil,
		Trust: s.trust.state.String(), Cuts: []string{}, Tamper: s.trust.tamper,
		Version: f.config.Version, BootID: now.BootID,
	}
	if (s.trust.number != 0 || s.trust.granted) && s.trust.marked {
		until := now.Wall.Add(s.trust.terms.Seal - s.trust.mark.Elapsed).UTC().Truncate(time.Second)
		next.LeaseUntil = &until
	}
	for id := range s.standing {
		next.Cuts = append(next.Cuts, id)
	}
	slices.Sort(next.Cuts)
	if s.current != nil {
		next.Acting = s.current.cutID
	}
	if next.same(s.status) {
		return
	}
	s.status = next
	raw, err := json.Marshal(next)
	if err == nil {
		err = f.config.State.KeepStatus(append(bytes.TrimSpace(raw), '\n'))
	}
	if err != nil {
		f.config.Log.Warn("status not kept", "err", err)
	}
}

// same ignores how the end of a lease wanders by a second or so.
func (a status) same(b status) bool {
	if (a.LeaseUntil == nil) != (b.LeaseUntil == nil) {
		return false
	}
	if a.LeaseUntil != nil && a.LeaseUntil.Sub(*b.LeaseUntil).Abs() > 2*time.Second {
		return false
	}
	a.LeaseUntil, b.LeaseUntil = nil, nil
	return reflect.DeepEqual(a, b)
}
