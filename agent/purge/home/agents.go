package home

import (
	"context"
	"net"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/identify"
	"cutoff/agent/purge/wire"
)

// agents clears the SSH agents whose sockets belong to the user.
func (w *Worker) agents(ctx context.Context) {
	var c *catalogue.Credential
	for i := range w.job.Catalogue {
		if w.job.Catalogue[i].Action == catalogue.AgentClear {
			c = &w.job.Catalogue[i]
		}
	}
	if c == nil {
		return
	}
	done := map[place]bool{}
	for _, at := range w.sockets() {
		if done[at] {
			continue
		}
		done[at] = true
		ctx, cancel := context.WithTimeout(ctx, besideTime)
		conn, err := w.dir(at.base).Dial(ctx, at.name, w.job.UID)
		if err == nil {
			w.agent(ctx, c, at, conn)
			_ = conn.Close()
		}
		cancel()
	}
}

// agent lists what one agent holds, and makes it forget: at a seal too, since
// its keys are loaded again from the files that a lift brings back.
func (w *Worker) agent(ctx context.Context, c *catalogue.Credential, at place, conn net.Conn) {
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	} else {
		_ = conn.SetDeadline(time.Time{})
	}
	client := agent.NewClient(conn)
	held, err := client.List()
	if err != nil || len(held) == 0 {
		return // no agent, or an empty one
	}
	allowed := w.job.Scope.Allows(c)
	clearing := w.job.Mode != wire.Plan && allowed
	var refused error
	if clearing {
		refused = client.RemoveAll()
	}
	left := map[string]bool{}
	if again, err := client.List(); err != nil {
		refused = err
	} else {
		for _, k := range again {
			left[string(k.Blob)] = true
		}
	}
	for _, k := range held {
		i := w.held(c, at, k)
		switch {
		case !allowed:
			err = w.skipped(c, i)
		case w.job.Mode == wire.Plan:
			err = w.report(i)
		case refused != nil || left[string(k.Blob)]:
			err = w.left(i, wire.Blocked, "refused")
		default:
			i.Removed, i.Outcome, i.Detail = true, wire.Verified, "deleted"
			err = w.report(i)
		}
		if err != nil {
			return // the parent is gone
		}
	}
}

// held is the item of one key in an agent's memory.
func (w *Worker) held(c *catalogue.Credential, at place, k *agent.Key) wire.Item {
	print := ssh.FingerprintSHA256(k)
	name := "ssh-agent:" + w.seenAs(at) + "#" + print
	return wire.Item{ID: ID(c.Product, w.job.User, name, 0), Product: c.Product, Path: name, Action: string(c.Action),
		Regain: string(c.Regain), Confidence: c.Confidence, Unbounded: true,
		Identifiers: []identify.Identifier{{Kind: "ssh-fingerprint", Value: print}, {Kind: "ssh-key-type", Value: k.Type()}}}
}
