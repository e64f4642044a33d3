// Package trial makes scratch laptops: a root folder with users, the
// credentials a developer's machine holds, and ordinary documents. Every
// secret is a canary that is searched for afterwards. It must not write
// anywhere but below the folder it is given.
package trial

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// User is one user of a scratch laptop.
type User struct {
	Name string
	UID  int
	Home string // below the root, absolute
}

// Laptop is a scratch laptop and what is known of it.
type Laptop struct {
	Root  string
	Users []User
	// Secrets maps a canary to the file it was put in.
	Secrets map[string]string
	// Mixed files lose their secrets and keep the rest; all other files with a
	// secret go, and everything else stays.
	Mixed map[string]bool
	err   error
}

// uids are alice's and bob's when root makes the laptop: nobody's, whom every
// machine knows (a session bus starts for nobody else), and one that none has.
var uids = []int{65534, 20002}

// New makes a laptop below root (which must not exist) with two users. As root
// they have uids of their own, else both have the caller's.
func New(root string) (*Laptop, error) {
	l := &Laptop{Root: root, Secrets: map[string]string{}, Mixed: map[string]bool{}}
	uid, gid := os.Getuid(), os.Getgid()
	for i, name := range []string{"alice", "bob"} {
		u := User{Name: name, UID: uid, Home: filepath.Join(root, "home", name)}
		if uid == 0 {
			u.UID = uids[i]
		}
		l.Users = append(l.Users, u)
	}
	passwd := "root:x:0:0:root:/root:/bin/bash\n"
	group := "root:x:0:\n"
	for _, u := range l.Users {
		g := gid
		if uid == 0 {
			g = u.UID
		}
		passwd += fmt.Sprintf("%s:x:%d:%d::/home/%s:/bin/bash\n", u.Name, u.UID, g, u.Name)
		group += fmt.Sprintf("%s:x:%d:\n", u.Name, g)
	}
	l.write(User{UID: uid}, "/etc/passwd", passwd, 0o644)
	l.write(User{UID: uid}, "/etc/group", group, 0o644)
	l.write(User{UID: uid}, "/etc/hostname", "alice-laptop\n", 0o644)
	l.write(User{UID: uid}, "/etc/machine-id", token(16)+"\n", 0o444)
	l.developer(l.Users[0])
	l.administrator(l.Users[1])
	return l, l.err
}

// write writes text to path below the root and gives it to the user. The
// folders it needs are the user's below his home, the caller's above.
func (l *Laptop) write(u User, path, text string, mode os.FileMode) {
	if l.err != nil {
		return
	}
	full := filepath.Join(l.Root, path)
	l.err = l.folders(u, filepath.Dir(full))
	if l.err == nil {
		l.err = os.WriteFile(full, []byte(text), mode)
	}
	if l.err == nil {
		l.err = os.Chmod(full, mode)
	}
	if l.err == nil && u.Home != "" && os.Getuid() == 0 {
		l.err = os.Lchown(full, u.UID, u.UID)
	}
	// An age of its own, so that a changed time shows.
	if l.err == nil {
		old := time.Now().Add(-time.Duration(len(text)) * time.Hour).Truncate(time.Second)
		l.err = os.Chtimes(full, old, old)
	}
}

func (l *Laptop) folders(u User, dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := l.folders(u, filepath.Dir(dir)); err != nil {
		return err
	}
	mode := os.FileMode(0o755)
	if u.Home != "" && strings.HasPrefix(dir, u.Home) {
		mode = 0o700
	}
	if err := os.Mkdir(dir, mode); err != nil {
		return err
	}
	if mode == 0o700 && os.Getuid() == 0 {
		return os.Chown(dir, u.UID, u.UID)
	}
	return nil
}

// home writes a file in the user's home. Each %s of text becomes a canary; a
// file with one must go as a whole.
func (l *Laptop) home(u User, path, text string) { l.place(u, path, text, 0o600, false) }

// mixed is home for a file that only loses its secrets.
func (l *Laptop) mixed(u User, path, text string) { l.place(u, path, text, 0o600, true) }

// keep writes a file that must stay as it is.
func (l *Laptop) keep(u User, path, text string) {
	l.write(u, filepath.Join("/home", u.Name, path), text, 0o644)
}

func (l *Laptop) place(u User, path, text string, mode os.FileMode, mixed bool) {
	full := filepath.Join("/home", u.Name, path)
	for strings.Contains(text, "%s") {
		canary := "cnry" + token(16)
		text = strings.Replace(text, "%s", canary, 1)
		l.Secrets[canary] = full
	}
	l.Mixed[full] = mixed
	l.write(u, full, text, mode)
}

// sshKey writes a real key pair; a stretch of the private half is the canary.
func (l *Laptop) sshKey(u User, path string) {
	if l.err != nil {
		return
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		l.err = err
		return
	}
	block, err := ssh.MarshalPrivateKey(private, u.Name+"@laptop")
	if err != nil {
		l.err = err
		return
	}
	text := string(pem.EncodeToMemory(block))
	full := filepath.Join("/home", u.Name, path)
	// The last lines hold the private scalar; the first ones the public half.
	lines := strings.Split(strings.TrimSpace(text), "\n")
	l.Secrets[lines[len(lines)-3]] = full
	l.write(u, full, text, 0o600)
	pub, err := ssh.NewPublicKey(public)
	if err != nil {
		l.err = err
		return
	}
	l.keep(u, path+".pub", strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub)))+" "+u.Name+"@laptop\n")
}

// token is n random bytes in hex.
func token(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return hex.EncodeToString(b)
}
