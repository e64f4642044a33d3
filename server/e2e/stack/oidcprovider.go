package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// OIDCProvider is npm's oidc-provider, at which one tool without a secret is
// known and any user may sign in.
type OIDCProvider struct {
	*Process
	Issuer string `json:"issuer"`
}

// StartOIDCProvider starts one by script, on a free port of the loopback
// address. `make setup` installed its packages.
func (s *Stack) StartOIDCProvider(ctx context.Context, script string) (*OIDCProvider, error) {
	installed := os.Getenv("CUTOFF_OIDC_PROVIDER")
	if installed == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		installed = filepath.Join(cache, "cutoff", "oidc-provider-9.13.3")
	}
	if _, err := os.Stat(filepath.Join(installed, "node_modules")); err != nil {
		return nil, fmt.Errorf("run `make setup` first: %w", err)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, err
	}
	process, err := s.Start(ctx, node, nil, script, installed)
	if err != nil {
		return nil, err
	}
	o := &OIDCProvider{Process: process}
	return o, json.Unmarshal(process.Ready, o)
}

// SignInTool signs alice in at a tool without a secret, who lets it go on
// without her.
func (o *OIDCProvider) SignInTool(ctx context.Context) (Tokens, error) {
	answers := map[string]url.Values{
		"login": {"prompt": {"login"}, "login": {"alice"}, "password": {"any"}}, "consent": {"prompt": {"consent"}},
	}
	order := []string{"login", "consent"}
	return signInTool(ctx, o.Issuer+"/auth", o.Issuer+"/token", func(next *url.URL) url.Values {
		if !strings.HasPrefix(next.Path, "/interaction/") || len(order) == 0 {
			return nil
		}
		form := answers[order[0]]
		order = order[1:]
		return form
	})
}

// RefreshTool uses a tool's refresh token; an error means that it is refused.
func (o *OIDCProvider) RefreshTool(ctx context.Context, t Tokens) error {
	return refreshTool(ctx, o.Issuer+"/token", t)
}

// UserInfo uses a session's access token; an error means that it is refused.
func (o *OIDCProvider) UserInfo(ctx context.Context, t Tokens) error {
	return userInfo(ctx, o.Issuer+"/me", t.Access)
}
