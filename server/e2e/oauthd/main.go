// Command cutoff-oauthd is the OAuth server of the demo: zitadel/oidc's
// provider with its in-memory storage, one user, one client, and the admin
// endpoint a company's own identity provider would have: list a user's
// sessions, end them all. It lives in a module of its own, so that the product
// does not depend on it. It is for trials on the loopback address only.
package main

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/zitadel/oidc/v3/example/server/exampleop"
	"github.com/zitadel/oidc/v3/example/server/storage"
	"github.com/zitadel/oidc/v3/pkg/op"
	"golang.org/x/text/language"
)

// Ready is the one line on stdout once the server answers.
type Ready struct {
	Issuer string `json:"issuer"`
	Admin  string `json:"admin"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "cutoff-oauthd:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:0", "loopback address to listen on")
	user := flag.String("user", "alice@example.com", "the one user's e-mail address")
	redirect := flag.String("redirect", "http://127.0.0.1:9/callback", "the client's redirect URI")
	flag.Parse()
	password, client, admin := os.Getenv("OAUTHD_PASSWORD"), os.Getenv("OAUTHD_CLIENT_SECRET"), os.Getenv("OAUTHD_ADMIN_TOKEN")
	if password == "" || client == "" || admin == "" {
		return errors.New("set OAUTHD_PASSWORD, OAUTHD_CLIENT_SECRET and OAUTHD_ADMIN_TOKEN")
	}
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	if !ln.Addr().(*net.TCPAddr).IP.IsLoopback() {
		return errors.New("only the loopback address is served")
	}
	issuer := "http://" + ln.Addr().String() + "/"
	storage.RegisterClients(storage.WebClient("laptop-app", client, *redirect), storage.NativeClient("laptop-cli", *redirect))
	store := &sessions{started: map[string]time.Time{}, Storage: storage.NewStorage(oneUser{&storage.User{
		ID: "u1", Username: *user, Password: password, Email: *user, EmailVerified: true,
		FirstName: "Alice", LastName: "Example", PreferredLanguage: language.English,
	}})}
	mux := http.NewServeMux()
	mux.Handle("/admin/", store.admin(admin, *user))
	mux.Handle("/", exampleop.SetupServer(issuer, store, slog.New(slog.DiscardHandler), false))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() { <-ctx.Done(); _ = srv.Close() }()
	if err := json.NewEncoder(os.Stdout).Encode(Ready{Issuer: issuer, Admin: issuer + "admin"}); err != nil {
		return err
	}
	if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// oneUser is a user store of one.
type oneUser struct{ user *storage.User }

func (o oneUser) GetUserByID(id string) *storage.User {
	if id == o.user.ID {
		return o.user
	}
	return nil
}

func (o oneUser) GetUserByUsername(name string) *storage.User {
	if name == o.user.Username {
		return o.user
	}
	return nil
}

func (o oneUser) ExampleClientID() string { return "service" }

// sessions is the provider's storage, which also remembers the refresh tokens
// it gave out, so that the admin endpoint can list the live ones.
type sessions struct {
	*storage.Storage
	mu      sync.Mutex
	started map[string]time.Time
}

// CreateAccessAndRefreshTokens remembers the refresh token.
func (s *sessions) CreateAccessAndRefreshTokens(ctx context.Context, request op.TokenRequest, current string) (string, string, time.Time, error) {
	access, refresh, expires, err := s.Storage.CreateAccessAndRefreshTokens(ctx, request, current)
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.started, current)
		s.started[refresh] = time.Now()
	}
	return access, refresh, expires, err
}

// live counts the sessions whose refresh token the provider still takes.
func (s *sessions) live(ctx context.Context) []map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := []map[string]string{}
	for token, at := range s.started {
		if _, err := s.TokenRequestByRefreshToken(ctx, token); err != nil {
			delete(s.started, token)
			continue
		}
		list = append(list, map[string]string{"client": "laptop-app", "started": at.UTC().Format(time.RFC3339)})
	}
	return list
}

// admin serves GET /admin/users/{user}/sessions and POST
// /admin/users/{user}/end-sessions to who holds the admin token.
func (s *sessions) admin(token, user string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /admin/users/{user}/sessions", func(w http.ResponseWriter, r *http.Request) {
		answer(w, http.StatusOK, map[string]any{"sessions": s.live(r.Context())})
	})
	mux.HandleFunc("POST /admin/users/{user}/end-sessions", func(w http.ResponseWriter, r *http.Request) {
		if err := s.TerminateSession(r.Context(), "u1", "laptop-app"); err != nil {
			answer(w, http.StatusInternalServerError, map[string]any{"error": "terminate"})
			return
		}
		answer(w, http.StatusOK, map[string]any{"ended": true})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if subtle.ConstantTimeCompare([]byte(given), []byte(token)) != 1 {
			answer(w, http.StatusUnauthorized, map[string]any{"error": "unauthorized"})
			return
		}
		if parts := strings.Split(r.URL.Path, "/"); len(parts) > 3 && parts[3] != user {
			answer(w, http.StatusNotFound, map[string]any{"error": "no such user"})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
