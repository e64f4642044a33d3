package api

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"

	gateway "cutoff/proto/cutoff/v1/gateway"
)

const (
	// headerTime and bodyTime bound how long a request may take to arrive.
	headerTime     = 10 * time.Second
	bodyTime       = 30 * time.Second
	idleTime       = 2 * time.Minute
	maxHTTPHeaders = 32 << 10
)

// Handler is what the console's listener serves: gRPC and JSON for callers with
// an API key, and the console for people. NewHandler makes one; Run must run
// for JSON to be answered.
type Handler struct {
	admin   *grpc.Server
	pipe    *bufconn.Listener
	conn    *grpc.ClientConn
	json    http.Handler
	console http.Handler
}

// NewHandler serves admin as gRPC and, below /v1/, as JSON; everything else is
// the console's.
func NewHandler(ctx context.Context, admin *grpc.Server, console http.Handler) (*Handler, error) {
	pipe := bufconn.Listen(256 << 10)
	conn, err := grpc.NewClient("passthrough:///admin",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
	)
	if err != nil {
		return nil, fmt.Errorf("reach the admin service: %w", err)
	}
	mux := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, &runtime.JSONPb{
			MarshalOptions:   protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true},
			UnmarshalOptions: protojson.UnmarshalOptions{DiscardUnknown: false},
		}),
		// Of what a caller sends only the key goes on; nothing may be passed off
		// as metadata of the server's own.
		runtime.WithIncomingHeaderMatcher(func(string) (string, bool) { return "", false }),
		runtime.WithOutgoingHeaderMatcher(func(string) (string, bool) { return "", false }),
	)
	if err := gateway.RegisterAdminServiceHandler(ctx, mux, conn); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("mount the JSON API: %w", err)
	}
	return &Handler{admin: admin, pipe: pipe, conn: conn, json: mux, console: console}, nil
}

// Run serves the JSON API's way to the admin service until ctx ends.
func (h *Handler) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		_ = h.conn.Close()
		_ = h.pipe.Close()
	})
	defer stop()
	err := h.admin.Serve(h.pipe)
	if ctx.Err() != nil || errors.Is(err, grpc.ErrServerStopped) {
		return nil
	}
	return fmt.Errorf("serve the JSON API: %w", err)
}

// ServeHTTP is http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc"):
		h.admin.ServeHTTP(w, r)
	case r.URL.Path == "/v1" || strings.HasPrefix(r.URL.Path, "/v1/"):
		h.serveJSON(w, r)
	default:
		secure(w.Header())
		if bounded(w, r, maxConsole) {
			h.console.ServeHTTP(w, r)
		}
	}
}

// maxConsole bounds a form of the console.
const maxConsole = 1 << 20

func (h *Handler) serveJSON(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	secure(header)
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	header.Set("Cache-Control", "no-store")
	if r.Header.Get("Authorization") == "" {
		header.Set("WWW-Authenticate", `Bearer realm="cutoff"`)
		header.Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w,
			`{"code":16,"message":"an API key is required: Authorization: Bearer KEY","details":[]}`+"\n")
		return
	}
	if bounded(w, r, maxAdmin) {
		h.json.ServeHTTP(w, r)
	}
}

// secure sets what every answer carries; the console adds its own policy.
func secure(header http.Header) {
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Frame-Options", "DENY")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Strict-Transport-Security", "max-age=31536000")
}

// bounded reads the body, if any, in bounded time and size, so that no handler
// waits for a slow caller and answers may take as long as they need.
func bounded(w http.ResponseWriter, r *http.Request, size int64) bool {
	if r.Body == nil || r.Body == http.NoBody {
		return true
	}
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyTime)) // HTTP/2 has it too; else the body is in memory
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, size))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		http.Error(w, "the request is too large", http.StatusRequestEntityTooLarge)
		return false
	case err != nil:
		http.Error(w, "the request did not arrive whole", http.StatusBadRequest)
		return false
	}
	_ = control.SetReadDeadline(time.Time{})
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	return true
}

// NewConsoleServer is the HTTPS server around handler. Certificates are
// answered by certificate, so that a renewed one needs no restart.
func NewConsoleServer(
	handler http.Handler, certificate func() (*tls.Certificate, error), log *slog.Logger,
) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHTTPHeaders,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		TLSConfig: &tls.Config{
			MinVersion: tls.VersionTLS13,
			NextProtos: []string{"h2", "http/1.1"},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
				return certificate()
			},
		},
	}
}
