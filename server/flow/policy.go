package flow

import (
	"context"
	"fmt"
	"sync"
	"time"

	"cutoff/server/decision"
	"cutoff/server/device"
	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/policy"
	"cutoff/server/posture"
)

// PolicyFile is one applied version of the policy. The zero one is none.
type PolicyFile struct {
	Version   int64
	YAML      string
	AppliedAt time.Time
	AppliedBy string
}

// PolicyStamp tells one applied version from all others, also from one of the
// same number whose transaction was undone.
type PolicyStamp struct {
	Version   int64
	AppliedAt time.Time
}

// policies keeps the version in force compiled.
type policies struct {
	mu     sync.Mutex
	yaml   string
	parsed *policy.Policy
	// stamp is that of yaml; its zero value means nothing is kept.
	stamp PolicyStamp
}

// CheckPolicy answers everything that is wrong with a policy file.
func (f *Flow) CheckPolicy(ctx context.Context, yaml string) (fault.Problems, error) {
	var groups []string
	err := f.store.View(ctx, func(tx Tx) (err error) {
		groups, err = groupNames(ctx, tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("check policy: %w", err)
	}
	_, problems := policy.Parse([]byte(yaml), groups)
	return problems, nil
}

// ApplyPolicy puts a policy file in force, from the next report on, unless
// anything is wrong with it: then it answers the problems and nothing changes.
func (f *Flow) ApplyPolicy(ctx context.Context, actor Actor, yaml string) (int64, fault.Problems, error) {
	var version int64
	var problems fault.Problems
	err := f.store.Update(ctx, func(tx Tx) error {
		groups, err := groupNames(ctx, tx)
		if err != nil {
			return err
		}
		if _, problems = policy.Parse([]byte(yaml), groups); len(problems) > 0 {
			return nil
		}
		last, err := tx.NewestPolicy(ctx)
		if err != nil {
			return err
		}
		if last.Version > 0 && last.YAML == yaml {
			version = last.Version
			return nil
		}
		version = last.Version + 1
		p := PolicyFile{Version: version, YAML: yaml, AppliedAt: f.now(), AppliedBy: actor.Name}
		if err := tx.InsertPolicy(ctx, p); err != nil {
			return err
		}
		return f.record(ctx, tx, evidence.Event{Kind: "policy.applied", Actor: actor.Name, Fields: []evidence.Field{
			{Name: "version", Value: fmt.Sprint(version)},
			{Name: "sha256", Value: evidence.Digest([]byte(yaml))},
		}})
	})
	if err != nil {
		return 0, nil, fmt.Errorf("apply policy: %w", err)
	}
	return version, problems, nil
}

// Policy is the policy in force; the zero one if none was ever applied.
func (f *Flow) Policy(ctx context.Context) (p PolicyFile, err error) {
	err = f.store.View(ctx, func(tx Tx) error {
		p, err = tx.NewestPolicy(ctx)
		return err
	})
	return p, err
}

// Decision is the last decision about a device; the zero one before the first.
func (f *Flow) Decision(ctx context.Context, deviceID string) (d decision.Decision, err error) {
	err = f.store.View(ctx, func(tx Tx) error {
		d, err = tx.Decision(ctx, deviceID)
		return err
	})
	return d, err
}

// evaluate holds a report against the policy in force and decides, in the
// report's transaction. The decision is kept, for the next one counts how long
// a rule has failed; it is evidence when it differs from the last.
func (f *Flow) evaluate(ctx context.Context, tx Tx, d device.Device, facts []posture.Fact) (decision.Decision, error) {
	p, version, err := f.policyInForce(ctx, tx)
	if err != nil {
		return decision.Decision{}, fmt.Errorf("evaluate %s: %w", d.ID, err)
	}
	previous, err := tx.Decision(ctx, d.ID)
	if err != nil {
		return decision.Decision{}, fmt.Errorf("evaluate %s: %w", d.ID, err)
	}
	now := f.now()
	results := p.Evaluate(policy.Subject{ID: d.ID, Group: d.Group, Hostname: d.Hostname, Trial: d.Trial()}, facts, now)
	next := decision.Next(previous, results, now)
	next.Policy = version
	if version == 0 && previous.At.IsZero() {
		return next, nil
	}
	if err := tx.PutDecision(ctx, d.ID, next); err != nil {
		return decision.Decision{}, fmt.Errorf("keep decision about %s: %w", d.ID, err)
	}
	if next.Same(previous) {
		return next, nil
	}
	return next, f.record(ctx, tx, decided(d.ID, next))
}

func decided(deviceID string, d decision.Decision) evidence.Event {
	event := evidence.Event{Kind: "decision.reached", Actor: "policy", DeviceID: deviceID, Fields: []evidence.Field{
		{Name: "consequence", Value: string(d.Consequence)},
		{Name: "policy_version", Value: fmt.Sprint(d.Policy)},
	}}
	for _, r := range d.Rules {
		event.Fields = append(event.Fields, evidence.Field{Name: "rule " + r.Name, Value: r.Explain()})
	}
	return event
}

// policyInForce is the newest policy, compiled. It is nil when none was applied.
func (f *Flow) policyInForce(ctx context.Context, tx Tx) (*policy.Policy, int64, error) {
	stamp, err := tx.PolicyStamp(ctx)
	if err != nil || stamp.Version == 0 {
		return nil, 0, err
	}
	f.policies.mu.Lock()
	defer f.policies.mu.Unlock()
	if f.policies.stamp == stamp {
		return f.policies.parsed, stamp.Version, nil
	}
	file, err := tx.NewestPolicy(ctx)
	if err != nil {
		return nil, 0, err
	}
	if f.policies.parsed == nil || f.policies.yaml != file.YAML {
		// Every group it names counts as existing: it was checked when applied,
		// and a group that went since holds no device.
		parsed, problems := policy.Parse([]byte(file.YAML), nil)
		if err := problems.Err(fmt.Sprintf("policy version %d", stamp.Version)); err != nil {
			return nil, 0, fmt.Errorf("stored policy does not read any more: %w", err)
		}
		f.policies.parsed, f.policies.yaml = parsed, file.YAML
	}
	f.policies.stamp = stamp
	return f.policies.parsed, stamp.Version, nil
}

func groupNames(ctx context.Context, tx DeviceTx) ([]string, error) {
	groups, _, err := tx.Groups(ctx)
	if err != nil {
		return nil, fmt.Errorf("read groups: %w", err)
	}
	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.Name
	}
	return names, nil
}
