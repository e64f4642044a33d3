package signed

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// hasUnknown reports whether message or any message in it carries a field its
// type does not have.
func hasUnknown(message proto.Message) bool {
	return unknownIn(message.ProtoReflect())
}

func unknownIn(m protoreflect.Message) bool {
	if len(m.GetUnknown()) > 0 {
		return true
	}
	found := false
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		if field.Message() == nil {
			return true
		}
		switch {
		case field.IsList():
			for i := range value.List().Len() {
				found = found || unknownIn(value.List().Get(i).Message())
			}
		case field.IsMap():
			// No signed payload has a map: their order would not be canonical.
			found = true
		default:
			found = unknownIn(value.Message())
		}
		return !found
	})
	return found
}
