package purge_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"cutoff/agent/purge"
	"cutoff/agent/purge/catalogue"
	"cutoff/platform/platformtest"
	cutoffv1 "cutoff/proto/cutoff/v1"
)

// scoped is a bench whose group chose more than the catalogue.
func scoped(t *testing.T, s catalogue.Scope) *bench {
	t.Helper()
	b := newBench(t, carol())
	b.config.Scope = func() catalogue.Scope { return s }
	return b
}

// prefixed are the items whose path begins so.
func prefixed(items []*cutoffv1.Item, prefix string) []*cutoffv1.Item {
	var out []*cutoffv1.Item
	for _, i := range items {
		if strings.HasPrefix(i.GetPath(), prefix) {
			out = append(out, i)
		}
	}
	return out
}

// only is the one item whose path begins so.
func only(t *testing.T, items []*cutoffv1.Item, prefix string) *cutoffv1.Item {
	t.Helper()
	found := prefixed(items, prefix)
	if len(found) != 1 {
		t.Fatalf("%d items below %s: %s", len(found), prefix, list(items))
	}
	return found[0]
}

func TestASealedKeyringItemComesBackAsItWas(t *testing.T) {
	b := newBench(t, carol())
	k := newKeyring(t, b.root, carol())
	k.store(secret, "git\u00e9", "service", "gh:github.com", "username", "alice")
	k.store("hers", "Mail", "service", "imap.example", "username", "alice")
	before, err := k.run("", "secret-tool", "search", "--all", "service", "gh:github.com")
	if err != nil {
		t.Fatal(before, err)
	}
	want(t, only(t, b.seal().Items, "keyring:"), "keyring-delete", verified, "sealed")
	if k.has("service", "gh:github.com") || !k.has("service", "imap.example") {
		t.Fatal("the wrong item went")
	}
	noSecretBelow(t, b.state)
	want(t, only(t, b.lift().Items, "keyring:"), "keyring-delete", verified, "restored")
	after, err := k.run("", "secret-tool", "search", "--all", "service", "gh:github.com")
	if err != nil || steady(after) != steady(before) {
		t.Errorf("came back as\n%s, was\n%s, %v", after, before, err)
	}
}

// steady drops what a keyring says of its own: the times, the number, and the
// schema of what has none.
func steady(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "created") && !strings.HasPrefix(line, "modified") && !strings.HasPrefix(line, "[/") &&
			line != "schema = org.freedesktop.Secret.Generic\n" {
			out = append(out, line)
		}
	}
	return strings.Join(out, "")
}

func TestALiftPutsNoItemOverOneThatCameBack(t *testing.T) {
	b := newBench(t, carol())
	k := newKeyring(t, b.root, carol())
	k.store(secret, "gh", "service", "gh:github.com", "username", "alice")
	b.seal()
	k.store("new", "gh", "service", "gh:github.com", "username", "alice")
	want(t, only(t, b.lift().Items, "keyring:"), "left", blocked, "came-back")
	if out, err := k.run("", "secret-tool", "lookup", "service", "gh:github.com"); err != nil || out != "new" {
		t.Errorf("the keyring holds %q, %v", out, err)
	}
}

func TestALiftWaitsForALockedKeyring(t *testing.T) {
	b := newBench(t, carol())
	k := newKeyring(t, b.root, carol())
	k.store(secret, "gh", "service", "gh:github.com", "username", "alice")
	b.seal()
	k.lock()
	r := b.lift()
	want(t, only(t, r.Items, "keyring:"), "left", cutoffv1.Outcome_OUTCOME_RETRYING, "locked")
	if r.Complete {
		t.Error("the lift is complete")
	}
}

func TestTheCompanysAccountsGoAndOthersStay(t *testing.T) {
	b := scoped(t, catalogue.Scope{Accounts: []string{"corp.example"}})
	k := newKeyring(t, b.root, carol())
	k.store(secret, "Mail", "service", "smtp", "username", "alice@mail.corp.example")
	k.store(secret, "Wiki", "url", "https://wiki.corp.example:8443/x?y=z")
	k.store("hers", "About https://corp.example", "note", "corp.example is where I work")
	k.store("hers", "Other", "host", "notcorp.example", "user", "corp.example@home.example")
	b.purge()
	for attribute, stays := range map[[2]string]bool{{"service", "smtp"}: false, {"url", "https://wiki.corp.example:8443/x?y=z"}: false,
		{"note", "corp.example is where I work"}: true, {"host", "notcorp.example"}: true} {
		if k.has(attribute[0], attribute[1]) != stays {
			t.Errorf("%v: there=%t", attribute, !stays)
		}
	}
}

func TestOnACompanysDeviceALockedKeyringGoesWhole(t *testing.T) {
	b := scoped(t, catalogue.Scope{Everything: true})
	k := newKeyring(t, b.root, carol())
	k.store(secret, "anything", "some", "thing")
	k.lock()
	want(t, only(t, b.seal().Items, "keyring:"), "left", blocked, "locked")
	want(t, at(t, b.purge().Items, "keyring:login"), "keyring-delete", verified, "deleted")
	if _, err := os.Stat(b.root.Path(carol().Home + "/.local/share/keyrings/login.keyring")); !os.IsNotExist(err) {
		t.Errorf("its file: %v", err)
	}
}

// Nobody unlocked it since its daemon started: names are hidden, and whole values
// are still told by their hashes.
func TestAKeyringThatWasNeverUnlockedWaitsForIt(t *testing.T) {
	b := newBench(t, carol())
	k := newBus(t, b.root, carol())
	stop := k.gnome("trial")
	k.store(secret, "index", "service", "https://upload.pypi.org/legacy/", "username", "__token__", "application", "Python keyring library")
	k.store(secret, "gh", "service", "gh:github.com", "username", "alice")
	stop()
	stop = k.gnome("")
	r := b.purge()
	want(t, at(t, r.Items, "keyring:login"), "left", blocked, "locked")
	if i := at(t, r.Items, "keyring:login#1"); i.GetProduct() != "pypi" || i.GetDetail() != "locked" {
		t.Errorf("got %s", list([]*cutoffv1.Item{i}))
	}
	if got := prefixed(r.Items, carol().Home+"/.local/share/keyrings"); len(got) > 0 {
		t.Errorf("a file that is open was treated: %s", list(got))
	}
	stop()
	k.gnome("trial")
	r = b.purge()
	for _, i := range prefixed(r.Items, "keyring:login#") {
		want(t, i, "keyring-delete", verified, "deleted")
	}
	for _, i := range prefixed(r.Items, "keyring:") {
		if i.GetOutcome() != verified {
			t.Errorf("still %s", list([]*cutoffv1.Item{i}))
		}
	}
	if k.has("service", "gh:github.com") {
		t.Error("an item is still there")
	}
}

const plainKeyring = "[keyring]\ndisplay-name=plain\nctime=0\nmtime=1700000000\nlock-on-idle=false\nlock-after=false\n\n" +
	"[1]\nitem-type=0\ndisplay-name=gh\nsecret=" + secret + "\nmtime=1700000000\nctime=1700000000\n\n" +
	"[1:attribute0]\nname=service\ntype=string\nvalue=gh:github.com\n\n" +
	"[2]\nitem-type=0\ndisplay-name=hers\nsecret=hers\nmtime=1700000000\nctime=1700000000\n\n" +
	"[2:attribute0]\nname=service\ntype=string\nvalue=imap.example\n"

func TestAKeyringWithoutAPasswordIsNoMoreLockedThanItsFile(t *testing.T) {
	b := newBench(t, carol())
	b.root.File(carol(), carol().Home+"/.local/share/keyrings/plain.keyring", plainKeyring)
	k := newKeyring(t, b.root, carol())
	want(t, only(t, b.purge().Items, "keyring:plain#"), "keyring-delete", verified, "deleted")
	out, err := k.dbus("org.freedesktop.secrets", "/org/freedesktop/secrets/collection/plain", "org.freedesktop.DBus.Properties.Get",
		"string:org.freedesktop.Secret.Collection", "string:Locked")
	if err != nil || !strings.Contains(out, "boolean true") {
		t.Errorf("it was not locked again: %s, %v", out, err)
	}
	data, err := os.ReadFile(b.root.Path(carol().Home + "/.local/share/keyrings/plain.keyring"))
	if err != nil || strings.Contains(string(data), secret) || !strings.Contains(string(data), "hers") {
		t.Errorf("its file holds %q, %v", data, err)
	}
}

func TestTheKeyringFilesOfWhoIsNotLoggedIn(t *testing.T) {
	b := newBench(t, carol())
	keyrings := carol().Home + "/.local/share/keyrings/"
	k := newBus(t, b.root, carol())
	stop := k.gnome("trial")
	k.store(secret, "gh", "service", "gh:github.com", "username", "alice")
	stop()
	b.root.File(carol(), keyrings+"plain.keyring", plainKeyring)
	before := platformtest.Take(t, b.root.Path(carol().Home))

	r := b.seal()
	want(t, at(t, r.Items, keyrings+"plain.keyring"), "edit", verified, "sealed")
	want(t, at(t, r.Items, keyrings+"login.keyring"), "delete", verified, "sealed")
	if data, err := os.ReadFile(b.root.Path(keyrings + "plain.keyring")); err != nil || strings.Contains(string(data), secret) || !strings.Contains(string(data), "value=imap.example") {
		t.Errorf("plain.keyring holds %q, %v", data, err)
	}
	b.lift()
	if diff := before.Diff(platformtest.Take(t, b.root.Path(carol().Home))); len(diff) > 0 {
		t.Errorf("not as it was:\n%s", strings.Join(diff, "\n"))
	}

	b.run(cutoffv1.OrderKind_ORDER_KIND_PURGE, "cut_2")
	r = b.run(cutoffv1.OrderKind_ORDER_KIND_PURGE, "cut_2")
	want(t, at(t, r.Items, keyrings+"login.keyring"), "left", blocked, "locked")
	b.config.Scope = func() catalogue.Scope { return catalogue.Scope{Everything: true} }
	r = b.run(cutoffv1.OrderKind_ORDER_KIND_PURGE, "cut_2")
	want(t, at(t, r.Items, keyrings+"login.keyring"), "delete", verified, "deleted")
}

// kwallet starts a real wallet daemon with an open wallet.
func (k *keyring) kwallet(config string) (stop func()) {
	k.t.Helper()
	name := filepath.Join(strings.TrimPrefix(k.env[1], "HOME="), ".config")
	if out, err := k.run(config, "sh", "-c", "mkdir -p "+name+" && cat > "+name+"/kwalletrc"); err != nil {
		k.t.Fatal(out, err)
	}
	stop = k.start("", "kwalletd5")
	k.owns("org.kde.kwalletd5")
	key := "array:byte:" + strings.TrimSuffix(strings.Repeat("7,", 56), ",")
	if out, err := k.dbus("org.kde.kwalletd5", "/modules/kwalletd5", "org.kde.KWallet.pamOpen", "string:kdewallet", key, "int32:0"); err != nil {
		k.t.Fatal(out, err)
	}
	k.wait("the wallet", func() bool {
		out, err := k.dbus("org.kde.kwalletd5", "/modules/kwalletd5", "org.kde.KWallet.isOpen", "string:kdewallet")
		return err == nil && strings.Contains(out, "boolean true")
	})
	return stop
}

func TestAWalletThatIsTheKeyringIsTreatedLikeOne(t *testing.T) {
	b := newBench(t, carol())
	k := newBus(t, b.root, carol())
	k.kwallet("")() // makes the wallet; the next start shows it as a collection
	k.kwallet("")
	k.owns("org.freedesktop.secrets")
	k.store(secret, "gh", "service", "gh:github.com", "username", "alice")
	k.store("hers", "Mail", "service", "imap.example", "username", "alice")
	want(t, only(t, b.seal().Items, "keyring:"), "keyring-delete", verified, "sealed")
	if k.has("service", "gh:github.com") || !k.has("service", "imap.example") {
		t.Fatal("the wrong item went")
	}
	want(t, only(t, b.lift().Items, "keyring:"), "keyring-delete", verified, "restored")
	if out, err := k.run("", "secret-tool", "lookup", "service", "gh:github.com"); err != nil || out != secret {
		t.Errorf("the wallet holds %q, %v", out, err)
	}
	if out, err := k.dbus("org.kde.kwalletd5", "/modules/kwalletd5", "org.kde.KWallet.close", "string:kdewallet", "boolean:true"); err != nil {
		t.Fatal(out, err)
	}
	want(t, only(t, b.run(cutoffv1.OrderKind_ORDER_KIND_PURGE, "cut_2").Items, "keyring:kdewallet#"), "left", blocked, "locked")
}

func TestAWalletBesideTheKeyringGoesWholeOrNotAtAll(t *testing.T) {
	b := newBench(t, carol())
	k := newKeyring(t, b.root, carol())
	k.kwallet("[org.freedesktop.secrets]\napiEnabled=false\n")
	want(t, only(t, b.purge().Items, "kwallet:"), "left", blocked, "needs-prompt")
	b.config.Scope = func() catalogue.Scope { return catalogue.Scope{Everything: true} }
	want(t, only(t, b.purge().Items, "kwallet:"), "keyring-delete", verified, "deleted")
	if found, err := filepath.Glob(b.root.Path(carol().Home) + "/.local/share/kwalletd/*.kwl"); err != nil || len(found) > 0 {
		t.Errorf("%v is still there, %v", found, err)
	}
}

func TestAUsersVaultIsReportedAndLeft(t *testing.T) {
	b := scoped(t, catalogue.Scope{Everything: true})
	k := newBus(t, b.root, carol())
	k.vault()
	want(t, only(t, b.purge().Items, "keyring:"), "left", blocked, "user-vault")
	if !k.has("service", "gh:github.com") {
		t.Error("the vault lost its entry")
	}
}

// What waits for an unlock is looked at again when it comes.
func TestAnUnlockIsSeen(t *testing.T) {
	b := newBench(t, carol())
	k := newBus(t, b.root, carol())
	stop := k.gnome("trial")
	k.store(secret, "gh", "service", "gh:github.com", "username", "alice")
	stop()
	stop = k.gnome("")
	p, err := purge.New(b.config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	seen, done := make(chan struct{}, 1), make(chan error, 1)
	go func() { done <- p.WatchLocks(ctx, func() { seen <- struct{}{} }) }()
	t.Cleanup(func() { cancel(); <-done })
	r, err := p.Run(ctx, b.warrant(cutoffv1.OrderKind_ORDER_KIND_PURGE, "cut_1"))
	if err != nil || len(r.Locked()) != 1 {
		t.Fatalf("locked %v, %v", r.Locked(), err)
	}
	k.wait("a child that listens", func() bool {
		found, err := exec.Command("pgrep", "-P", strconv.Itoa(os.Getpid()), "-f", purge.ChildArg).Output()
		return err == nil && len(found) > 0
	})
	stop()
	k.gnome("trial")
	select {
	case <-seen:
	case <-time.After(20 * time.Second):
		t.Fatal("the unlock was not seen")
	}
}

// vault starts KeePassXC with a database that it shows as a keyring.
func (k *keyring) vault() {
	k.t.Helper()
	const script = `set -e
mkdir -p $HOME/.config/keepassxc $HOME/.cache
printf '[General]\nConfigVersion=2\n[FdoSecrets]\nEnabled=true\nConfirmAccessItem=false\nConfirmDeleteItem=false\nShowNotification=false\n' > $HOME/.config/keepassxc/keepassxc.ini
cat > $HOME/a.xml
printf 'pw\npw\n' | keepassxc-cli import -p $HOME/a.xml $HOME/a.kdbx
rm $HOME/a.xml`
	const database = `<?xml version="1.0" encoding="UTF-8"?><KeePassFile><Meta><CustomData><Item><Key>FDO_SECRETS_EXPOSED_GROUP</Key>
<Value>{11111111-1111-1111-1111-111111111111}</Value></Item></CustomData></Meta><Root><Group><UUID>EREREREREREREREREREREQ==</UUID><Name>Root</Name>
<Entry><UUID>IiIiIiIiIiIiIiIiIiIiIg==</UUID><String><Key>Title</Key><Value>gh</Value></String><String><Key>Password</Key><Value>` + secret + `</Value></String>
<String><Key>service</Key><Value>gh:github.com</Value></String></Entry></Group></Root></KeePassFile>`
	if out, err := k.run(database, "sh", "-c", script); err != nil {
		k.t.Fatal(out, err)
	}
	home := strings.TrimPrefix(k.env[1], "HOME=")
	k.start("pw\n", "keepassxc", "--pw-stdin", home+"/a.kdbx")
	k.owns("org.freedesktop.secrets")
	k.wait("the vault", func() bool {
		out, err := k.dbus("org.freedesktop.secrets", "/org/freedesktop/secrets", "org.freedesktop.DBus.Properties.Get",
			"string:org.freedesktop.Secret.Service", "string:Collections")
		return err == nil && strings.Contains(out, "/collection/a")
	})
}
