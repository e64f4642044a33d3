package stepca

import (
	"cmp"
	"math/big"
	"slices"
	"strings"
	"time"

	"cutoff/server/device"
	"cutoff/server/revoke"
)

// Actions.
const (
	actionX509   = "revoke-certificate"
	actionSSH    = "revoke-ssh-certificate"
	actionFollow = "follow-renewals"
)

// Parameters of a step.
const (
	paramCredential = "credential_id"
	paramDevice     = "device_id"
	paramKind       = "kind"
	paramSerial     = "serial"
	paramName       = "name"
	paramExpires    = "expires"
	// paramOnly narrows a following to what the credential names; without it, it
	// is all of the device.
	paramOnly = "only"
)

// Ranks: a renewal that slips in between is found by the following, which comes
// last.
const (
	rankRevoke = 30
	rankFollow = 35
)

// Plan is a step for each certificate of this CA in the inventory, and one that
// follows what was renewed from them, before and after. It asks nobody.
func (c *Connector) Plan(s revoke.Subject) []revoke.Spec {
	var specs []revoke.Spec
	var names []string
	for _, k := range s.Credentials {
		if k.Held {
			continue
		}
		for _, cert := range device.Certificates(k.Names, k.Expires) {
			if !c.file.ours(cert) {
				continue
			}
			if specs = append(specs, c.spec(k.ID, cert)); cert.Kind == device.X509 && !slices.Contains(names, cert.Name) {
				names = append(names, cert.Name)
			}
		}
	}
	for _, cert := range s.Certificates {
		if cert.Kind == device.X509 && c.file.ours(cert) && !slices.Contains(names, cert.Name) {
			names = append(names, cert.Name)
		}
	}
	if len(names) == 0 || s.DeviceID == "" || !c.file.renews {
		return specs
	}
	follow := revoke.Spec{
		Connector: c.name, Action: actionFollow, Target: "certificates renewed on " + cmp.Or(s.Hostname, s.DeviceID),
		Params: map[string]string{paramDevice: s.DeviceID}, Scope: revoke.ScopeDevice, Undo: revoke.UndoNone, Rank: rankFollow,
		Residual: revoke.Residual{Unbounded: true},
	}
	if s.OneCredential {
		follow.Params[paramOnly] = strings.Join(names, "\n")
		follow.Target = "certificates renewed from " + names[0]
	}
	return append(specs, follow)
}

func (c *Connector) spec(credential string, cert device.Certificate) revoke.Spec {
	spec := revoke.Spec{
		Connector: c.name, Action: actionX509, Target: "certificate " + cert.Name + " (serial " + cert.Serial + ")",
		Params: map[string]string{paramCredential: credential, paramKind: cert.Kind, paramSerial: cert.Serial, paramName: cert.Name},
		Scope:  revoke.ScopeDevice, Undo: revoke.UndoNone, Rank: rankRevoke,
		Residual: revoke.Residual{Until: cert.ExpiresAt, Unbounded: cert.ExpiresAt.IsZero()},
	}
	if cert.Kind == device.SSH {
		spec.Action, spec.Target = actionSSH, "SSH certificate "+cert.Name+" (serial "+cert.Serial+")"
	}
	if !cert.ExpiresAt.IsZero() {
		spec.Params[paramExpires] = cert.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return spec
}

// UndoSpecs is empty: a revoked certificate stays so; a new one is issued.
func (c *Connector) UndoSpecs(revoke.Step) []revoke.Spec { return nil }

// certificateOf is the one a step is for.
func certificateOf(s revoke.Step) device.Certificate {
	cert := device.Certificate{Kind: s.Params[paramKind], Serial: s.Params[paramSerial], Name: s.Params[paramName]}
	if t, err := time.Parse(time.RFC3339, s.Params[paramExpires]); err == nil {
		cert.ExpiresAt = t
	}
	return cert
}

// decimal is a serial as step-ca wants it in a token: base 10. ok is false for
// one that is no serial.
func decimal(cert device.Certificate) (string, bool) {
	base := 16
	if cert.Kind == device.SSH {
		base = 10
	}
	n, ok := new(big.Int).SetString(cert.Serial, base)
	if !ok || n.Sign() <= 0 || n.BitLen() > 160 { // RFC 5280 §4.1.2.2: 20 octets
		return "", false
	}
	return n.String(), true
}

// ends is until when a certificate may work although it is revoked: its own
// end, else the longest life that the CA grants, from at.
func (c *Connector) ends(cert device.Certificate, at time.Time) revoke.Residual {
	switch {
	case !cert.ExpiresAt.IsZero():
		return revoke.Residual{Until: cert.ExpiresAt}
	case c.file.open:
		return revoke.Residual{Unbounded: true}
	default:
		return revoke.Residual{Until: at.Add(c.file.life)}
	}
}
