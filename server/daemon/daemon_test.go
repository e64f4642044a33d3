package daemon_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/daemon"
	"cutoff/server/store"
)

// running is a whole server in this process.
type running struct {
	t       *testing.T
	data    string
	notices *bytes.Buffer
	Agents  string
	Console string
	Admin   string
	stop    func() error
}

func config(data string) daemon.Config {
	return daemon.Config{
		Data: data, Agents: "127.0.0.1:0", Console: "127.0.0.1:0", Version: "test", Log: slog.New(slog.DiscardHandler),
	}
}

func start(t *testing.T, data string) *running {
	t.Helper()
	server, err := daemon.Open(t.Context(), config(data))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	r := &running{t: t, data: data, notices: &bytes.Buffer{}}
	go func() { ended <- server.Run(ctx, in, r.notices) }()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(line, r); err != nil {
		t.Fatal(err)
	}
	var stopped bool
	r.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(20 * time.Second):
			return errors.New("not stopped within 20 s")
		}
	}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// tls trusts the server's CA.
func (r *running) tls() *tls.Config {
	r.t.Helper()
	pem, err := os.ReadFile(filepath.Join(r.data, "keys", "ca.crt"))
	if err != nil {
		r.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		r.t.Fatal("no certificate in ca.crt")
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool}
}

func (r *running) address() string { return strings.TrimPrefix(r.Console, "https://") }

// socket is a client over the admin socket.
func (r *running) socket() cutoffv1.AdminServiceClient {
	r.t.Helper()
	return r.client("unix:"+r.Admin, insecure.NewCredentials())
}

func (r *running) client(target string, creds credentials.TransportCredentials) cutoffv1.AdminServiceClient {
	r.t.Helper()
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(creds))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = conn.Close() })
	return cutoffv1.NewAdminServiceClient(conn)
}

func (r *running) key(role string) string {
	r.t.Helper()
	resp, err := r.socket().CreateAPIKey(r.t.Context(), &cutoffv1.CreateAPIKeyRequest{Name: "k-" + role, Role: role})
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.GetApiKey()
}

// get answers a JSON request's status and body.
func (r *running) do(method, path, key, body string) (int, string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.Console+path, strings.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	client := &http.Client{
		Transport:     &http.Transport{TLSClientConfig: r.tls(), ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestTheJSONAPINeedsAKeyOfTheRightRole(t *testing.T) {
	t.Parallel()
	r := start(t, filepath.Join(t.TempDir(), "d"))
	viewer, admin := r.key("viewer"), r.key("admin")
	for _, c := range []struct {
		name, method, path, key, body string
		want                          int
		holds                         string
	}{
		{"no key", "GET", "/v1/devices", "", "", 401, "API key is required"},
		{"a wrong key", "GET", "/v1/devices", "cutoff_key_nonsense", "", 401, ""},
		{"neither key nor session", "GET", "/v1/devices", "nonsense", "", 401, "neither an API key"},
		{"a viewer reads", "GET", "/v1/devices", viewer, "", 200, `"devices":[]`},
		{"a viewer may not cut", "POST", "/v1/cuts", viewer, `{"device":"x","level":"seal","reason":"y"}`, 403, "may not"},
		{"a viewer may not set groups", "PATCH", "/v1/groups/eng", viewer, `{}`, 403, ""},
		{"an admin sets groups", "PATCH", "/v1/groups/eng", admin, `{"warn_ms":"3600000"}`, 200, `"warn_ms":"3600000"`},
		{"an unknown field", "POST", "/v1/cuts", admin, `{"devise":"x"}`, 400, ""},
		{"no JSON", "POST", "/v1/cuts", admin, `{`, 400, ""},
		{"a device that is not there", "GET", "/v1/devices/absent", admin, "", 404, ""},
		{"no such path", "GET", "/v1/nonsense", admin, "", 404, ""},
		{"too large", "POST", "/v1/cuts", admin, strings.Repeat("x", 5<<20), 413, ""},
		{"the console", "GET", "/", "", "", 303, ""},
	} {
		got, body := r.do(c.method, c.path, c.key, c.body)
		// The encoder puts blanks where it likes.
		if plain := strings.ReplaceAll(body, `": `, `":`); got != c.want || !strings.Contains(plain, c.holds) {
			t.Errorf("%s: got %d %s, want %d with %q", c.name, got, body, c.want, c.holds)
		}
	}
}

func TestGRPCOnTheConsolesListenerNeedsAKey(t *testing.T) {
	t.Parallel()
	r := start(t, filepath.Join(t.TempDir(), "d"))
	client := r.client(r.address(), credentials.NewTLS(r.tls()))
	_, err := client.ListDevices(t.Context(), &cutoffv1.ListDevicesRequest{})
	if status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a key: got %v, want Unauthenticated", err)
	}
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+r.key("viewer"))
	if _, err := client.ListDevices(ctx, &cutoffv1.ListDevicesRequest{}); err != nil {
		t.Errorf("with a key: %v", err)
	}
	_, err = client.CreateToken(ctx, &cutoffv1.CreateTokenRequest{})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("a viewer made a token: got %v, want PermissionDenied", err)
	}
}

func TestGarbageOnBothPortsIsAnsweredByClosing(t *testing.T) {
	t.Parallel()
	r := start(t, filepath.Join(t.TempDir(), "d"))
	garbage := make([]byte, 10<<20)
	_, _ = rand.Read(garbage)
	for _, address := range []string{r.Agents, r.address()} {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = conn.Write(garbage)
		_, err = io.Copy(io.Discard, conn)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%s kept the connection open", address)
		}
		_ = conn.Close()
	}
	if code, _ := r.do("GET", "/login", "", ""); code != 200 {
		t.Errorf("the console answers %d afterwards", code)
	}
}

func TestTheFirstStartNamesTheSetupCodesFileAndNeverTheCode(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "d")
	r := start(t, data)
	path := filepath.Join(data, "setup-code")
	code, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("setup-code has mode %v, want 0600", info.Mode())
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if text := r.notices.String(); !strings.Contains(text, path) || strings.Contains(text, strings.TrimSpace(string(code))) {
		t.Errorf("the notice is %q, want the file's path and not the code", text)
	}
	r = start(t, data)
	again, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(again, code) {
		t.Errorf("a second start changed the code (%v)", err)
	}
	_, err = r.socket().CreateUser(t.Context(), &cutoffv1.CreateUserRequest{
		Name: "alice", Password: "correct horse battery", Role: "admin",
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the code's file outlived the first account: %v", err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	start(t, data)
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the code's file is still there although there is an admin: %v", err)
	}
}

func TestTheDataDirectoryIsPrivate(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "d")
	start(t, data)
	for name, want := range map[string]os.FileMode{".": 0o700, "admin.sock": 0o600, "cutoff.db": 0o600, "lock": 0o600} {
		info, err := os.Stat(filepath.Join(data, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode().Perm(), err, want)
		}
	}
}

func TestNoFileOfTheServerIsForOthers(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "d")
	r := start(t, data)
	check := func() {
		t.Helper()
		for _, name := range []string{"cutoff.db", "cutoff.db-wal", "cutoff.db-shm", "queue.db", "queue.db-wal", "queue.db-shm"} {
			info, err := os.Stat(filepath.Join(data, name))
			if err == nil && info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v, want 0600", name, info.Mode().Perm())
			}
		}
	}
	check()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(data, "queue.db")); err != nil {
		t.Fatal(err)
	}
	check()
	// As an earlier release left it.
	if err := os.Chmod(filepath.Join(data, "queue.db"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := start(t, data).stop(); err != nil {
		t.Fatal(err)
	}
	check()
}

func TestTheEvidenceLogsEndIsNotedBesideTheDatabase(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "d")
	r := start(t, data)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(data, "evidence.mark"))
	if err != nil || info.Mode().Perm() != 0o600 || info.Size() == 0 {
		t.Errorf("got %v, %v", info, err)
	}
}

func TestADatabaseThatIsNoneOrIsNewerIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "d")
	r := start(t, data)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(data, "cutoff.db")
	garbage := bytes.Repeat([]byte("this is not a database. "), 1000)
	if err := os.WriteFile(path, garbage, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := daemon.Open(t.Context(), config(data))
	if err == nil || !strings.Contains(err.Error(), "restore it from its backup") {
		t.Errorf("got %v, want a hint at the backup", err)
	}
	left, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(left, garbage) {
		t.Errorf("the file was changed (%v)", err)
	}
}

func TestALostDatabaseIsNotBegunAnew(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "d")
	if err := start(t, data).stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(data, "cutoff.db")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	_, err := daemon.Open(t.Context(), config(data))
	if err == nil || !strings.Contains(err.Error(), "restore it from its backup") {
		t.Errorf("got %v, want a hint at the backup", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a new database was made: %v", err)
	}
}

func TestADamagedDatabaseIsRefusedWithAHint(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "d")
	if err := start(t, data).stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(data, "cutoff.db"), 100_000); err != nil {
		t.Fatal(err)
	}
	_, err := daemon.Open(t.Context(), config(data))
	if err == nil || !strings.Contains(err.Error(), "the file is damaged; restore it from its backup") {
		t.Errorf("got %v, want a hint at the backup", err)
	}
}

func TestADatabaseOfANewerReleaseIsRefused(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "d")
	if err := start(t, data).stop(); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), filepath.Join(data, "cutoff.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Write().ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, 1)")
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err = daemon.Open(t.Context(), config(data)); !errors.Is(err, store.ErrNewer) {
		t.Errorf("got %v, want ErrNewer", err)
	}
}

func TestADatabaseThatAnotherProgramHoldsIsRefusedWithAHint(t *testing.T) {
	t.Parallel()
	data := filepath.Join(t.TempDir(), "d")
	if err := start(t, data).stop(); err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), filepath.Join(data, "cutoff.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	tx, err := db.Write().BeginTx(t.Context(), nil) // immediate: it holds the write lock
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	_, err = daemon.Open(t.Context(), config(data))
	if err == nil || !strings.Contains(err.Error(), "another program has the database open") {
		t.Errorf("got %v, want a hint at the other program", err)
	}
}

func TestAStopTellsWhoWaitsAndIsQuick(t *testing.T) {
	t.Parallel()
	r := start(t, filepath.Join(t.TempDir(), "d"))
	// A slow reader of the console must not hold the stop up.
	conn, err := tls.Dial("tcp", r.address(), r.tls())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /login HTTP/1.1\r\nHost: x\r\n"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 9*time.Second {
		t.Errorf("the stop took %s", took)
	}
	if _, err := os.Lstat(r.Admin); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}
