// Package process finds the processes of one user by their exact names and ends
// them. It never touches another user's process, this process, or one that this
// process runs under, and it must not know why a process is to end.
package process

import (
	"context"
	"path"
	"slices"
	"strings"
	"time"
)

// Process is one running process, held so that its number cannot come to mean
// another one meanwhile.
type Process struct {
	PID int
	UID uint32
	// Name is the name that was asked for and that it has.
	Name   string
	handle handle
}

// Query says whose processes are looked for.
type Query struct {
	// Names are exact: the executable's or the command's, the script's that an
	// interpreter runs, or "command subcommand".
	Names []string
	// All: whatever its name.
	All bool
	// Own reports whether uid is one of the users meant; Session, whether only
	// what runs in a login session of his counts, as it does for accounts that
	// system services run as.
	Own     func(uid uint32) bool
	Session func(uid uint32, name string) bool
}

// Find lists the running processes that q means. Each must be closed, also when
// there is an error: it says that some were not looked at.
func Find(q Query) ([]*Process, error) { return find(q) }

// Freeze stops p where it is: whoever is to be killed with others is frozen with
// them first, so that none sees another's end and writes something about it.
func (p *Process) Freeze() error { return p.signal(freeze) }

// Kill ends p at once; Terminate asks it to end. One that ended is no error.
func (p *Process) Kill() error      { return p.signal(kill) }
func (p *Process) Terminate() error { return p.signal(terminate) }

// Wait reports whether p has ended before ctx did.
func (p *Process) Wait(ctx context.Context) bool { return p.wait(ctx) }

// Close lets go of p.
func (p *Process) Close() { p.close() }

// Stop ends all of them: asked first when grace is not zero, and killed when it
// is over. It returns those that had not ended after another patience.
func Stop(ctx context.Context, all []*Process, grace, patience time.Duration) []*Process {
	if grace > 0 {
		for _, p := range all {
			_ = p.Terminate() // what cannot be asked is killed below
		}
		all = alive(ctx, all, grace)
	}
	KillAll(all)
	return alive(ctx, all, patience)
}

// KillAll kills all of them as if in one moment.
func KillAll(all []*Process) {
	for _, p := range all {
		_ = p.Freeze() // what cannot be frozen is killed
	}
	for _, p := range all {
		_ = p.Kill() // what cannot be killed is found alive by Wait
	}
}

// alive returns those that did not end in time.
func alive(ctx context.Context, all []*Process, within time.Duration) []*Process {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var left []*Process
	for _, p := range all {
		if !p.Wait(ctx) {
			left = append(left, p)
		}
	}
	return left
}

// looks is what a process shows of itself. Whoever runs it chooses all of it,
// so it only ever decides about his own processes.
type looks struct {
	executable string
	command    string // at most 15 bytes
	arguments  []string
}

// maxCommand is how much of a name the kernel keeps as a command's.
const maxCommand = 15

// match returns the first of names that the process has, or "".
func match(l looks, names []string) string {
	has := map[string]bool{}
	base := path.Base(strings.TrimSuffix(l.executable, " (deleted)"))
	if l.executable != "" {
		has[base] = true
	}
	// Only a whole command name says anything: a cut one may be another's.
	if l.command != "" && len(l.command) < maxCommand {
		has[l.command] = true
	}
	var first string
	if len(l.arguments) > 0 {
		first = strings.TrimPrefix(path.Base(l.arguments[0]), "-") // a login shell's
		title, _, _ := strings.Cut(first, ":")                     // "ssh: /path [mux]"
		has[first], has[title] = true, true
		if name, _, titled := strings.Cut(first, "("); titled { // "bazel(workspace)"
			has[name] = true
		}
	}
	program := base
	if l.executable == "" {
		program = first
	}
	if script := scriptOf(program, l.arguments); script != "" {
		has[script] = true
		has[strings.TrimSuffix(strings.TrimSuffix(script, ".py"), ".js")] = true
	}
	if sub := subcommand(l.arguments); sub != "" {
		has[program+" "+sub], has[first+" "+sub] = true, true
	}
	delete(has, "")
	for _, n := range names {
		if has[n] {
			return n
		}
	}
	return ""
}

// interpreters run a script that is the program the user means.
var interpreters = []string{"python", "python2", "python3", "pypy3", "node", "nodejs", "deno", "bun", "ruby", "perl", "sh", "bash", "dash", "zsh", "java"}

// scriptOf is the script, module or class that an interpreter runs.
func scriptOf(program string, arguments []string) string {
	plain, _, _ := strings.Cut(program, ".") // python3.11
	if !slices.Contains(interpreters, plain) || len(arguments) < 2 {
		return ""
	}
	for i := 1; i < len(arguments); i++ {
		a := arguments[i]
		next := ""
		if i+1 < len(arguments) {
			next = arguments[i+1]
		}
		switch {
		case plain == "java" && (a == "-cp" || a == "-classpath" || a == "--class-path"):
			i++
		case plain == "java" && a == "-jar":
			return path.Base(next)
		case strings.HasPrefix(plain, "py") && strings.HasPrefix(a, "-") && !strings.HasPrefix(a, "--") && strings.HasSuffix(a, "m"):
			return next
		case a == "-c" || a == "-e" || a == "--eval":
			return ""
		case !strings.HasPrefix(a, "-"):
			return path.Base(a)
		}
	}
	return ""
}

// subcommand is the first argument, if it is a word.
func subcommand(arguments []string) string {
	if len(arguments) < 2 || strings.HasPrefix(arguments[1], "-") || strings.ContainsAny(arguments[1], "/ ") {
		return ""
	}
	return arguments[1]
}
