package api

import (
	"context"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/flow"
)

// Catalogues is an Orders that also knows which catalogue a device should keep.
type Catalogues interface {
	// DueCatalogue is the signed catalogue that the device does not keep yet, or
	// nil.
	DueCatalogue(ctx context.Context, peer flow.Peer, held flow.HeldCatalogue) ([]byte, error)
}

// Recatalogue makes the streams of these devices, or all streams if there are
// none, look whether another catalogue is due.
func (h *Hub) Recatalogue(deviceIDs ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(deviceIDs) == 0 {
		for _, s := range h.sessions {
			s.look()
			h.enqueue(s)
		}
		return
	}
	for _, id := range deviceIDs {
		if s := h.sessions[id]; s != nil {
			s.look()
			h.enqueue(s)
		}
	}
}

// look makes the next delivery ask for a catalogue.
func (s *session) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recheck = true
}

// keeps notes what the device says it keeps.
func (s *session) keeps(held *cutoffv1.CatalogueHeld) flow.HeldCatalogue {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = flow.HeldCatalogue{Number: held.GetNumber(), Content: held.GetContent()}
	return s.held
}

// looking takes what is to be looked for.
func (s *session) looking() (flow.HeldCatalogue, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	look := s.recheck
	s.recheck = false
	return s.held, look
}

// catalogue is the message with the catalogue that is due, or nil. A failure
// costs the device nothing but time: it is asked for again at the next contact.
func (h *Hub) catalogue(ctx context.Context, orders Orders, s *session) *cutoffv1.ConnectResponse {
	held, look := s.looking()
	catalogues, can := orders.(Catalogues)
	if !look || !can {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, orderTime)
	defer cancel()
	envelope, err := catalogues.DueCatalogue(ctx, s.peer, held)
	if err != nil {
		if ctx.Err() == nil {
			h.log.ErrorContext(ctx, "draw up a catalogue", "device_id", s.peer.DeviceID, "err", err)
		}
		return nil
	}
	if envelope == nil {
		return nil
	}
	return &cutoffv1.ConnectResponse{Message: &cutoffv1.ConnectResponse_Catalogue{Catalogue: envelope}}
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
