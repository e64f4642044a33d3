// Package catalogue knows what administrators add to the agents' catalogue: a
// change of product files, the way it goes from a proposal past a second person
// and a canary group to everybody, and what a group chose besides. It must not
// read files, sign or count devices.
package catalogue

import (
	"slices"
	"time"

	"cutoff/proto/addition"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
)

// State is where a change stands.
type State string

// States of a change.
const (
	Proposed  State = "proposed"
	Canary    State = "canary"
	Active    State = "active"
	Withdrawn State = "withdrawn"
)

// Event is what happens to a change.
type Event string

// Events of a change.
const (
	Approve  Event = "approve"
	Promote  Event = "promote"
	Withdraw Event = "withdraw"
)

var table = map[State]map[Event]State{
	Proposed: {Approve: Canary, Withdraw: Withdrawn},
	Canary:   {Promote: Active, Withdraw: Withdrawn},
	Active:   {Withdraw: Withdrawn},
}

// Next is the state after event, or a Conflict.
func Next(from State, event Event) (State, error) {
	if to, ok := table[from][event]; ok {
		return to, nil
	}
	return from, fault.New(fault.Conflict, "the change is %s: it cannot be %s", from, past[event])
}

var past = map[Event]string{Approve: "approved", Promote: "promoted", Withdraw: "withdrawn"}

// Step is who did something to a change, and when; zero: nobody yet.
type Step struct {
	Actor string    `json:"actor"`
	At    time.Time `json:"at"`
}

// Change is a set of product files on its way.
type Change struct {
	ID    string
	State State
	// Version is the server-wide number of its last step that agents saw.
	Version int64
	Canary  string
	Files   []addition.File
	Reason  string
	// Person is under whose name the asker counts.
	Person                               string
	Asked, Approved, Promoted, Retracted Step
	// Count is what the devices answered before anybody approved.
	Count Count
}

// Reaches reports whether a device of group goes by the change.
func (c *Change) Reaches(group string) bool {
	return c.State == Active || c.State == Canary && c.Canary == group
}

// Touched reports whether a device of group ever went by the change.
func (c *Change) Touched(group string) bool {
	return c.State != Proposed && (!c.Promoted.At.IsZero() || c.Canary == group && !c.Approved.At.IsZero())
}

// Products are the ids of its files.
func (c *Change) Products() []string {
	products, err := addition.ParseAll(c.Files)
	if err != nil {
		return nil
	}
	ids := make([]string, len(products))
	for i, p := range products {
		ids[i] = p.ID
	}
	return ids
}

// Count is what a change would take, as devices said that were asked.
type Count struct {
	At time.Time `json:"at"`
	// Devices are the live ones of all groups, Asked those that were connected
	// and asked, Answered those that answered.
	Devices  int `json:"devices"`
	Asked    int `json:"asked"`
	Answered int `json:"answered"`
	// Matching are the devices with at least one item, Items all of them.
	Matching int          `json:"matching"`
	Items    int          `json:"items"`
	Groups   []GroupCount `json:"groups"`
	// Problems are what devices said instead of an answer, once each.
	Problems []string `json:"problems"`
}

// GroupCount is the part of one group.
type GroupCount struct {
	Group    string `json:"group"`
	Devices  int    `json:"devices"`
	Answered int    `json:"answered"`
	Matching int    `json:"matching"`
	Items    int    `json:"items"`
}

// Effective are the files of group: those of the changes that reach it, the
// later one of a product in the place of the earlier.
func Effective(changes []Change, group string) []addition.File {
	byVersion := slices.Clone(changes)
	slices.SortStableFunc(byVersion, func(a, b Change) int {
		if a.State != b.State && (a.State == Canary || b.State == Canary) {
			if b.State == Canary {
				return -1
			}
			return 1
		}
		return int(a.Version - b.Version)
	})
	var (
		files []addition.File
		at    = map[string]int{}
	)
	for i := range byVersion {
		c := &byVersion[i]
		if !c.Reaches(group) {
			continue
		}
		for _, f := range c.Files {
			p, err := addition.Parse(f.Name, []byte(f.YAML))
			if err != nil {
				continue // it was checked when it was proposed; what no longer reads is not sent
			}
			if n, known := at[p.ID]; known {
				files[n] = f
				continue
			}
			at[p.ID] = len(files)
			files = append(files, f)
		}
	}
	return files
}

// Version names what is in force for group: its choices' and those of the
// changes that came to it or left it.
func Version(changes []Change, choices *Choices, group string) int64 {
	version := choices.Version
	for i := range changes {
		if changes[i].Touched(group) {
			version = max(version, changes[i].Version)
		}
	}
	return version
}

// FilesMessage is files on the wire.
func FilesMessage(files []addition.File) []*cutoffv1.CatalogueFile {
	out := make([]*cutoffv1.CatalogueFile, len(files))
	for i, f := range files {
		out[i] = &cutoffv1.CatalogueFile{Name: f.Name, Yaml: f.YAML}
	}
	return out
}
