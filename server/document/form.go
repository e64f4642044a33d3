package document

import "gopkg.in/yaml.v3"

// Form is what a value is made of.
type Form int

// Forms. Absent is a missing value, Null one that says so (~).
const (
	Absent Form = iota
	Null
	Text
	Flag
	Number
	Map
	List
)

// Form tells values apart where several forms have a meaning (a JSON body).
func (n Node) Form() Form {
	if n.yaml == nil {
		return Absent
	}
	switch n.yaml.Kind {
	case yaml.MappingNode:
		return Map
	case yaml.SequenceNode:
		return List
	}
	switch n.yaml.Tag {
	case "!!null":
		return Null
	case "!!bool":
		return Flag
	case "!!int", "!!float":
		return Number
	default:
		return Text
	}
}
