// Package connector is the list of the kinds of connectors and the registry of
// those an administrator configured. A kind is a row of the list below. It
// must not know the queue, nor how configurations are stored.
package connector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cutoff/server/connector/aws"
	"cutoff/server/connector/config"
	"cutoff/server/connector/declarative"
	"cutoff/server/connector/gtr"
	"cutoff/server/connector/oidc"
	"cutoff/server/connector/outgoing"
	"cutoff/server/connector/sshkrl"
	"cutoff/server/connector/stepca"
	"cutoff/server/fault"
	"cutoff/server/revoke"
)

// Connector revokes at one configured provider.
type Connector interface {
	// Product is the provider's name as people know it.
	Product() string
	// Plan says what would be revoked for a subject. It asks nobody.
	Plan(s revoke.Subject) []revoke.Spec
	// UndoSpecs says what undoes a step; Revoke then runs it as any other.
	UndoSpecs(s revoke.Step) []revoke.Spec
	// Revoke does the step. Repeats are harmless. A result with Done set is
	// confirmed next, unless its outcome closes the step.
	Revoke(ctx context.Context, s revoke.Step) revoke.Result
	// Confirm reads back, or probes, what Revoke did. A retrying result without
	// Done means that it still lives and is to be done again.
	Confirm(ctx context.Context, s revoke.Step) revoke.Result
	// Check tries everything that changes nothing.
	Check(ctx context.Context) []config.Finding
	// Parallel is how many steps may be under way at once.
	Parallel() int
	// Close drops what it keeps open.
	Close()
}

// kind is how connectors of one kind are made. inspect reads a file: its
// product, the names of the secrets it needs, and what is wrong with it.
type kind struct {
	name string
	// about is what it is for, in a line.
	about   string
	inspect func(text string) (product string, secrets []string, problems fault.Problems)
	// questions are what adding one asks for; nil where that is each entry's.
	questions func() []config.Question
	make      func(r *Registry, c Configured) (Connector, fault.Problems)
}

// kinds are all there are.
func kinds() []kind {
	return []kind{
		{"http", "any HTTP API, by a file of your own", declarative.Inspect, nil, func(r *Registry, c Configured) (Connector, fault.Problems) {
			return made(declarative.New(c.Config, declarative.Config{
				Name: c.Name, Secrets: c.Secrets, Now: r.config.Now, Outgoing: r.config.Outgoing,
			}))
		}},
		{"oidc", "OAuth 2.0 or OpenID Connect: tokens that the server holds", oidc.Inspect, oidc.Questions, func(r *Registry, c Configured) (Connector, fault.Problems) {
			return made(oidc.New(c.Config, oidc.Config{
				Name: c.Name, Secrets: c.Secrets, Now: r.config.Now, Outgoing: r.config.Outgoing, Held: r.config.Held,
			}))
		}},
		{"aws", "an AWS account: access keys, sessions of users and roles", aws.Inspect, aws.Questions, func(r *Registry, c Configured) (Connector, fault.Problems) {
			return made(aws.New(c.Config, aws.Config{Name: c.Name, Secrets: c.Secrets, Now: r.config.Now, Outgoing: r.config.Outgoing}))
		}},
		{"gtr", "Global Token Revocation (Universal Logout): everything a person has", gtr.Inspect, gtr.Questions, func(r *Registry, c Configured) (Connector, fault.Problems) {
			return made(gtr.New(c.Config, gtr.Config{Name: c.Name, Secrets: c.Secrets, Now: r.config.Now, Outgoing: r.config.Outgoing}))
		}},
		{"ssh-krl", "SSH hosts: a key revocation list that they fetch", sshkrl.Inspect, sshkrl.Questions, func(r *Registry, c Configured) (Connector, fault.Problems) {
			return made(sshkrl.New(c.Config, sshkrl.Config{Name: c.Name, Secrets: c.Secrets, Now: r.config.Now, Lists: r.config.Lists}))
		}},
		{"step-ca", "step-ca: X.509 and SSH certificates, by their serials", stepca.Inspect, stepca.Questions, func(r *Registry, c Configured) (Connector, fault.Problems) {
			return made(stepca.New(c.Config, stepca.Config{
				Name: c.Name, Secrets: c.Secrets, Now: r.config.Now, Outgoing: r.config.Outgoing, Seen: r.config.Seen,
			}))
		}},
	}
}

// made is what a kind's New gives: nil and its problems, where there are any.
func made[C Connector](c C, problems fault.Problems) (Connector, fault.Problems) {
	if len(problems) > 0 {
		return nil, problems
	}
	return c, nil
}

// Kinds are the names of all kinds.
func Kinds() []string {
	var names []string
	for _, k := range kinds() {
		names = append(names, k.name)
	}
	return names
}

func kindOf(name string) (kind, error) {
	for _, k := range kinds() {
		if k.name == name {
			return k, nil
		}
	}
	return kind{}, fault.New(fault.Invalid, "there is no kind of connector %q (there are %v)", name, Kinds())
}

// Configured is one connector as it is stored, its secrets opened.
type Configured struct {
	Name    string
	Kind    string
	Config  string
	Secrets map[string]string
	// Err says why the secrets cannot be had.
	Err error
}

// Config is what NewRegistry needs.
type Config struct {
	// Load reads all configured connectors.
	Load func(ctx context.Context) ([]Configured, error)
	// Held gives the token of a credential that the server holds.
	Held func(ctx context.Context, credentialID string) (string, error)
	// Seen gives the certificates that were ever seen on a device, and whether it
	// has answered a cut.
	Seen stepca.Seen
	// Lists keeps revocation lists that the server publishes itself.
	Lists sshkrl.Lists
	Now   func() time.Time
	Log   *slog.Logger
	// Outgoing is for tests; zero otherwise.
	Outgoing outgoing.Config
}

// Registry holds the configured connectors. Reload replaces them as a whole;
// until then it has none. Its methods never wait for a provider, save Revoke,
// Confirm and Check.
type Registry struct {
	config Config
	reload sync.Mutex
	all    atomic.Pointer[map[string]entry]
}

// entry is a connector, or why its file is of no use.
type entry struct {
	connector  Connector
	configured Configured
	problems   fault.Problems
}

// NewRegistry makes an empty registry; call Reload.
func NewRegistry(config Config) (*Registry, error) {
	if config.Load == nil || config.Held == nil || config.Seen == nil || config.Lists == nil || config.Now == nil || config.Log == nil {
		return nil, errors.New("connector registry: Load, Held, Seen, Lists, Now and Log are required")
	}
	r := &Registry{config: config}
	r.all.Store(&map[string]entry{})
	return r, nil
}

// Reload reads the configured connectors anew: at start and after each change.
// One whose file cannot be read stops alone: it plans nothing it could do.
// Those that did not change keep their connections and their rate limits.
func (r *Registry) Reload(ctx context.Context) error {
	r.reload.Lock()
	defer r.reload.Unlock()
	list, err := r.config.Load(ctx)
	if err != nil {
		return fmt.Errorf("load connectors: %w", err)
	}
	old, next := *r.all.Load(), map[string]entry{}
	for _, c := range list {
		if e, ok := old[c.Name]; ok && e.connector != nil && same(e.configured, c) {
			next[c.Name] = e
			continue
		}
		e := entry{configured: c}
		if k, err := kindOf(c.Kind); c.Err != nil {
			e.problems = config.Whole("its secrets cannot be opened")
		} else if err != nil {
			e.problems = config.Whole("%s", fault.Sentence(err))
		} else {
			e.connector, e.problems = k.make(r, c)
		}
		if len(e.problems) > 0 {
			e.connector = nil
			r.config.Log.WarnContext(ctx, "connector cannot be used", "connector", c.Name, "problem", e.problems[0].String())
		}
		next[c.Name] = e
	}
	r.all.Store(&next)
	for name, e := range old {
		if e.connector != nil && next[name].connector != e.connector {
			e.connector.Close()
		}
	}
	return nil
}

func same(a, b Configured) bool {
	if a.Kind != b.Kind || a.Config != b.Config || len(a.Secrets) != len(b.Secrets) {
		return false
	}
	for k, v := range a.Secrets {
		if b.Secrets[k] != v {
			return false
		}
	}
	return true
}

// Check says what is wrong with a connector's file, and which product it is
// for. secrets are the names of those handed in with it; nil leaves them out of
// the question. It asks nobody.
func (r *Registry) Check(kindName, text string, secrets []string) (product string, problems fault.Problems) {
	k, err := kindOf(kindName)
	if err != nil {
		return "", config.Whole("%s", fault.Sentence(err))
	}
	product, needed, problems := k.inspect(text)
	if len(problems) > 0 || secrets == nil {
		return product, problems
	}
	problems = config.Lack(needed, func(name string) bool { return slices.Contains(secrets, name) })
	for _, name := range secrets {
		if !slices.Contains(needed, name) && !slices.Contains(needed, name+config.MayLack) {
			problems = append(problems, config.Whole("secret %q is given, but the file names none such", name)...)
		}
	}
	return product, problems
}

// Changed reloads after a change, before it returns: a cut that is opened next
// must find the connector that was added last. It waits for the database only.
func (r *Registry) Changed() {
	ctx, cancel := context.WithTimeout(context.Background(), reloadTimeout)
	defer cancel()
	if err := r.Reload(ctx); err != nil {
		r.config.Log.ErrorContext(ctx, "connectors not reloaded", "err", err)
	}
}

// reloadTimeout bounds one reading of the configured connectors.
const reloadTimeout = 10 * time.Second

// Names lists the configured connectors, also those of no use.
func (r *Registry) Names() []string {
	var names []string
	for name := range *r.all.Load() {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Product is the provider's name as people know it; "" if name is of no use.
func (r *Registry) Product(name string) string {
	if c := r.get(name); c != nil {
		return c.Product()
	}
	return ""
}

// Problems says why a configured connector is of no use.
func (r *Registry) Problems(name string) fault.Problems { return (*r.all.Load())[name].problems }

func (r *Registry) get(name string) Connector { return (*r.all.Load())[name].connector }

// Plan says what the named connector would revoke for s. It asks nobody. One
// whose file cannot be read says that it is out of reach: for all we know it
// would have revoked something.
func (r *Registry) Plan(_ context.Context, name string, s revoke.Subject) ([]revoke.Spec, error) {
	e, ok := (*r.all.Load())[name]
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no connector %q", name)
	}
	if e.connector == nil {
		return []revoke.Spec{{
			Connector: name, Action: "unreadable", Target: "everything at " + name, Scope: revoke.ScopeSessions, Undo: revoke.UndoNone,
			Unsupported: true, Detail: "connector-file-unreadable", Residual: revoke.Residual{Unbounded: true},
		}}, nil
	}
	return e.connector.Plan(s), nil
}

// UndoSpecs says what undoes a step.
func (r *Registry) UndoSpecs(s revoke.Step) []revoke.Spec {
	if c := r.get(s.Connector); c != nil {
		return c.UndoSpecs(s)
	}
	return nil
}

// Revoke does a step. A connector that was removed, or is of no use, blocks it.
func (r *Registry) Revoke(ctx context.Context, s revoke.Step) revoke.Result {
	if c := r.get(s.Connector); c != nil {
		return c.Revoke(ctx, s)
	}
	return revoke.Result{Outcome: revoke.Blocked, Detail: "connector-not-usable", Residual: s.Residual}
}

// Confirm confirms a step.
func (r *Registry) Confirm(ctx context.Context, s revoke.Step) revoke.Result {
	if c := r.get(s.Connector); c != nil {
		return c.Confirm(ctx, s)
	}
	return revoke.Result{Outcome: revoke.Blocked, Detail: "connector-not-usable", Residual: s.Residual, Done: true}
}

// Parallel is how many steps of the named connector may be under way at once.
func (r *Registry) Parallel(name string) int {
	if c := r.get(name); c != nil {
		return c.Parallel()
	}
	return 1
}

// Test tries everything of the named connector that changes nothing.
func (r *Registry) Test(ctx context.Context, name string) ([]config.Finding, error) {
	e, ok := (*r.all.Load())[name]
	if !ok {
		return nil, fault.New(fault.NotFound, "there is no connector %q", name)
	}
	if e.connector == nil {
		var all []config.Finding
		for _, p := range e.problems {
			all = append(all, config.Finding{Name: "file", Detail: p.String()})
		}
		return all, nil
	}
	return e.connector.Check(ctx), nil
}

// Requests prints what a step would send, where the kind can tell.
func (r *Registry) Requests(s revoke.Step) []string {
	type printer interface{ Requests(revoke.Step) []string }
	if p, ok := r.get(s.Connector).(printer); ok {
		return p.Requests(s)
	}
	return nil
}

// ServeHTTP serves what a connector publishes, below /krl/NAME/. Nobody needs
// to sign in for it.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	name, file, ok := strings.Cut(strings.TrimPrefix(req.URL.Path, "/krl/"), "/")
	h, publishes := r.get(name).(http.Handler)
	if !ok || !publishes || file != "list" && file != "list.sig" {
		http.NotFound(w, req)
		return
	}
	h.ServeHTTP(w, req)
}
