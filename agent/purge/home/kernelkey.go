package home

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/identify"
	"cutoff/agent/purge/wire"
	"cutoff/platform/kernelkey"
	"cutoff/platform/secrets"
)

// kernelKeys treats the keys that the kernel keeps for the user. A trial root
// has no kernel of its own, so that none is touched.
func (w *Worker) kernelKeys(context.Context) error {
	if w.job.Root != "" {
		return nil
	}
	found, err := kernelkey.Keys(w.job.Mode != wire.Plan)
	if err != nil {
		return nil //nolint:nilerr // a kernel without keys
	}
	for _, k := range found {
		if err := w.kernelKey(k); err != nil {
			return err
		}
	}
	w.listed("kernel:")
	return nil
}

// Kinds of keys that hold what somebody signs in with. Others are the kernel's
// own, or name things.
var kernelTypes = map[string]bool{"user": true, "logon": true, "big_key": true, "keyring": true, "rxrpc": true, "cifs.spnego": true}

// diskKey is how keys of encrypted disks and folders are named: without them the
// data is out of reach, and nobody gains access anywhere by them.
var diskKey = regexp.MustCompile(`^(fscrypt|ext4|f2fs|ubifs|cryptsetup|dm-crypt|luks|zfs|bcachefs|nvdimm|fsverity|dm-verity|evm|kmk)([-:_.]|$)|^[0-9a-f]{16}$`)

// kernelEntry finds what a key falls under; nil: it is none of the cut's.
func (w *Worker) kernelEntry(k kernelkey.Key) *catalogue.Credential {
	if !kernelTypes[k.Type] || diskKey.MatchString(k.Description) {
		return nil
	}
	item := secrets.Item{Attributes: map[string]string{"type": k.Type, "description": k.Description}}
	for i := range w.job.Catalogue {
		c := &w.job.Catalogue[i]
		if c.Action != catalogue.KernelKey {
			continue
		}
		for _, m := range c.Keyring {
			if item.Matches(m) {
				return c
			}
		}
	}
	// A keyring may hold what is not to be touched, so it does not go by itself.
	if k.Type != "keyring" && w.job.Scope.Everything {
		return &kernel
	}
	return nil
}

// kernel is what a key falls under that no product claims.
var kernel = catalogue.Credential{ID: "kernel-key", Product: "kernel-keyring", Action: catalogue.KernelKey, Regain: catalogue.None,
	Confidence: "confirmed", Identifiers: []string{"key-type", "key-description"}}

// kernelKey treats one key, or looks into a keyring for others.
func (w *Worker) kernelKey(k kernelkey.Key) error {
	c := w.kernelEntry(k)
	if c == nil {
		for _, m := range k.Keys {
			if err := w.kernelKey(m); err != nil {
				return err
			}
		}
		return nil
	}
	ring := k.Ring
	if ring == "" {
		ring = "session"
	}
	name := "kernel:" + ring + "/" + k.Description + "#" + strconv.FormatInt(int64(k.ID), 10)
	i := wire.Item{ID: ID(c.Product, w.job.User, name, 0), Product: c.Product, Path: name, Action: string(c.Action),
		Regain: string(c.Regain), Confidence: c.Confidence}
	describe(&i, c, named(k))
	switch {
	case !w.job.Scope.Allows(c):
		return w.skipped(c, i)
	case k.Ring == "":
		return w.left(i, wire.Blocked, "in-session") // it ends with its session
	case w.job.Mode == wire.Plan:
		return w.report(i)
	case w.job.Mode == wire.Seal && c.Regain != catalogue.SignIn:
		return w.left(i, wire.Unsupported, "not-sealable")
	}
	if err := kernelkey.Take(k); err != nil {
		return w.left(i, wire.Blocked, "refused")
	}
	i.Removed, i.Outcome, i.Detail = true, wire.Verified, "deleted"
	return w.report(i)
}

// named is what a key's description, and those of the keys in it, say of it. How
// long what it holds is of use, only that could tell.
func named(k kernelkey.Key) (f identify.Finding) {
	f.Identifiers = []identify.Identifier{{Kind: "key-type", Value: k.Type}, {Kind: "key-description", Value: k.Description}}
	for _, m := range k.Keys {
		if realm, ok := strings.CutPrefix(m.Description, "krbtgt/"); ok {
			f.Identifiers = append(f.Identifiers, identify.Identifier{Kind: "kerberos-realm", Value: realm[strings.LastIndexByte(realm, '@')+1:]})
		}
		for _, id := range named(m).Identifiers {
			if id.Kind == "kerberos-realm" {
				f.Identifiers = append(f.Identifiers, id)
			}
		}
	}
	return f
}
