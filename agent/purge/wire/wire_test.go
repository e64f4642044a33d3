package wire_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"cutoff/agent/purge/wire"
)

func TestAFrameComesBackAsItWent(t *testing.T) {
	var pipe bytes.Buffer
	if err := wire.WriteJSON(&pipe, wire.KindItem, wire.Item{ID: "itm_1", Path: "/home/a\xff"}); err != nil {
		t.Fatal(err)
	}
	if err := wire.Write(&pipe, wire.KindDone, nil); err != nil {
		t.Fatal(err)
	}
	kind, payload, err := wire.Read(&pipe)
	var i wire.Item
	if err != nil || kind != wire.KindItem || wire.Unmarshal(payload, &i) != nil || i.ID != "itm_1" {
		t.Errorf("got %v %q, %v", kind, payload, err)
	}
	if kind, payload, err = wire.Read(&pipe); err != nil || kind != wire.KindDone || len(payload) != 0 {
		t.Errorf("got %v %q, %v", kind, payload, err)
	}
	if _, _, err := wire.Read(&pipe); !errors.Is(err, io.EOF) {
		t.Errorf("got %v at the end", err)
	}
}

func TestAHostileChildsFramesAreBounded(t *testing.T) {
	huge := []byte{byte(wire.KindChunk), 0xff, 0xff, 0xff, 0xff}
	if _, _, err := wire.Read(bytes.NewReader(huge)); !errors.Is(err, wire.ErrFrame) {
		t.Errorf("four gigabytes: %v", err)
	}
	short := []byte{byte(wire.KindChunk), 0, 0, 0, 9, 'x'}
	if _, _, err := wire.Read(bytes.NewReader(short)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a frame cut short: %v", err)
	}
	if err := wire.Write(io.Discard, wire.KindChunk, make([]byte, wire.MaxFrame+1)); !errors.Is(err, wire.ErrFrame) {
		t.Errorf("an oversized frame was sent: %v", err)
	}
	err := wire.Unmarshal([]byte(`{"id": s3cr3t`), &wire.Item{})
	if !errors.Is(err, wire.ErrFrame) || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("got %v: it must not quote the frame", err)
	}
}
