package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// object is a JSON object whose fields keep their order.
type object []field

type field struct {
	name  string
	value any
}

// MarshalJSON is json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(f.name)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		value, err := marshal(f.value)
		if err != nil {
			return nil, err
		}
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// marshal is json.Marshal without turning <, > and & into escapes.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// plain turns a message into what --json prints: every field by its name in
// the schema and in its order, times in RFC 3339 UTC or null, numbers as
// numbers, lists never null.
func plain(m proto.Message) object {
	r := m.ProtoReflect()
	fields := r.Descriptor().Fields()
	out := make(object, 0, fields.Len())
	for i := range fields.Len() {
		f := fields.Get(i)
		out = append(out, field{name: string(f.Name()), value: plainField(r, f)})
	}
	return out
}

func plainField(r protoreflect.Message, f protoreflect.FieldDescriptor) any {
	switch {
	case f.IsList():
		list := r.Get(f).List()
		out := make([]any, 0, list.Len())
		for i := range list.Len() {
			out = append(out, plainValue(f, list.Get(i)))
		}
		return out
	case f.HasPresence() && !r.Has(f):
		return nil
	default:
		return plainValue(f, r.Get(f))
	}
}

func plainValue(f protoreflect.FieldDescriptor, v protoreflect.Value) any {
	if f.Kind() != protoreflect.MessageKind {
		return v.Interface()
	}
	if t, ok := v.Message().Interface().(*timestamppb.Timestamp); ok {
		return t.AsTime().UTC().Format(time.RFC3339Nano)
	}
	return plain(v.Message().Interface())
}

// plainAll is plain of a list.
func plainAll[M proto.Message](list []M) []object {
	out := make([]object, 0, len(list))
	for _, m := range list {
		out = append(out, plain(m))
	}
	return out
}

// without drops the named fields.
func (o object) without(names ...string) object {
	out := make(object, 0, len(o))
next:
	for _, f := range o {
		for _, n := range names {
			if f.name == n {
				continue next
			}
		}
		out = append(out, f)
	}
	return out
}

// document prints the one document of --json.
func (c *cli) document(v any) error {
	raw, err := marshal(v)
	if err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return fmt.Errorf("write JSON: %w", err)
	}
	b.WriteByte('\n')
	c.printed = true
	_, err = c.Out.Write(b.Bytes())
	return err
}
