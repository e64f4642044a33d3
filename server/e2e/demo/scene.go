package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"cutoff/server/e2e/stack"
	"cutoff/server/e2e/trial"
)

// The demo's one person and where she is known.
const (
	person   = "alice@example.com"
	hostname = "alice-laptop"
)

// scene is everything the demo runs.
type scene struct {
	stack   *stack.Stack
	dir     string
	laptop  *trial.Laptop
	before  map[string]trial.File
	keyring *stack.Keyring
	oauth   *stack.OAuth
	server  *stack.Server
	agent   *stack.Agent
	// password is the console administrator's.
	password string
	screen   screen
}

func newScene(bin, dir string) *scene {
	return &scene{stack: &stack.Stack{Bin: bin, Dir: dir}, dir: dir, screen: newScreen(os.Stdout)}
}

func (s *scene) close() {
	s.stack.Close()
	if s.keyring != nil {
		s.keyring.Close()
	}
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return hex.EncodeToString(b)
}

func (s *scene) setUp(ctx context.Context) error {
	s.screen.title("Cutoff demo")
	steps := []func(context.Context) error{s.makeLaptop, s.makeKeyring, s.startOAuth, s.startServer, s.configure, s.startAgent}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	s.before = s.laptop.Snapshot(filepath.Join(s.laptop.Root, "home"))
	return nil
}

func (s *scene) makeLaptop(context.Context) (err error) {
	root := filepath.Join(s.dir, "laptop")
	if s.laptop, err = trial.New(root); err != nil {
		return fmt.Errorf("make the scratch laptop: %w", err)
	}
	s.screen.done("scratch laptop", "%d users, %d files, %d secrets in them, below %s",
		len(s.laptop.Users), s.laptop.Files(), len(s.laptop.Secrets), root)
	return nil
}

func (s *scene) makeKeyring(ctx context.Context) error {
	alice := s.laptop.Users[0]
	keyring, err := stack.StartKeyring(ctx, s.laptop.Root, alice.Home, alice.UID)
	if errors.Is(err, stack.ErrNoKeyring) {
		s.screen.note("keyring", "left out: %v", err)
		return nil
	}
	if err != nil {
		return err
	}
	s.keyring = keyring
	for _, item := range keyringItems {
		if err := keyring.Store(ctx, item.label, random(20), item.attributes...); err != nil {
			return err
		}
	}
	s.screen.done("Secret Service", "gnome-keyring on a bus below the laptop: %d items", len(keyringItems))
	return nil
}

// keyringItem is one item of alice's keyring; mine marks the personal one that
// no cut may touch.
type keyringItem struct {
	label      string
	attributes []string
	mine       bool
}

var keyringItems = []keyringItem{
	{"GitHub CLI", []string{"service", "gh:github.com", "username", "alice-dev"}, false},
	{"Token for 'https://pypi.example.com/'", []string{"service", "https://pypi.example.com/", "username", "alice", "application", "Python keyring library"}, false},
	{"Diary", []string{"app", "diary", "owner", "alice"}, true},
}

func (s *scene) startOAuth(ctx context.Context) (err error) {
	s.oauth, err = s.stack.StartOAuth(ctx, person, random(12), random(16), random(24))
	if err != nil {
		return fmt.Errorf("start the identity provider: %w", err)
	}
	if err := s.oauth.SignIn(ctx); err != nil {
		return fmt.Errorf("sign %s in: %w", person, err)
	}
	if err := s.sessionLives(ctx); err != nil {
		return err
	}
	s.screen.done("identity provider", "%s (zitadel/oidc); %s is signed in from her laptop", s.oauth.Issuer, person)
	return nil
}

// sessionLives checks that both tokens of the session work.
func (s *scene) sessionLives(ctx context.Context) error {
	if err := s.oauth.Refresh(ctx); err != nil {
		return fmt.Errorf("the session does not work before the cut: %w", err)
	}
	if err := s.oauth.UserInfo(ctx); err != nil {
		return fmt.Errorf("the session does not work before the cut: %w", err)
	}
	return nil
}

func (s *scene) startServer(ctx context.Context) (err error) {
	s.server, err = s.stack.Serve(ctx, filepath.Join(s.dir, "server"), "--agents", "127.0.0.1:0", "--console", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.screen.done("server", "agents on %s, console on %s", s.server.Agents, s.server.Console)
	return nil
}

// connector is the declarative connector that ends a user's sessions at the
// demo's provider. Its address is on this machine, so it is allow-listed.
const connector = `use: oauth-admin
settings:
  base: %s
  access_token_life: 5m
allow: [127.0.0.1]
`

func (s *scene) configure(ctx context.Context) error {
	s.password = random(8)
	if err := s.server.CLI(ctx, s.password+"\n", nil, "user", "create", "admin", "--role", "admin", "--password-file", "-"); err != nil {
		return err
	}
	file := filepath.Join(s.dir, "oauth.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, connector, strings.TrimSuffix(s.oauth.Issuer, "/")), 0o600); err != nil {
		return err
	}
	if err := s.server.CLI(ctx, "token="+s.oauth.AdminToken+"\n", nil, "connector", "add", "company-sso", "--kind", "http", "--file", file, "--secrets-file", "-"); err != nil {
		return err
	}
	if err := s.server.CLI(ctx, "", nil, "person", "link", person, "--name", "Alice Example", "--account", "company-sso="+person); err != nil {
		return err
	}
	s.screen.done("connector", "company-sso ends a user's sessions at the identity provider")
	return nil
}

func (s *scene) startAgent(ctx context.Context) error {
	var made struct{ Token string }
	if err := s.server.CLI(ctx, "", &made, "token", "create", "--uses", "1", "--ttl", "1h"); err != nil {
		return err
	}
	state := filepath.Join(s.dir, "agent")
	if err := s.stack.Enroll(ctx, state, s.server.Agents, made.Token, s.laptop.Root); err != nil {
		return fmt.Errorf("enrol: %w", err)
	}
	var err error
	if s.agent, err = s.stack.RunAgent(ctx, state); err != nil {
		return err
	}
	if err := s.server.CLI(ctx, "", nil, "device", "assign", s.agent.DeviceID, "--person", person); err != nil {
		return err
	}
	if err := s.inventoried(ctx); err != nil {
		return err
	}
	s.screen.done("agent", "%s enrolled as %s, connected, inventory sent", hostname, s.agent.DeviceID)
	return nil
}
