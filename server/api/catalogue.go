package api

import (
	"context"

	"golang.org/x/sync/errgroup"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/flow"
)

// Catalogues is an Orders that also knows which catalogue a device should keep.
type Catalogues interface {
	// DueCatalogue is the signed catalogue that the device does not keep yet, or
	// nil.
	DueCatalogue(ctx context.Context, peer flow.Peer, held flow.HeldCatalogue) ([]byte, error)
}

// together bounds catalogues being drawn up at once: a change reaches a whole
// fleet, and what is urgent shares its database.
const together = 16

// Recatalogue makes the streams of these devices, or all streams if there are
// none, look whether another catalogue is due.
func (h *Hub) Recatalogue(deviceIDs ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(deviceIDs) == 0 {
		for _, s := range h.sessions {
			h.look(s)
		}
		return
	}
	for _, id := range deviceIDs {
		if s := h.sessions[id]; s != nil {
			h.look(s)
		}
	}
}

// look puts s in the line for a catalogue, once; h.mu is held.
func (h *Hub) look(s *session) {
	if s.looking {
		return
	}
	s.looking = true
	h.behind = append(h.behind, s)
	select {
	case h.behindMore <- struct{}{}:
	default:
	}
}

// nextBehind takes the first session in that line, or nil. Whatever changes
// from here on puts it in the line again.
func (h *Hub) nextBehind() *session {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.behind) == 0 {
		h.behind = nil
		return nil
	}
	s := h.behind[0]
	h.behind[0] = nil
	h.behind = h.behind[1:]
	s.looking = false
	return s
}

// runCatalogues serves the line until ctx ends.
func (h *Hub) runCatalogues(ctx context.Context, orders Orders) {
	catalogues, can := orders.(Catalogues)
	if !can {
		return
	}
	var work errgroup.Group
	work.SetLimit(together)
	for ctx.Err() == nil {
		s := h.nextBehind()
		if s != nil {
			work.Go(func() error { h.catalogue(ctx, catalogues, s); return nil })
			continue
		}
		select {
		case <-h.behindMore:
		case <-ctx.Done():
		}
	}
	_ = work.Wait() // each failure was logged
}

// keeps notes what the device says it keeps.
func (s *session) keeps(held *cutoffv1.CatalogueHeld) flow.HeldCatalogue {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = flow.HeldCatalogue{Number: held.GetNumber(), Content: held.GetContent()}
	return s.held
}

// keeping is what it keeps.
func (s *session) keeping() flow.HeldCatalogue {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

// catalogue sends the catalogue that is due, if one is. A failure costs the
// device nothing but time: it is looked for again at the next contact.
func (h *Hub) catalogue(ctx context.Context, catalogues Catalogues, s *session) {
	ctx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	envelope, err := catalogues.DueCatalogue(ctx, s.peer, s.keeping())
	if err != nil {
		if ctx.Err() == nil {
			h.log.ErrorContext(ctx, "draw up a catalogue", "device_id", s.peer.DeviceID, "err", err)
		}
		return
	}
	if envelope == nil {
		return
	}
	m := &cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Catalogue{Catalogue: envelope}}
	if err := s.send(m); err != nil {
		s.end(err)
	}
}

// taken notes that the device keeps a catalogue now.
func (a *agents) taken(s *session, held *cutoffv1.CatalogueHeld) error {
	if held.GetNumber() == 0 || len(held.GetContent()) > maxContent {
		return nil
	}
	return a.flow.OnCatalogue(s.ctx, s.peer, s.keeps(held))
}

// maxContent bounds the name of a catalogue's content.
const maxContent = 128
