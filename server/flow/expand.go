package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"cutoff/server/cut"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/person"
	"cutoff/server/revoke"
)

// paramCredential is the parameter by which a step says which credential of
// the inventory it is for.
const paramCredential = "credential_id"

// target is one thing a case cuts: a device, or a person or credential as far
// as they are not on a device.
type target struct {
	device     *device.Device
	person     *person.Person
	credential *device.Credential
	// alone is set for a device that is cut by itself: then its person's
	// sessions end with it. In a person's case the person's own cut does that.
	alone bool
	// found are the device's credentials where somebody has read them already.
	found *[]device.Credential
}

// expand lists what the connectors would revoke for a target, and adds a step
// out of reach for each credential that none of them covers. c is the cut, or
// what it would be.
func (f *Flow) expand(ctx context.Context, tx Tx, t target, c *cut.Cut) ([]revoke.Spec, error) {
	subject, accounts, err := f.subject(ctx, tx, t, c)
	if err != nil {
		return nil, err
	}
	var specs []revoke.Spec
	if f.connectors != nil {
		for _, name := range f.connectors.Names() {
			s := subject
			s.Accounts = accounts[name]
			planned, err := f.connectors.Plan(ctx, name, s)
			if err != nil {
				// One connector that cannot plan stops nobody but itself.
				f.log.WarnContext(ctx, "connector did not plan", "connector", name, "err", err)
				planned = []revoke.Spec{{
					Connector: name, Action: "plan", Target: "everything at " + name, Scope: revoke.ScopeSessions,
					Undo: revoke.UndoNone, Unsupported: true, Detail: "connector-did-not-plan",
					Residual: revoke.Residual{Unbounded: true},
				}}
			}
			specs = append(specs, planned...)
		}
	}
	return append(specs, outOfReach(subject.Credentials, specs)...), nil
}

// subject is the target as connectors see it, and the person's accounts by
// connector.
func (f *Flow) subject(ctx context.Context, tx Tx, t target, c *cut.Cut) (revoke.Subject, map[string][]string, error) {
	s := revoke.Subject{Level: string(c.Level), Cause: string(c.Cause), CutID: c.ID, OpenedAt: c.OpenedAt}
	accounts := map[string][]string{}
	switch {
	case t.credential != nil:
		s.Credentials = named([]device.Credential{*t.credential})
		s.DeviceID, s.OneCredential = t.credential.DeviceID, true
	case t.device != nil:
		err := f.deviceSubject(ctx, tx, t, &s, accounts)
		return s, accounts, err
	case t.person != nil:
		s.PersonScope = true
		all, err := tx.CredentialsOfPerson(ctx, t.person.ID)
		if err != nil {
			return s, nil, err
		}
		s.Credentials = named(all)
		withPerson(&s, accounts, t.person)
	}
	return s, accounts, nil
}

func (f *Flow) deviceSubject(ctx context.Context, tx Tx, t target, s *revoke.Subject, accounts map[string][]string) error {
	s.DeviceID, s.Hostname = t.device.ID, t.device.Hostname
	found, err := f.credentialsOn(ctx, tx, t)
	if err != nil {
		return err
	}
	if s.Certificates, err = tx.Certificates(ctx, t.device.ID, f.now()); err != nil {
		return err
	}
	if t.device.PersonID == "" {
		s.Credentials = named(found)
		return nil
	}
	if !t.alone {
		// What its person holds is in the person's own cut.
		for _, c := range found {
			if c.PersonID != t.device.PersonID && !c.Harmless {
				s.Credentials = append(s.Credentials, name(c))
			}
		}
		return nil
	}
	p, err := tx.Person(ctx, t.device.PersonID)
	if err != nil {
		return err
	}
	withPerson(s, accounts, &p)
	held, err := tx.CredentialsOfPerson(ctx, p.ID)
	if err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, c := range found {
		seen[c.ID] = true
	}
	for _, c := range held {
		if c.Held && !seen[c.ID] {
			found = append(found, c)
		}
	}
	s.Credentials = named(found)
	return nil
}

func (f *Flow) credentialsOn(ctx context.Context, tx Tx, t target) ([]device.Credential, error) {
	if t.found != nil {
		return slices.Clip(*t.found), nil
	}
	return tx.CredentialsOfDevice(ctx, t.device.ID)
}

func withPerson(s *revoke.Subject, accounts map[string][]string, p *person.Person) {
	s.PersonID, s.Email = p.ID, p.Email
	for _, a := range p.Accounts {
		accounts[a.Connector] = append(accounts[a.Connector], a.Account)
	}
}

func named(all []device.Credential) []revoke.Credential {
	out := make([]revoke.Credential, 0, len(all))
	for _, c := range all {
		if !c.Harmless { // nothing of it to revoke
			out = append(out, name(c))
		}
	}
	return out
}

func name(c device.Credential) revoke.Credential {
	identifiers := make(map[string]string, len(c.Identifiers)+1)
	for _, i := range c.Identifiers {
		identifiers[i.Kind] = i.Value
	}
	if c.Label != "" {
		identifiers["label"] = c.Label
	}
	return revoke.Credential{
		ID: c.ID, Product: c.Product, Path: c.Path, Identifiers: identifiers, Names: c.Identifiers, Expires: c.ExpiresAt,
		Held: c.Held, Connector: c.Connector, TokenType: c.TokenType,
	}
}

// outOfReach is a step for each credential no connector plans anything for: it
// lives until it expires, or nobody knows until when.
func outOfReach(credentials []revoke.Credential, planned []revoke.Spec) []revoke.Spec {
	reached := map[string]bool{}
	for i := range planned {
		reached[planned[i].Params[paramCredential]] = true
	}
	var specs []revoke.Spec
	for _, c := range credentials {
		if reached[c.ID] {
			continue
		}
		specs = append(specs, revoke.Spec{
			Connector: revoke.NoConnector, Action: "none", Target: describe(c),
			Params: map[string]string{paramCredential: c.ID}, Scope: revoke.ScopeDevice, Undo: revoke.UndoNone,
			Residual:    revoke.Residual{Until: c.Expires, Unbounded: c.Expires.IsZero()},
			Unsupported: true, Detail: "no-connector",
		})
	}
	return specs
}

func describe(c revoke.Credential) string {
	text := c.Product
	if text == "" {
		text = c.TokenType
	}
	switch {
	case c.Path != "":
		return text + " " + c.Path
	case c.Identifiers["label"] != "":
		return text + " " + c.Identifiers["label"]
	default:
		return text + " " + c.ID
	}
}

// planned is a spec as a step that is due at now, or closed at once when its
// connector knows that it cannot do it.
func planned(cutID string, spec revoke.Spec, now time.Time) revoke.Step {
	s := revoke.Step{
		ID: newID("stp_"), CutID: cutID, Connector: spec.Connector, Action: spec.Action, Target: spec.Target,
		Params: spec.Params, Scope: spec.Scope, Undo: spec.Undo, Rank: spec.Rank, Residual: spec.Residual,
		Detail: spec.Detail, State: revoke.Planned, Outcome: revoke.Retrying, Due: now,
	}
	if s.Residual == (revoke.Residual{}) {
		// Nothing is done yet, and no end of what it is for is known.
		s.Residual.Unbounded = true
	}
	switch {
	case spec.Unsupported:
		s.State, s.Outcome, s.Due, s.DoneAt = revoke.Stuck, revoke.Unsupported, time.Time{}, now
	case spec.Blocked:
		s.State, s.Outcome, s.Due, s.DoneAt = revoke.Stuck, revoke.Blocked, time.Time{}, now
	}
	return s
}

// plan adds the steps of a target that its cut does not have yet.
func (f *Flow) plan(ctx context.Context, tx Tx, e *effects, c *cut.Cut, t target) error {
	specs, err := f.expand(ctx, tx, t, c)
	if err != nil {
		return fmt.Errorf("plan steps: %w", err)
	}
	if len(specs) == 0 {
		return nil
	}
	has := map[string]bool{}
	if !c.Stepless {
		if has, err = f.stands(ctx, tx, c.ID); err != nil {
			return err
		}
	}
	event := evidence.Event{Kind: "steps.planned", Actor: "server", DeviceID: c.DeviceID, CutID: c.ID, CaseID: c.CaseID}
	for i := range specs {
		s := planned(c.ID, specs[i], f.now())
		if has[same(&s)] {
			continue
		}
		has[same(&s)] = true
		if err := tx.InsertStep(ctx, s); err != nil {
			return err
		}
		c.Stepless = false
		e.steps = e.steps || s.Open()
		event.Fields = append(event.Fields, evidence.Field{Name: s.ID, Value: s.Connector + " " + s.Action + " " + s.Target})
	}
	if len(event.Fields) == 0 {
		return nil
	}
	return f.record(ctx, tx, event)
}

// stands are the steps a cut has whose work is not undone.
func (f *Flow) stands(ctx context.Context, tx Tx, cutID string) (map[string]bool, error) {
	steps, err := tx.Steps(ctx, cutID)
	if err != nil {
		return nil, err
	}
	undone := map[string]bool{}
	for i := range steps {
		if s := &steps[i]; s.UndoOf != "" && (s.State != revoke.Withdrawn || s.Attempts > 0) {
			undone[s.UndoOf] = true
		}
	}
	has := map[string]bool{}
	for i := range steps {
		if s := &steps[i]; s.Counts() && !undone[s.ID] {
			has[same(s)] = true
		}
	}
	return has, nil
}

// same is what two steps share that do the same thing. What they are told of
// the decision, and the list of everything found, do not tell them apart.
func same(s *revoke.Step) string {
	params := make(map[string]string, len(s.Params))
	for k, v := range s.Params {
		switch k {
		case "level", "cause", "cut_time", "credentials":
		default:
			params[k] = v
		}
	}
	text, err := json.Marshal(params) // strings always encode; keys come sorted
	if err != nil {
		return s.ID
	}
	return s.Connector + "\x00" + s.Action + "\x00" + s.Target + "\x00" + string(text)
}
