package home

import (
	"context"
	"path"
	"strconv"
	"strings"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/identify"
	"cutoff/agent/purge/kerberos"
	"cutoff/agent/purge/wire"
)

// ccache is the catalogue's entry for ticket caches; where they are, the
// configuration and the environment say.
const ccache = "kerberos-cache"

// maxConfigs bounds how many files a configuration may include.
const maxConfigs = 64

// kerberos treats ticket caches wherever they are: in files, in folders and with
// the cache manager. Those in the kernel are among its keys, and those in a
// process' memory end with it.
func (w *Worker) kerberos(ctx context.Context) error {
	var c *catalogue.Credential
	for i := range w.job.Catalogue {
		if w.job.Catalogue[i].ID == ccache {
			c = &w.job.Catalogue[i]
		}
	}
	if c == nil {
		return nil
	}
	config := w.krb5Config()
	if err := w.kcm(ctx, c, config.Manager); err != nil {
		return err
	}
	uid := strconv.FormatUint(uint64(w.job.UID), 10)
	for _, written := range append(config.Caches, w.env["KRB5CCNAME"]...) {
		if err := w.spend(1); err != nil {
			return err
		}
		name, ok := kerberos.Locate(written, uid, w.job.User)
		if !ok || strings.ContainsAny(name.At, "*?[") {
			continue
		}
		if err := w.tickets(c, name); err != nil {
			return err
		}
	}
	return nil
}

// tickets treats a named cache of files.
func (w *Worker) tickets(c *catalogue.Credential, name kerberos.Name) error {
	var ats []place
	switch name.Type {
	case "FILE":
		ats = w.written(name.At)
	case "DIR":
		ats = append(w.written(name.At+"/tkt*"), w.written(name.At+"/primary")...)
	}
	for _, at := range ats {
		if err := w.each(c, at); err != nil {
			return err
		}
	}
	return nil
}

// krb5Config reads what the machine and the user say about caches.
func (w *Worker) krb5Config() (all kerberos.Config) {
	queue := []place{{base: wire.InRoot, name: "etc/krb5.conf"}}
	for _, list := range w.env["KRB5_CONFIG"] {
		for p := range strings.SplitSeq(list, ":") {
			queue = append(queue, w.written(p)...)
		}
	}
	for n := 0; n < len(queue) && n < maxConfigs; n++ {
		data, _, err := w.dir(queue[n].base).Read(queue[n].name, maxStartup)
		if err != nil {
			continue
		}
		one := kerberos.ReadConfig(data)
		all.Caches = append(all.Caches, one.Caches...)
		if one.Manager != "" {
			all.Manager = one.Manager
		}
		for _, p := range one.Include {
			queue = append(queue, w.written(p)...)
		}
		for _, folder := range one.IncludeFolder {
			for _, at := range w.written(folder) {
				for _, name := range w.dir(at.base).Glob(path.Join(at.name, "*")) {
					queue = append(queue, place{base: at.base, name: name})
				}
			}
		}
	}
	return all
}

// kcm asks the cache manager for this user's caches, and destroys them. It is
// root's, and knows whom it speaks to by the connection. A sign-in makes tickets
// anew, so that a seal destroys them too.
func (w *Worker) kcm(ctx context.Context, c *catalogue.Credential, socket string) error {
	at := place{base: wire.InRoot, name: kerberos.Socket}
	if named, ok := strings.CutPrefix(socket, "/"); ok {
		at.name = strings.TrimPrefix(strings.TrimPrefix("/"+named, w.job.Root), "/")
	}
	at.name = strings.Replace(at.name, "var/run/", "run/", 1)
	ctx, cancel := context.WithTimeout(ctx, besideTime)
	defer cancel()
	conn, err := w.root.Dial(ctx, at.name, 0)
	if err != nil {
		return nil //nolint:nilerr // there is none
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok && conn.SetDeadline(deadline) != nil {
		return nil
	}
	manager := kerberos.NewManager(conn)
	caches, err := manager.Caches()
	if err != nil {
		return nil //nolint:nilerr // no cache manager, or one that keeps nothing for him
	}
	for _, cache := range caches {
		if err := w.managed(c, manager, cache); err != nil {
			return err
		}
	}
	w.listed("kcm:")
	return nil
}

func (w *Worker) managed(c *catalogue.Credential, manager *kerberos.Manager, cache kerberos.Cache) error {
	name := "kcm:" + cache.Name
	i := wire.Item{ID: ID(c.Product, w.job.User, name, 0), Product: c.Product, Path: name, Action: string(catalogue.AgentClear),
		Regain: string(c.Regain), Confidence: c.Confidence}
	describe(&i, c, identify.Tickets(cache))
	switch {
	case !w.job.Scope.Allows(c):
		return w.skipped(c, i)
	case w.job.Mode == wire.Plan:
		return w.report(i)
	}
	if err := manager.Destroy(cache); err != nil {
		return w.left(i, wire.Blocked, "refused")
	}
	left, err := manager.Caches()
	if err != nil {
		left = nil // it answers an empty list with an error
	}
	for _, l := range left {
		if l.Name == cache.Name {
			return w.left(i, wire.Blocked, "refused")
		}
	}
	i.Removed, i.Outcome, i.Detail = true, wire.Verified, "deleted"
	return w.report(i)
}
