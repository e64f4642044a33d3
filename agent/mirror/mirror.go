// Package mirror fetches this device's extension file from static web servers.
// Nothing it brings is trusted for where it came from: the signature in a file
// is what counts. It must not read what a file says.
package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"time"

	"cutoff/proto/extension"
)

// Bounds of one fetch.
const (
	fetchTime    = 20 * time.Second
	connectTime  = 10 * time.Second
	mostMirrors  = 8
	mostRedirect = 3
)

// Fetcher fetches one device's file. New makes one.
type Fetcher struct {
	name   string
	client *http.Client
}

// New makes a fetcher of the file of a device.
func New(trustDomain, deviceID string) *Fetcher {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: connectTime}).DialContext,
		TLSHandshakeTimeout:   connectTime,
		ResponseHeaderTimeout: connectTime,
		DisableKeepAlives:     true,
		DisableCompression:    true,
		// A reply's head is no way to more memory either.
		MaxResponseHeaderBytes: 16 << 10,
	}
	return &Fetcher{
		name: extension.FileName(trustDomain, deviceID),
		client: &http.Client{Transport: transport, Timeout: fetchTime, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
			if len(via) > mostRedirect {
				return errors.New("redirected too often")
			}
			return nil
		}},
	}
}

// Fetch asks the mirrors, in an order of its own each time, and hands each file
// to take until one says that it was of use. It answers what kept it from the
// others.
func (f *Fetcher) Fetch(ctx context.Context, mirrors []string, take func(file []byte) (done bool)) error {
	mirrors = append([]string(nil), mirrors[:min(len(mirrors), mostMirrors)]...)
	rand.Shuffle(len(mirrors), func(i, j int) { mirrors[i], mirrors[j] = mirrors[j], mirrors[i] }) // spreads load, guards nothing
	var failed error
	for _, m := range mirrors {
		file, err := f.one(ctx, m)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if take(file) {
			return nil
		}
	}
	return failed
}

func (f *Fetcher) one(ctx context.Context, mirror string) ([]byte, error) {
	base, err := url.Parse(mirror)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("mirror %.100q is no web address", mirror)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, base.JoinPath(f.name).String(), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("ask mirror: %w", err)
	}
	request.Header.Set("User-Agent", "cutoff-agent")
	answer, err := f.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask mirror: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("mirror %s answered %s", base.Host, answer.Status)
	}
	file, err := io.ReadAll(io.LimitReader(answer.Body, extension.MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read from mirror: %w", err)
	}
	if len(file) > extension.MaxFile {
		return nil, fmt.Errorf("mirror %s: the file is too long", base.Host)
	}
	return file, nil
}
