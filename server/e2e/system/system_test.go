//go:build system

package system

import (
	"strings"
	"testing"
)

// furnish gives alice what a developer has open: files, a keyring, agents, a
// master connection, a shell in tmux, a screen.
func furnish(m *machine) {
	m.t.Helper()
	m.do("useradd", "-m", "-s", "/bin/bash", "alice")
	m.do("useradd", "-m", "-s", "/bin/bash", "bob")
	m.do("useradd", "-s", "/bin/bash", "-d", "/home/carol", "carol") // comes with her login
	// sshd for a connection that outlives its key.
	m.do("mkdir", "-p", "/run/sshd")
	m.do("ssh-keygen", "-A")
	m.do("systemd-run", "-q", "--unit=door", "/usr/sbin/sshd", "-D", "-p", "22022", "-o", "ListenAddress=127.0.0.1")
	m.as("alice", "", `mkdir -p -m 700 .ssh .aws; ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519; cp .ssh/id_ed25519.pub .ssh/authorized_keys
printf '[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = canary-aws\n' >.aws/credentials`)
	m.as("bob", "", `mkdir -p -m 700 .aws; printf '[default]\naws_secret_access_key = canary-bob\n' >.aws/credentials`)
	m.login("alice", "alice-desk", "wayland", "sleep", "infinity")
	m.login("alice", "alice-text", "tty", "tmux", "new-session", "-d", "-s", "w")
	m.until("alice's bus", func() bool { return m.has("/run/user/" + m.do("id", "-u", "alice") + "/bus") })
	hold(m)
}

// hold starts what keeps secrets in memory.
func hold(m *machine) {
	m.t.Helper()
	m.until("the door", func() bool {
		_, err := m.sh("alice", "", `ssh -M -S ~/.ssh/cm -fN -p 22022 -o StrictHostKeyChecking=no 127.0.0.1 </dev/null >/dev/null 2>&1`)
		return err == nil
	})
	m.as("alice", "", `ssh-agent -a $XDG_RUNTIME_DIR/ssh-agent.socket >/dev/null 2>&1 </dev/null; SSH_AUTH_SOCK=$XDG_RUNTIME_DIR/ssh-agent.socket ssh-add -q .ssh/id_ed25519`)
	m.as("alice", "", `gpg-connect-agent /bye </dev/null >/dev/null 2>&1`)
	m.as("alice", "protocol=https\nhost=git.example\nusername=a\npassword=canary-git\n", `git credential-cache store >/dev/null 2>&1`)
	for _, what := range []string{"ssh -M", "ssh-agent -a", "gpg-agent", "credential-cache--daemon"} {
		m.until(what, func() bool { return m.running("alice", what) })
	}
}

// keyring gives alice an unlocked gnome-keyring with an item of hers and one of
// a tool's.
func keyring(m *machine) {
	m.t.Helper()
	m.do("systemctl", "-M", "alice@", "--user", "stop", "gnome-keyring-daemon.socket", "gnome-keyring-daemon.service")
	m.as("alice", "login password", `gnome-keyring-daemon --unlock --components=secrets --daemonize >/dev/null 2>&1`)
	m.as("alice", "canary-gh", `secret-tool store --label=gh service gh:github.com username alice`)
	m.as("alice", "her own", `secret-tool store --label=mail service imap.example username alice`)
}

func TestASealEndsWhatHoldsTokensAndALiftGivesTheFilesBack(t *testing.T) {
	m := boot(t)
	furnish(m)
	m.do("systemd-run", "-q", "--unit=witness", "sh", "-c",
		"exec dbus-monitor --system \"type='signal',interface='org.freedesktop.login1.Session',member='Lock'\" >/run/witness")
	m.until("the witness", func() bool {
		return m.has("/run/witness") && strings.Contains(m.do("cat", "/run/witness"), "NameAcquired")
	})
	m.do("systemd-run", "-q", "--unit=system-ssh", "-p", "User=root", "bash", "-c", "exec -a ssh sleep infinity")
	m.enrol()

	c := m.receives("seal")
	for _, p := range []string{"ssh", "ssh-agent", "gpg-agent", "git credential-cache--daemon"} {
		m.wants(c, "alice", "process:"+p, "verified", "ended")
	}
	for _, p := range []string{"ssh -M", "ssh-agent -a", "gpg-agent", "credential-cache--daemon"} {
		if m.running("alice", p) {
			t.Errorf("%s goes on", p)
		}
	}
	m.wants(c, "alice", "/home/alice/.aws/credentials", "verified", "sealed")
	m.wants(c, "bob", "/home/bob/.aws/credentials", "verified", "sealed")
	m.wants(c, "carol", "/home/carol", "blocked", "not-mounted")
	m.wants(c, "alice", "session:lock", "accepted", "lock-asked") // nobody draws this screen
	if !strings.Contains(m.do("cat", "/run/witness"), "member=Lock") {
		t.Error("no screen was asked to lock")
	}
	if !m.running("alice", "bash") || !m.running("alice", "tmux") || !m.running("root", "^ssh infinity") {
		t.Error("a seal ended a shell, or a service of the system")
	}
	if out := m.do("loginctl", "list-sessions", "--no-legend"); strings.Count(out, "alice") < 2 {
		t.Errorf("a seal ended a session: %s", out)
	}

	m.cli(nil, "lift", c.ID, "--reason", "test", "--wait")
	if got := m.do("cat", "/home/alice/.aws/credentials"); !strings.Contains(got, "canary-aws") {
		t.Errorf("got %q back", got)
	}
	m.as("alice", "", `ssh -p 22022 127.0.0.1 true`)
}

func TestAPurgeEndsSessionsAndWritesNoHistory(t *testing.T) {
	m := boot(t)
	furnish(m)
	keyring(m)
	// A shell that is asked to end writes its history: that is what must not be.
	m.login("bob", "bob-text", "tty", "tmux", "new-session", "-d", "-s", "w")
	typed(m, "bob")
	m.as("bob", "", `tmux kill-server`)
	m.until("a history", func() bool { return m.has("/home/bob/.bash_history") })
	typed(m, "alice")
	m.enrol()

	c := m.receives("purge")
	m.wants(c, "alice", "/home/alice/.aws/credentials", "verified", "deleted")
	m.wants(c, "alice", "process:bash", "verified", "ended")
	m.wants(c, "alice", "process:tmux", "verified", "ended")
	m.wants(c, "alice", "session:end", "verified", "ended")
	keyringGone(m, c)
	m.until("the end of alice's sessions", func() bool {
		return !strings.Contains(m.do("loginctl", "list-sessions", "--no-legend"), "alice") && !m.running("alice", ".")
	})
	for _, gone := range []string{"/home/alice/.bash_history", "/home/bob/.bash_history", "/home/alice/.ssh/id_ed25519"} {
		if m.has(gone) {
			t.Errorf("%s is there", gone)
		}
	}
	comesBack(m, c)
}

// typed has a user's shell in tmux take a line that its history would keep.
func typed(m *machine, user string) {
	m.t.Helper()
	m.until(user+"'s shell", func() bool {
		out, err := m.sh(user, "", `tmux send-keys -t w 'T=canary-typed; touch ~/typed' Enter; sleep 0.2; ls typed`)
		return err == nil && strings.HasSuffix(out, "typed")
	})
}

// keyringGone: root cannot talk to the user's bus; the agent did it as alice.
func keyringGone(m *machine, c cut) {
	m.t.Helper()
	for _, i := range c.Items {
		if i.User == "alice" && strings.HasPrefix(i.Path, "keyring:") && i.Product == "gh" {
			if i.Outcome != "verified" || i.Detail != "deleted" {
				m.t.Errorf("keyring item: %+v", i)
			}
			return
		}
	}
	m.t.Error("the keyring's item is not in the receipt")
}

// comesBack: what is written again while the cut stands, and what comes with a
// login, goes too, and a later part of the receipt says so.
func comesBack(m *machine, c cut) {
	m.t.Helper()
	m.as("bob", "", `mkdir -p .aws; printf '[default]\naws_secret_access_key = canary-again\n' >.aws/credentials`)
	m.until("the end of a file that came back", func() bool { return !m.has("/home/bob/.aws/credentials") })

	m.do("mkdir", "-m", "700", "/home/carol")
	m.do("chown", "carol:carol", "/home/carol")
	m.as("carol", "", `printf 'hvs.canary-carol' >.vault-token`)
	m.login("carol", "carol-desk", "tty", "sleep", "infinity")
	m.until("the end of what came with a login", func() bool { return !m.has("/home/carol/.vault-token") })
	m.until("a later part of the receipt", func() bool {
		return m.show(c.ID).says("carol", "/home/carol/.vault-token", "verified", "deleted")
	})
	if !strings.Contains(m.do("loginctl", "list-sessions", "--no-legend"), "carol") {
		m.t.Error("a sweep ended a later session")
	}
}
