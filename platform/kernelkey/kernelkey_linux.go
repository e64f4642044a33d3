package kernelkey

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Bounds of a user who makes keys to hide others.
const (
	maxKeys  = 2000
	maxDepth = 6
	maxProc  = 1 << 20
)

// apart runs what needs keyrings of its own on a thread that ends with it: a
// thread has its own credentials, and joins a new session keyring in which the
// user's hang, so that what is in them is possessed.
func apart(do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends
		done <- do()
	}()
	return <-done
}

// reach makes the user's keyrings possessed.
func reach(seen map[int32]entry, persistent bool) error {
	session, err := unix.KeyctlInt(unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("join a session keyring: %w", err)
	}
	if has(seen, "_uid.") { // else the kernel would make it
		for _, ring := range []int{unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_USER_SESSION_KEYRING} {
			if _, err := unix.KeyctlInt(unix.KEYCTL_LINK, ring, session, 0, 0); err != nil {
				return fmt.Errorf("enter the user's keyring: %w", err)
			}
		}
	}
	if persistent {
		if _, err := unix.KeyctlInt(unix.KEYCTL_GET_PERSISTENT, -1, session, 0, 0); err != nil {
			return fmt.Errorf("enter the persistent keyring: %w", err)
		}
	}
	return nil
}

func keys(taking bool) (out []Key, err error) {
	err = apart(func() error {
		seen, err := visible()
		if err != nil || len(seen) == 0 {
			return err
		}
		lasting := has(seen, "_persistent.")
		if err := reach(seen, taking && lasting); err != nil {
			return err
		}
		if seen, err = visible(); err != nil { // with what only its holder sees
			return err
		}
		out = arrange(seen)
		if lasting && !taking {
			// Its keyrings were not entered: what is in them hangs nowhere.
			out = slices.DeleteFunc(out, func(k Key) bool { return k.Ring == "" })
		}
		return nil
	})
	return out, err
}

// visible are the keys that /proc/keys shows to this user and are his.
func visible() (map[int32]entry, error) {
	file, err := os.Open("/proc/keys")
	if err != nil {
		return nil, fmt.Errorf("list keys: %w", err)
	}
	defer file.Close()
	data := make([]byte, maxProc)
	n := 0
	for n < len(data) { // the kernel hands out a page at a time
		m, err := file.Read(data[n:])
		n += m
		if err != nil {
			break
		}
	}
	out := map[int32]entry{}
	for _, e := range parse(string(data[:n])) {
		if e.live && e.uid == uint32(os.Getuid()) && len(out) < maxKeys {
			out[e.id] = e
		}
	}
	return out, nil
}

func has(seen map[int32]entry, prefix string) bool {
	name := prefix + strconv.Itoa(os.Getuid())
	for _, e := range seen {
		if e.kind == "keyring" && e.description == name {
			return true
		}
	}
	return false
}

// arrange says of each key which keyring it hangs in.
func arrange(seen map[int32]entry) []Key {
	uid := strconv.Itoa(os.Getuid())
	rings := map[string]string{"_uid." + uid: User, "_uid_ses." + uid: UserSession, "_persistent." + uid: Persistent}
	inside := map[int32]bool{}
	var out []Key
	for id, e := range seen {
		if name, ok := rings[e.description]; ok && e.kind == "keyring" {
			inside[id] = true
			out = append(out, below(id, name, seen, inside, 0)...)
		}
	}
	for id, e := range seen { // what hangs in a keyring of a process'
		if !inside[id] && (e.kind != "keyring" || strings.HasPrefix(e.description, "_krb")) && !strings.HasPrefix(e.kind, ".") {
			out = append(out, Key{ID: id, Type: e.kind, Description: e.description, UID: e.uid})
		}
	}
	return out
}

// below lists a keyring, and what hangs in keyrings in it.
func below(ring int32, name string, seen map[int32]entry, inside map[int32]bool, depth int) []Key {
	var out []Key
	for _, id := range members(ring) {
		e, ok := seen[id]
		if !ok || inside[id] || depth > maxDepth {
			continue
		}
		inside[id] = true
		k := Key{ID: id, Ring: name, Type: e.kind, Description: e.description, UID: e.uid}
		if e.kind == "keyring" {
			if strings.HasPrefix(e.description, "_uid") || strings.HasPrefix(e.description, "_persistent.") {
				inside[id] = false // a keyring of the list above, linked here
				continue
			}
			k.Keys = below(id, name+"/"+e.description, seen, inside, depth+1)
		}
		out = append(out, k)
	}
	return out
}

// members are the ids in a keyring; none of one that may not be read.
func members(ring int32) []int32 {
	buf := make([]byte, 4*maxKeys)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, int(ring), buf, 0)
	if err != nil || n <= 0 {
		return nil
	}
	ids := unsafe.Slice((*int32)(unsafe.Pointer(&buf[0])), min(n, len(buf))/4) //nolint:gosec // the kernel writes ids in its own byte order
	return append([]int32(nil), ids...)
}

func take(k Key) error {
	return apart(func() error {
		seen, err := visible()
		if err != nil {
			return err
		}
		if err := reach(seen, has(seen, "_persistent.")); err != nil {
			return err
		}
		return invalidate(k)
	})
}

// invalidate ends a key wherever it hangs: the kernel drops it at once.
func invalidate(k Key) error {
	var errs []error
	for _, m := range k.Keys {
		errs = append(errs, invalidate(m))
	}
	if _, err := unix.KeyctlInt(unix.KEYCTL_INVALIDATE, int(k.ID), 0, 0, 0); err != nil && !gone(err) {
		errs = append(errs, fmt.Errorf("invalidate key: %w", err))
	} else if _, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, int(k.ID)); !gone(err) {
		errs = append(errs, ErrLeft)
	}
	return errors.Join(errs...)
}

func gone(err error) bool {
	return errors.Is(err, unix.ENOKEY) || errors.Is(err, unix.EKEYREVOKED) || errors.Is(err, unix.EKEYEXPIRED)
}
