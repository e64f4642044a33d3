package flow

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"cutoff/server/evidence"
	"cutoff/server/fault"
	"cutoff/server/revoke"
)

// ConnectorRegistry knows the kinds of connectors and runs those configured.
type ConnectorRegistry interface {
	// Check answers what is wrong with a connector's file, and the product it
	// is for. Secrets are the names of those handed in with it. It must not
	// reach out.
	Check(kind, config string, secrets []string) (product string, problems fault.Problems)
	// Changed is a hint that connectors were added or removed. It must not wait.
	Changed()
}

// Health of a connector.
const (
	HealthUnknown = "unknown"
	HealthOK      = "ok"
	HealthFailing = "failing"
)

// Connector is one configured provider, as it is kept.
type Connector struct {
	ID      string
	Name    string
	Kind    string
	Product string
	// Config is the connector's YAML file; no secret is in it.
	Config string
	// Sealed is its secrets, encrypted for this connector's id.
	Sealed       []byte
	Health       string
	HealthDetail string
	CheckedAt    time.Time
	LastUsed     time.Time
	AddedAt      time.Time
	AddedBy      string
}

// NewConnector asks for a connector.
type NewConnector struct {
	Name    string
	Kind    string
	Config  string
	Secrets map[string]string
}

// OpenConnector is a configured connector with its secrets in the clear, for
// the registry that runs it. Err is set if they cannot be had; that stops this
// connector only.
type OpenConnector struct {
	Connector
	Secrets map[string]string
	Err     error
}

// Limits of one connector's configuration.
const (
	maxConnectorFile = 256 << 10
	maxSecrets       = 32
	maxSecret        = 64 << 10
)

var connectorName = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$`)

func (n *NewConnector) check() error {
	switch {
	case !connectorName.MatchString(n.Name) || n.Name == revoke.NoConnector, n.Name == revoke.Escrow:
		return fault.New(fault.Invalid, "a connector's name is lower-case letters, digits and hyphens, at most 64, and not %q or %q",
			revoke.NoConnector, revoke.Escrow)
	case len(n.Config) > maxConnectorFile:
		return fault.New(fault.Invalid, "a connector's file has at most %d bytes", maxConnectorFile)
	case len(n.Secrets) > maxSecrets:
		return fault.New(fault.Invalid, "a connector has at most %d secrets", maxSecrets)
	}
	for name, value := range n.Secrets {
		if name == "" || value == "" || len(value) > maxSecret {
			return fault.New(fault.Invalid, "each secret has a name and a value of at most %d bytes", maxSecret)
		}
	}
	return nil
}

// AddConnector keeps a connector, unless anything is wrong with its file: then
// it answers the problems and nothing changes.
func (f *Flow) AddConnector(ctx context.Context, actor Actor, in NewConnector) (Connector, fault.Problems, error) {
	if err := in.check(); err != nil {
		return Connector{}, nil, err
	}
	if f.registry == nil {
		return Connector{}, nil, fault.New(fault.Unavailable, "this server runs no connectors")
	}
	// Not nil, even if empty: then the file may not need any.
	names := slices.AppendSeq([]string{}, maps.Keys(in.Secrets))
	slices.Sort(names)
	product, problems := f.registry.Check(in.Kind, in.Config, names)
	if len(problems) > 0 {
		return Connector{}, problems, nil
	}
	c := Connector{
		ID: newID("con_"), Name: in.Name, Kind: in.Kind, Product: product, Config: in.Config,
		Health: HealthUnknown, AddedAt: f.now(), AddedBy: actor.Name,
	}
	plain, err := json.Marshal(in.Secrets)
	if err != nil {
		return Connector{}, nil, fmt.Errorf("encode secrets: %w", err)
	}
	if c.Sealed, err = f.dataKey.Seal(plain, connectorRow(c.ID)); err != nil {
		return Connector{}, nil, fmt.Errorf("seal secrets of connector %s: %w", c.Name, err)
	}
	err = f.store.Update(ctx, func(tx Tx) error {
		if err := tx.InsertConnector(ctx, c); err != nil {
			return err
		}
		return f.record(ctx, tx, evidence.Event{Kind: "connector.added", Actor: actor.Name, Fields: []evidence.Field{
			{Name: "name", Value: c.Name}, {Name: "kind", Value: c.Kind}, {Name: "product", Value: c.Product},
			{Name: "config_sha256", Value: evidence.Digest([]byte(c.Config))},
			{Name: "secrets", Value: strings.Join(names, " ")},
		}})
	})
	if err != nil {
		return Connector{}, nil, fmt.Errorf("add connector: %w", err)
	}
	f.registry.Changed()
	return c, nil, nil
}

// connectorRow names the row that a connector's secrets are sealed for.
func connectorRow(id string) string { return "connectors/" + id + "/secrets" }

// CheckConnector answers what is wrong with a connector's file.
func (f *Flow) CheckConnector(kind, config string, secrets []string) (fault.Problems, error) {
	if f.registry == nil {
		return nil, fault.New(fault.Unavailable, "this server runs no connectors")
	}
	_, problems := f.registry.Check(kind, config, secrets)
	return problems, nil
}

// Connectors are all, by name.
func (f *Flow) Connectors(ctx context.Context) (all []Connector, err error) {
	err = f.store.View(ctx, func(tx Tx) error {
		all, err = tx.Connectors(ctx)
		return err
	})
	return all, err
}

// OpenConnectors are all with their secrets, for the registry that runs them.
func (f *Flow) OpenConnectors(ctx context.Context) ([]OpenConnector, error) {
	all, err := f.Connectors(ctx)
	if err != nil {
		return nil, fmt.Errorf("read connectors: %w", err)
	}
	open := make([]OpenConnector, len(all))
	for i, c := range all {
		open[i].Connector = c
		plain, err := f.dataKey.Open(c.Sealed, connectorRow(c.ID))
		if err != nil {
			open[i].Err = fmt.Errorf("open secrets of connector %s: %w", c.Name, err)
			continue
		}
		if err := json.Unmarshal(plain, &open[i].Secrets); err != nil {
			open[i].Err = fmt.Errorf("secrets of connector %s are not readable", c.Name)
		}
	}
	return open, nil
}

// RemoveConnector removes a connector and its secrets. Its steps stay, and what
// they say stays true: nothing reaches their provider any more.
func (f *Flow) RemoveConnector(ctx context.Context, actor Actor, name string) error {
	err := f.store.Update(ctx, func(tx Tx) error {
		c, err := tx.Connector(ctx, name)
		if err != nil {
			return err
		}
		if err := tx.DeleteConnector(ctx, name); err != nil {
			return err
		}
		return f.record(ctx, tx, evidence.Event{Kind: "connector.removed", Actor: actor.Name, Fields: []evidence.Field{
			{Name: "name", Value: c.Name}, {Name: "kind", Value: c.Kind},
		}})
	})
	if err != nil {
		return fmt.Errorf("remove connector: %w", err)
	}
	if f.registry != nil {
		f.registry.Changed()
	}
	return nil
}

// ConnectorChecked notes how a connector did; detail is a safe sentence.
func (f *Flow) ConnectorChecked(ctx context.Context, name, health, detail string) error {
	return f.store.Update(ctx, func(tx Tx) error {
		return tx.SetConnectorHealth(ctx, name, health, detail, f.now())
	})
}

// ConnectorUsed notes that a connector called its provider, and how it did.
func (f *Flow) ConnectorUsed(ctx context.Context, name, health, detail string) error {
	return f.store.Update(ctx, func(tx Tx) error {
		if err := tx.SetConnectorUsed(ctx, name, f.now()); err != nil {
			return err
		}
		return tx.SetConnectorHealth(ctx, name, health, detail, f.now())
	})
}
