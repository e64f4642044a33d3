package enroll

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"cutoff/agent/config"
	"cutoff/platform/host"
	"cutoff/platform/keystore"
	"cutoff/platform/users"
	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/proto/signed"
)

// Input is what enrolment needs.
type Input struct {
	// State is the state directory, made if it is not there.
	State config.Dir
	// Server is the address of the agents' listener, host:port, or several with
	// commas between.
	Server string
	// Token is the enrolment token's text.
	Token string
	// Root is the trial root, or empty.
	Root string
	// Version is the agent's.
	Version string
	// Now is the wall clock's reading.
	Now time.Time
}

// Result is what enrolment came to.
type Result struct {
	DeviceID string
	// Already is set when the device was enrolled with this server before and
	// nothing was changed.
	Already bool
	// Pending is set when a person has to let the device in first.
	Pending bool
}

// Errors the caller tells apart.
var (
	// ErrOtherServer: the state directory belongs to another server or root.
	ErrOtherServer = errors.New("this state directory is enrolled elsewhere")
	// ErrInput: the caller must change what it asks for.
	ErrInput = errors.New("cannot enrol so")
)

// Run enrols this machine. Called again for the same state and server it
// changes nothing. A crash before its last write leaves a directory that is not
// enrolled.
func Run(ctx context.Context, in Input) (Result, error) {
	done, err := enrolled(in)
	if err != nil || done.Already {
		return done, err
	}
	for _, server := range strings.Split(in.Server, ",") {
		if _, port, err := net.SplitHostPort(strings.TrimSpace(server)); err != nil || port == "" {
			return Result{}, fmt.Errorf("%w: server address %q is not host:port", ErrInput, server)
		}
	}
	token, err := ParseToken(in.Token)
	if err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrInput, err)
	}
	if in.Root, err = checkRoot(in.Root); err != nil {
		return Result{}, err
	}
	if err := in.State.Make(); err != nil {
		return Result{}, err
	}
	if err := in.State.Reserve(); err != nil {
		return Result{}, err
	}
	key, err := deviceKey(in.State.Key())
	if err != nil {
		return Result{}, err
	}
	return enrol(ctx, in, token, key)
}

// enrolled answers for a state directory that has been enrolled before.
func enrolled(in Input) (Result, error) {
	have, err := in.State.Read()
	if errors.Is(err, config.ErrNotEnrolled) {
		return Result{}, nil
	}
	if err != nil {
		return Result{}, err
	}
	if !sameServer(have.Server, in.Server) {
		return Result{}, fmt.Errorf("%w: with %s, as %s", ErrOtherServer, have.Server, have.DeviceID)
	}
	if in.Root != "" {
		if root, err := filepath.Abs(in.Root); err != nil || root != have.Root {
			return Result{}, fmt.Errorf("%w: the root was fixed as %q", ErrOtherServer, have.Root)
		}
	}
	return Result{DeviceID: have.DeviceID, Already: true}, nil
}

// checkRoot makes a trial root absolute and refuses one that its users could
// not reach.
func checkRoot(root string) (string, error) {
	if root == "" {
		return "", nil
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return "", fmt.Errorf("%w: root: %w", ErrInput, err)
	}
	if root, err = filepath.EvalSymlinks(root); err != nil {
		return "", fmt.Errorf("%w: root: %w", ErrInput, err)
	}
	if root == string(filepath.Separator) {
		return "", fmt.Errorf("%w: a trial root cannot be the machine's own root", ErrInput)
	}
	all, err := users.List(root)
	if err != nil {
		return "", fmt.Errorf("%w: read the users below %s: %w", ErrInput, root, err)
	}
	if err := users.Reach(root, all); err != nil {
		return "", fmt.Errorf("%w: %w", ErrInput, err)
	}
	return root, nil
}

func deviceKey(path string) (crypto.Signer, error) {
	key, err := keystore.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return keystore.Create(path)
	}
	return key, err
}

// Request makes a certificate request of the device key. Its names do not
// count: the server names the device.
func Request(key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "cutoff device"},
	}, key)
	if err != nil {
		return nil, fmt.Errorf("make certificate request: %w", err)
	}
	return der, nil
}

func enrol(ctx context.Context, in Input, token Token, key crypto.Signer) (Result, error) {
	request, err := describe(ctx, in, token, key)
	if err != nil {
		return Result{}, err
	}
	line, roster, rootKey, err := reach(ctx, in, token)
	if err != nil {
		return Result{}, err
	}
	defer line.close()
	answer, err := line.enroll(ctx, request)
	if err != nil {
		return Result{}, err
	}
	if newer, err := OpenRoster(answer.GetRoster(), rootKey, token.TrustDomain); err == nil && newer.Version > roster.Version {
		roster = newer
	}
	if err := keep(in, answer, roster, key); err != nil {
		return Result{}, err
	}
	err = in.State.Write(config.Config{
		Server: in.Server, DeviceID: answer.GetDeviceId(), TrustDomain: token.TrustDomain, RootKey: rootKey,
		Root: in.Root, EnrolledAt: enrolledAt(answer, in.Now),
	})
	return Result{DeviceID: answer.GetDeviceId(), Pending: answer.GetPending()}, err
}

// reach tries the addresses in turn until one shows the roster that the token
// pins. Nothing secret has been sent by then, to any of them.
func reach(ctx context.Context, in Input, token Token) (*line, *Roster, []byte, error) {
	var failed error
	for _, server := range config.Addresses(in.Server) {
		line, err := dial(server)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		roster, rootKey, err := line.roster(ctx, token, in.Now)
		if err == nil {
			return line, roster, rootKey, nil
		}
		line.close()
		failed = errors.Join(failed, err)
	}
	return nil, nil, nil, failed
}

// sameServer reports whether two lists have an address in common.
func sameServer(a, b string) bool {
	others := config.Addresses(b)
	return a == b || slices.ContainsFunc(config.Addresses(a), func(s string) bool { return slices.Contains(others, s) })
}

// describe says who asks.
func describe(ctx context.Context, in Input, token Token, key crypto.Signer) (*cutoffv1.EnrollRequest, error) {
	csr, err := Request(key)
	if err != nil {
		return nil, err
	}
	name, err := host.Hostname(in.Root)
	if err != nil {
		name = "" // a trial root without a name; the device id serves
	}
	return &cutoffv1.EnrollRequest{
		TokenSecret: token.Secret[:], Csr: csr, Hostname: name, Anchor: anchor(ctx, in.Root),
		Os: runtime.GOOS, Arch: runtime.GOARCH, AgentVersion: in.Version, TrialRoot: in.Root,
	}, nil
}

// anchor tells the same machine enrolled anew; a machine without an id gets a
// random one.
func anchor(ctx context.Context, root string) []byte {
	id, err := host.MachineID(ctx, root)
	if err != nil {
		id = rand.Text()
	}
	sum := sha256.Sum256([]byte("cutoff anchor\x00" + id))
	return sum[:]
}

// enrolledAt is now, or what the server's certificate shows where this clock is
// behind it: a machine enrolled before its clock was set right would otherwise
// find years gone by at its first look, and cut itself off.
func enrolledAt(answer *cutoffv1.EnrollResponse, now time.Time) time.Time {
	leaf, err := x509.ParseCertificate(answer.GetCertificate()[0])
	if err == nil && leaf.NotBefore.After(now) {
		return leaf.NotBefore
	}
	return now
}

// keep checks what the server answered and writes it.
func keep(in Input, answer *cutoffv1.EnrollResponse, roster *Roster, key crypto.Signer) error {
	if answer.GetDeviceId() == "" {
		return errors.New("the server answered no device id")
	}
	chain, err := Chain(answer.GetCertificate(), roster, answer.GetDeviceId(), key, in.Now)
	if err != nil {
		return err
	}
	if len(answer.GetStandingGrant()) > 0 {
		grant := &cutoffv1.StandingGrant{}
		_, err := signed.Open(answer.GetStandingGrant(), signed.TypeGrant, roster.LeaseKeys, grant)
		if err != nil || grant.GetDeviceId() != answer.GetDeviceId() {
			return fmt.Errorf("the server answered a standing grant that is not this device's: %w", errors.Join(err, ErrServer))
		}
		if err := in.State.KeepGrant(answer.GetStandingGrant()); err != nil {
			return err
		}
	}
	return errors.Join(in.State.KeepRoster(roster.Envelope), in.State.KeepCertificate(chain))
}

// Chain checks a device certificate and encodes its chain in PEM: it is for
// this device, its key, and from a CA of the roster.
func Chain(der [][]byte, roster *Roster, deviceID string, key crypto.Signer, now time.Time) ([]byte, error) {
	if len(der) == 0 || len(der) > maxCAs {
		return nil, fmt.Errorf("the server answered %d certificates", len(der))
	}
	var certs []*x509.Certificate
	var text bytes.Buffer
	for _, raw := range der {
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			return nil, fmt.Errorf("read certificate: %w", err)
		}
		certs = append(certs, cert)
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: raw}); err != nil {
			return nil, err
		}
	}
	if err := roster.VerifyDevice(certs, deviceID, now); err != nil {
		return nil, fmt.Errorf("the server's certificate for this device: %w", err)
	}
	public, ok := certs[0].PublicKey.(ed25519.PublicKey)
	if !ok || !public.Equal(key.Public()) {
		return nil, errors.New("the server's certificate is for another key")
	}
	return text.Bytes(), nil
}
