// Package daemon puts the server together and runs it: it opens the data
// directory, keys, database and listeners, hands each part what it needs, and
// stops them in order. It must not decide anything about devices or cuts.
package daemon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"

	"cutoff/server/api"
	"cutoff/server/ca"
	"cutoff/server/config"
	"cutoff/server/connector"
	"cutoff/server/console"
	"cutoff/server/device"
	"cutoff/server/flow"
	"cutoff/server/queue"
	"cutoff/server/store"
)

// Config is what the command line says.
type Config struct {
	// Data is the data directory.
	Data string
	// Agents and Console are addresses to listen on.
	Agents  string
	Console string
	// ConsoleURL is how people reach the console, if not by Console.
	ConsoleURL string
	// ConsoleCert and ConsoleKey are PEM files; both or none.
	ConsoleCert string
	ConsoleKey  string
	// Database must be empty: SQLite in Data.
	Database string
	Version  string
	Log      *slog.Logger
	// Level, if set, follows the configuration file.
	Level *slog.LevelVar
}

// Server is a server that is ready to run: everything that can be wrong at a
// start has been looked at, and its addresses are taken. Run runs it, once.
type Server struct {
	config   Config
	settings config.Config
	log      *slog.Logger
	dir      *dataDir

	authority *ca.Authority
	store     *store.Store
	// stopStore ends the writer, which has to outlive whatever writes.
	stopStore context.CancelFunc
	stored    chan error

	flow     *flow.Flow
	hub      *api.Hub
	registry *connector.Registry
	lists    flow.Lists
	queue    *queue.Queue
	console  *console.Console

	agents  *grpc.Server
	socket  *grpc.Server
	network *grpc.Server
	handler *api.Handler
	web     *http.Server

	agentsAt  net.Listener
	socketAt  net.Listener
	consoleAt net.Listener
}

// Open opens everything the server needs, in the order in which one part needs
// another. An error is something the operator has to mend.
func Open(ctx context.Context, from Config) (server *Server, err error) {
	s := &Server{config: from, log: from.Log}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	for _, step := range []func(context.Context) error{
		s.openDir, s.readSettings, s.openKeys, s.openStore, s.openFlow, s.openServers, s.listen,
	} {
		if err := step(ctx); err != nil {
			return nil, mendable(err)
		}
	}
	return s, nil
}

func (s *Server) openDir(context.Context) (err error) {
	s.dir, err = openDir(s.config.Data)
	return err
}

func (s *Server) readSettings(context.Context) (err error) {
	if s.settings, err = config.Load(s.dir.file(configFile)); err != nil {
		return err
	}
	if s.config.Level != nil {
		s.config.Level.Set(s.settings.Log.Level)
	}
	return nil
}

func (s *Server) openKeys(context.Context) (err error) {
	if err := s.dir.whole(); err != nil {
		return err
	}
	s.authority, err = ca.Open(s.dir.path, time.Now())
	return err
}

func (s *Server) openStore(ctx context.Context) (err error) {
	// Made here, so that it and what SQLite puts beside it are the owner's alone.
	file, err := os.OpenFile(s.dir.file(databaseFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	_ = file.Close()
	if s.store, err = store.Open(ctx, s.dir.file(databaseFile)); err != nil {
		return err
	}
	var run context.Context
	run, s.stopStore = context.WithCancel(context.WithoutCancel(ctx))
	s.stored = make(chan error, 1)
	go func() { s.stored <- s.store.Run(run) }()
	return nil
}

func (s *Server) openFlow(ctx context.Context) (err error) {
	vault, err := ca.OpenVault(s.dir.path)
	if err != nil {
		return err
	}
	s.hub = api.NewHub(s.log)
	hint := queue.NewHint()
	s.registry, err = connector.NewRegistry(connector.Config{
		Load: s.configured,
		Held: func(ctx context.Context, id string) (string, error) { return s.flow.HeldToken(ctx, id) },
		Seen: func(ctx context.Context, cutID, deviceID string) ([]device.Certificate, bool, error) {
			return s.flow.SeenCertificates(ctx, cutID, deviceID)
		},
		Lists: &s.lists,
		Now:   time.Now, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.flow = flow.New(store.Flow{Store: s.store}, flow.Config{
		Signers: s.authority.Signers(), Hub: s.hub, Now: time.Now, Log: s.log,
		Authority: s.authority, Vault: vault, DataKey: s.authority.DataKey(), EscrowBackups: s.settings.Escrow.Backups,
		TrustDomain: s.authority.TrustDomain(), Registry: s.registry,
		Connectors: s.registry, Queue: hint, Devices: s.hub, Brake: brake(s.settings.Brake),
		Mark: markAt(s.dir.file(markFile)), SetUp: s.dropSetupCode,
		Addresses: flow.Addresses{Servers: s.settings.Agents.Addresses, Mirrors: s.settings.Agents.Mirrors},
	})
	s.lists.Flow = s.flow
	builtIn := config.Default()
	if err := s.flow.NoteSettings(ctx, s.settings.Limits(), builtIn.Limits()); err != nil {
		return err
	}
	if err := s.flow.ReapplyShredding(ctx); err != nil {
		return err
	}
	// Before anything can ask for a cut: the server may have been away for long.
	if err := s.flow.Beat(ctx); err != nil {
		return err
	}
	if err := s.registry.Reload(ctx); err != nil {
		return err
	}
	s.queue, err = queue.New(queue.Config{
		File: s.dir.file(queueFile), Steps: s.flow, Connectors: connectors{s.registry, s.flow.Shred}, Hint: hint,
		Used: s.used, Now: time.Now, Log: s.log,
	})
	return err
}

// configured are the connectors as the registry wants them.
func (s *Server) configured(ctx context.Context) ([]connector.Configured, error) {
	open, err := s.flow.OpenConnectors(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]connector.Configured, len(open))
	for i, c := range open {
		all[i] = connector.Configured{Name: c.Name, Kind: c.Kind, Config: c.Config, Secrets: c.Secrets, Err: c.Err}
	}
	return all, nil
}

// used notes how a connector did.
func (s *Server) used(ctx context.Context, name string, ok bool, detail string) {
	health := flow.HealthFailing
	if ok {
		health = flow.HealthOK
	}
	if err := s.flow.ConnectorUsed(ctx, name, health, detail); err != nil {
		s.log.WarnContext(ctx, "note how a connector did", "connector", name, "err", err)
	}
}

func (s *Server) openServers(ctx context.Context) error {
	admin := api.AdminConfig{
		Flow: s.flow, Connectors: tester{s.registry, s.flow.ConnectorChecked}, Bearer: bearer{s.flow}, Now: time.Now, Log: s.log,
	}
	certificate := s.authority.Agents(time.Now, append(names(s.config.Agents), s.settings.Agents.Names...)...)
	s.agents = api.NewAgentServer(api.AgentConfig{
		Flow: s.flow, Hub: s.hub, Log: s.log,
		Trust: api.Trust{
			Domain: s.authority.TrustDomain(), Roots: poolOf(s.authority.Certificate()), Now: time.Now,
			Certificate: func() (*tls.Certificate, error) { return certificate.GetCertificate(nil) },
		},
	})
	s.socket = api.NewSocketServer(admin)
	s.network = api.NewNetworkServer(admin)
	var err error
	s.console, err = console.New(console.Config{
		Admin: api.NewAdmin(admin), Auth: s.flow, Watch: s.flow, WithActor: api.WithActor, May: api.May,
		Now: time.Now, Log: s.log,
	})
	if err != nil {
		return err
	}
	if s.handler, err = api.NewHandler(ctx, s.network, published{s.registry, s.console}); err != nil {
		return err
	}
	serving, err := s.consoleCertificate()
	if err != nil {
		return err
	}
	s.web = api.NewConsoleServer(s.handler, serving, s.log)
	return nil
}

// consoleCertificate is the one given, or one from the server's own CA.
func (s *Server) consoleCertificate() (func() (*tls.Certificate, error), error) {
	if s.config.ConsoleCert == "" {
		hosts := names(s.config.Console)
		if u, err := url.Parse(s.config.ConsoleURL); err == nil && u.Hostname() != "" {
			hosts = append(hosts, u.Hostname())
		}
		own := s.authority.Console(time.Now, hosts...)
		return func() (*tls.Certificate, error) { return own.GetCertificate(nil) }, nil
	}
	given := &certificateFiles{cert: s.config.ConsoleCert, key: s.config.ConsoleKey, now: time.Now, log: s.log}
	if err := given.load(); err != nil {
		return nil, fmt.Errorf("console certificate: %w", err)
	}
	return given.get, nil
}

func (s *Server) listen(context.Context) (err error) {
	if s.agentsAt, err = listenTCP("--agents", s.config.Agents); err != nil {
		return err
	}
	s.agentsAt = api.Limited(s.agentsAt, maxAgents())
	if s.consoleAt, err = listenTCP("--console", s.config.Console); err != nil {
		return err
	}
	s.consoleAt = api.Limited(s.consoleAt, maxConsole)
	s.socketAt, err = api.ListenSocket(s.dir.file(socketFile))
	return err
}

// close lets go of what Open took; nothing of it may be in use.
func (s *Server) close() {
	for _, l := range []net.Listener{s.agentsAt, s.consoleAt, s.socketAt} {
		if l != nil {
			_ = l.Close()
		}
	}
	if s.console != nil {
		s.console.Close()
	}
	if s.stopStore != nil {
		s.lastCheckpoint()
		s.stopStore()
		if err := <-s.stored; err != nil {
			s.log.Error("database writer", "err", err)
		}
	}
	if s.store != nil {
		if err := s.store.Close(); err != nil {
			s.log.Error("close database", "err", err)
		}
	}
	if s.dir != nil {
		s.dir.close()
	}
}

// lastCheckpoint keeps what was said last and signs for what was recorded.
func (s *Server) lastCheckpoint() {
	if s.flow == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), checkpointTime)
	defer cancel()
	s.keepReceived(ctx, true)
	if err := s.flow.MarkEvidence(ctx); err != nil {
		s.log.ErrorContext(ctx, "sign the last checkpoint", "err", err)
	}
}

// checkpointTime bounds signing the last checkpoint.
const checkpointTime = 3 * time.Second

func poolOf(certs ...*x509.Certificate) *x509.CertPool {
	pool := x509.NewCertPool()
	for _, c := range certs {
		pool.AddCert(c)
	}
	return pool
}

// names are those a certificate for addr carries: what it says, this machine's
// name and the loopback ones.
func names(addr string) []string {
	all := []string{"localhost", "127.0.0.1", "::1"}
	if host, _, err := net.SplitHostPort(addr); err == nil && !unspecified(host) {
		all = append(all, host)
	}
	if host, err := os.Hostname(); err == nil {
		all = append(all, host)
	}
	return all
}

func unspecified(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || (ip != nil && ip.IsUnspecified())
}

// mendable adds what an operator can do about a database error.
func mendable(err error) error {
	text := err.Error()
	switch {
	case errors.Is(err, store.ErrNewer):
		return err
	case strings.Contains(text, "SQLITE_BUSY") || strings.Contains(text, "database is locked"):
		return fmt.Errorf("%w (another program has the database open; close it and start again)", err)
	case strings.Contains(text, "SQLITE_FULL") || strings.Contains(text, "disk is full"):
		return fmt.Errorf("%w (make room on its disk and start again; nothing was lost)", err)
	case strings.Contains(text, "SQLITE_NOTADB") || strings.Contains(text, "SQLITE_CORRUPT") ||
		strings.Contains(text, "not a database") || strings.Contains(text, "image is malformed"):
		return fmt.Errorf("%w (the file is damaged; restore it from its backup)", err)
	default:
		return err
	}
}
