package stepca

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"cutoff/server/connector/config"
	"cutoff/server/connector/outgoing"
	"cutoff/server/revoke"
)

// Check tries what changes nothing: the provisioner's key, whether the CA takes
// its tokens, the issuers the file names, the CRL, and who renews.
func (c *Connector) Check(ctx context.Context) []config.Finding {
	all, err := c.provisioners(ctx)
	if err != nil {
		return []config.Finding{{Name: "reach the CA", Detail: word(err)}}
	}
	found := []config.Finding{{Name: "reach the CA", OK: true, Detail: c.file.server.Host}, c.checkToken(ctx)}
	found = append(found, c.checkLeast(all)...)
	if len(c.file.issuers) > 0 {
		found = append(found, c.checkIssuers(ctx), c.checkCRL(ctx), c.checkRenewal(all))
	}
	if len(c.file.sshCAs) > 0 {
		found = append(found, c.checkSSH(ctx))
	}
	return found
}

// checkToken sends a token for one serial with a request for another: step-ca
// refuses that with 403, and only after it has taken the token.
func (c *Connector) checkToken(ctx context.Context) config.Finding {
	f := config.Finding{Name: "revoke"}
	token, err := c.token(ctx, "revoke", "2")
	if err != nil {
		f.Detail = word(err)
		return f
	}
	res, err := c.post(ctx, "revoke", map[string]any{"serial": "1", "ott": token, "passive": true})
	switch {
	case err != nil:
		f.Detail = word(err)
	case res.Status == http.StatusForbidden:
		f.OK, f.Detail = true, "the CA takes the provisioner's tokens"
	default:
		f.Detail = word(&answerError{res.Status, "refused"})
	}
	return f
}

// checkLeast says whether the key could do more than it needs to.
func (c *Connector) checkLeast(all []provisioner) []config.Finding {
	p, err := named(all, c.file.provisioner)
	if err != nil {
		return []config.Finding{{Name: "provisioner", Detail: word(err)}}
	}
	if strings.Contains(p.Options.X509.Template, "fail") {
		return nil
	}
	return []config.Finding{{Name: "least privilege", OK: true, Detail: "this provisioner can issue certificates, too: give it a template that fails (see the README)"}}
}

func (c *Connector) checkIssuers(ctx context.Context) config.Finding {
	f := config.Finding{Name: "issuer"}
	signers, err := c.intermediates(ctx)
	if err != nil {
		f.Detail = word(err)
		return f
	}
	var names []string
	for _, s := range signers {
		names = append(names, s.Subject.String())
	}
	f.OK = slices.ContainsFunc(names, func(n string) bool { return slices.Contains(c.file.issuers, n) })
	if f.Detail = strings.Join(names, "; "); !f.OK {
		f.Detail = "the file names another; the CA signs as " + f.Detail
	}
	return f
}

func (c *Connector) checkCRL(ctx context.Context) config.Finding {
	list, err := c.list(ctx)
	switch {
	case errors.Is(err, errNoCRL) && c.file.listed:
		return config.Finding{Name: "CRL", Detail: "the CA has none, although the file says that relying parties read it"}
	case errors.Is(err, errNoCRL):
		return config.Finding{Name: "CRL", OK: true, Detail: "none: a revoked certificate is taken until it ends, it is only not renewed"}
	case err != nil:
		return config.Finding{Name: "CRL", Detail: word(err)}
	case c.now().After(list.next):
		return config.Finding{Name: "CRL", Detail: "it is out of date"}
	default:
		return config.Finding{Name: "CRL", OK: true, Detail: "signed by the CA"}
	}
}

func (c *Connector) checkRenewal(all []provisioner) config.Finding {
	var renew []string
	for _, p := range all {
		if p.Claims.DisableRenewal == nil || !*p.Claims.DisableRenewal {
			renew = append(renew, p.Name)
		}
	}
	f := config.Finding{Name: "renewal", OK: true, Detail: "renewed certificates are followed"}
	switch {
	case !c.file.renews && len(renew) > 0:
		f.OK, f.Detail = false, "the file says refused, but these do not say disableRenewal of their own: "+strings.Join(renew, ", ")
	case !c.file.renews:
		f.Detail = "refused by every provisioner"
	}
	return f
}

func (c *Connector) checkSSH(ctx context.Context) config.Finding {
	f := config.Finding{Name: "SSH authority"}
	var roots struct {
		User []string `json:"userKey"`
		Host []string `json:"hostKey"`
	}
	if err := c.get(ctx, "ssh/roots", nil, &roots); err != nil {
		f.Detail = word(err)
		return f
	}
	var prints []string
	for _, line := range slices.Concat(roots.User, roots.Host) {
		blob, err := base64.StdEncoding.DecodeString(line)
		if err != nil {
			continue
		}
		if k, err := ssh.ParsePublicKey(blob); err == nil {
			prints = append(prints, ssh.FingerprintSHA256(k))
		}
	}
	f.OK = slices.ContainsFunc(prints, func(p string) bool { return slices.Contains(c.file.sshCAs, p) })
	if f.Detail = strings.Join(prints, ", "); !f.OK {
		f.Detail = "the file names another; the CA signs with " + f.Detail
	}
	return f
}

// word is a failure without anything of an answer in it.
func word(err error) string {
	var bad *malformed
	var out *outgoing.Error
	switch {
	case errors.As(err, &bad):
		return bad.Error()
	case errors.As(err, &out):
		return out.Error()
	default:
		return failed(err, revoke.Step{}).Detail
	}
}
