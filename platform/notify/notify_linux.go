package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/godbus/dbus/v5"
	"golang.org/x/sync/errgroup"

	"cutoff/platform/command"
	"cutoff/platform/files"
	"cutoff/platform/paths"
	"cutoff/platform/users"
)

const (
	// rootFD is the child's descriptor of the root its bus is below.
	rootFD = 3
	// most bounds how many desktops are spoken to at once.
	most = 8
	// maxJob bounds what a child reads.
	maxJob = 64 << 10
	shown  = "shown\n"
)

// job is what a child is told.
type job struct {
	UID    uint32
	Notice Notice
}

func show(ctx context.Context, root string, n Notice) (int, error) {
	if root == "" {
		root = "/"
	}
	top, err := files.Open(root)
	if err != nil {
		return 0, fmt.Errorf("show notice: %w", err)
	}
	defer top.Close()
	all, err := seated(top, root)
	if err != nil {
		return 0, fmt.Errorf("show notice: %w", err)
	}
	var told atomic.Int32
	var work errgroup.Group
	work.SetLimit(most)
	for _, u := range all {
		work.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, Time)
			defer cancel()
			if err := toOne(ctx, top, u, n); err != nil {
				return fmt.Errorf("show notice to uid %d: %w", u.UID, err)
			}
			told.Add(1)
			return nil
		})
	}
	err = work.Wait() // one that does not answer is no reason not to tell the rest
	return int(told.Load()), err
}

// seated are the users with a session bus that is their own, once each.
func seated(top *files.Dir, root string) ([]users.User, error) {
	if root == "/" {
		root = ""
	}
	all, err := users.List(root)
	if err != nil {
		return nil, err
	}
	seen := map[uint32]bool{}
	var out []users.User
	for _, u := range all {
		info, err := top.AcrossMounts().Stat(bus(u.UID))
		if err != nil || seen[u.UID] || info.Kind != files.Socket || info.UID != u.UID || os.Geteuid() != 0 && int(u.UID) != os.Geteuid() {
			continue
		}
		seen[u.UID] = true
		out = append(out, u)
	}
	return out, nil
}

func bus(uid uint32) string {
	return strings.TrimPrefix(paths.Runtime(strconv.FormatUint(uint64(uid), 10)), "/") + "/bus"
}

func toOne(ctx context.Context, top *files.Dir, u users.User, n Notice) error {
	child := command.Child{Args: []string{ChildArg}, UID: u.UID, GID: u.GID, Groups: u.Groups, Files: []*os.File{top.File()}}
	return child.Run(ctx, func(in io.WriteCloser, out io.Reader) error {
		if err := json.NewEncoder(in).Encode(job{UID: u.UID, Notice: n}); err != nil {
			return err
		}
		answer, err := io.ReadAll(io.LimitReader(out, int64(len(shown))))
		if err == nil && string(answer) != shown {
			err = errors.New("the desktop did not take it")
		}
		return err
	})
}

func childMain() int {
	if command.Harden() != nil {
		return 1
	}
	ctx, cancel := context.WithTimeout(context.Background(), Time)
	defer cancel()
	var j job
	if json.NewDecoder(io.LimitReader(os.Stdin, maxJob)).Decode(&j) != nil {
		return 1
	}
	root := files.FromFile(os.NewFile(rootFD, "root"))
	if j.speak(ctx, root.AcrossMounts()) != nil {
		return 1
	}
	_, _ = io.WriteString(os.Stdout, shown)
	return 0
}

// Urgency levels of the Desktop Notifications Specification.
const (
	normal   byte = 1
	critical byte = 2
)

// speak asks the desktop's notification service, which the bus may start.
func (j job) speak(ctx context.Context, root *files.Dir) error {
	conn, err := root.Dial(ctx, bus(j.UID), j.UID)
	if err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return errors.Join(err, conn.Close())
		}
	}
	b, err := dbus.NewConn(conn, dbus.WithContext(ctx))
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	defer func() { _ = b.Close() }()
	if err := b.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		return err
	}
	if err := b.Hello(); err != nil {
		return err
	}
	urgency, expires := normal, int32(-1) // as the desktop likes
	if j.Notice.Urgent {
		urgency, expires = critical, 0 // never
	}
	var id uint32
	return b.Object("org.freedesktop.Notifications", "/org/freedesktop/Notifications").CallWithContext(ctx,
		"org.freedesktop.Notifications.Notify", 0, "Cutoff", uint32(0), "dialog-warning", j.Notice.Title, plain(j.Notice.Text),
		[]string{}, map[string]dbus.Variant{"urgency": dbus.MakeVariant(urgency)}, expires).Store(&id)
}

// plain is text that a desktop which reads markup shows as it is.
func plain(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
}
