//go:build system

package system

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// emulated is a machine with a clock, a network card and a power switch of its
// own. Its root shell is on the second serial line.
type emulated struct {
	*machine
	disk  string
	boots int

	qemu  *exec.Cmd
	qmp   net.Conn
	shell net.Conn
	lines *bufio.Reader
	reply *bufio.Reader
}

const (
	// bootTime is for an emulated processor on a busy machine.
	bootTime = 5 * time.Minute
	callTime = time.Minute
)

// emulate makes a disk with the package installed, its settings laid down and
// alice's secret in place.
func emulate(t *testing.T) *emulated {
	t.Helper()
	kernel := os.Getenv("CUTOFF_MACHINE")
	if kernel == "" {
		t.Fatal("run make test-system as root: it needs a machine to emulate")
	}
	m, dir := prepare(t)
	m.packages("1.0.0")
	m.serve()
	e := &emulated{machine: m, disk: filepath.Join(dir, "disk.img")}
	_, port, err := net.SplitHostPort(m.server.Agents)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("CUTOFF_SYSTEM_TREE", filepath.Join(kernel, "tree"))
	root := m.disk()
	lay := func(path, mode, content string) {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		tool(t, "chmod", mode, path)
	}
	lay("/etc/cutoff/agent.env", "600", "CUTOFF_SERVER=10.0.2.2:"+port+"\nCUTOFF_TOKEN="+m.token()+"\n")
	lay("/etc/hostname", "644", "laptop\n")
	lay("/etc/systemd/network/test.network", "644", "[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\n")
	lay("/etc/systemd/system/shell.service", "644", "[Unit]\nDescription=shell\n[Service]\nStandardInput=tty-force\n"+
		"StandardOutput=tty\nStandardError=journal\nTTYPath=/dev/ttyS1\nTimeoutStopSec=1\nExecStartPre=/bin/stty -F /dev/ttyS1 raw -echo\nExecStart=/bin/sh\n[Install]\nWantedBy=multi-user.target\n")
	lay("/etc/systemd/system/systemd-user-sessions.service.d/test.conf", "644",
		"[Service]\nExecStartPre=/bin/sh -c 'ls /home/alice/.vault-token >/var/at-login 2>/dev/null || true'\n")
	tool(t, "cp", filepath.Join(m.bin, "1.0.0", filepath.Base(deb("1.0.0"))), filepath.Join(root, "agent.deb"))
	tool(t, "chroot", root, "sh", "-ec", `dpkg -i /agent.deb; rm /agent.deb; systemctl enable systemd-networkd shell; systemctl mask serial-getty@ttyS0 e2scrub_reap
		useradd -m -s /bin/bash alice; echo /dev/vda / ext4 rw 0 1 >/etc/fstab
		cd /home/alice; echo canary-aws >.vault-token; chown alice:alice .vault-token; chmod 600 .vault-token`)
	tool(t, "mke2fs", "-q", "-t", "ext4", "-d", root, e.disk, "1500M")
	t.Cleanup(func() {
		if t.Failed() {
			for i := 1; i <= e.boots; i++ {
				text, _ := os.ReadFile(e.console(i))
				t.Logf("console of boot %d:\n%s", i, text)
			}
		}
	})
	return e
}

func (e *emulated) console(boot int) string { return fmt.Sprintf("%s.%d", e.disk, boot) }

// on switches the machine on; its clock stands at now plus skew.
func (e *emulated) on(skew time.Duration, network bool) {
	e.t.Helper()
	e.boots++
	kernel, socket := os.Getenv("CUTOFF_MACHINE"), filepath.Join(filepath.Dir(e.disk), fmt.Sprint(e.boots))
	nic := "none"
	if network {
		nic = "user,id=net,model=virtio-net-pci"
	}
	e.qemu = exec.Command("qemu-system-x86_64", "-accel", "tcg", "-cpu", "qemu64", "-smp", "1", "-m", "512", "-display", "none", "-no-reboot",
		"-kernel", filepath.Join(kernel, "vmlinuz"), "-initrd", filepath.Join(kernel, "initrd"),
		"-append", "root=/dev/vda rw console=ttyS0", "-drive", "file="+e.disk+",if=virtio,format=raw", "-nic", nic,
		"-serial", "file:"+e.console(e.boots), "-chardev", "socket,id=shell,path="+socket+".shell,server=on,wait=off", "-serial", "chardev:shell",
		"-qmp", "unix:"+socket+".qmp,server=on,wait=off", "-rtc", "base="+time.Now().UTC().Add(skew).Format("2006-01-02T15:04:05"))
	e.qemu.Stderr = os.Stderr
	e.qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := e.qemu.Start(); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { _ = e.qemu.Process.Kill(); _ = e.qemu.Wait() })
	e.qmp = e.dial(socket + ".qmp")
	e.lines = bufio.NewReader(e.qmp)
	e.ask("qmp_capabilities", nil)
	e.shell = e.dial(socket + ".shell")
	e.reply = bufio.NewReader(e.shell)
	e.booted()
}

func (e *emulated) dial(path string) (conn net.Conn) {
	e.t.Helper()
	e.until(path, func() (ok bool) {
		var err error
		conn, err = net.Dial("unix", path)
		return err == nil
	})
	e.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// ask speaks with the emulator and returns what it answers.
func (e *emulated) ask(what string, with map[string]any) (answer struct{ Status string }) {
	e.t.Helper()
	raw, err := json.Marshal(map[string]any{"execute": what, "arguments": with})
	if with == nil {
		raw, err = json.Marshal(map[string]any{"execute": what})
	}
	if err == nil {
		_, err = e.qmp.Write(append(raw, '\n'))
	}
	for err == nil {
		var line []byte
		if line, err = e.lines.ReadBytes('\n'); err != nil {
			break
		}
		var m struct {
			Return json.RawMessage `json:"return"`
			Error  json.RawMessage `json:"error"`
		}
		if err = json.Unmarshal(line, &m); err == nil && m.Error != nil {
			err = fmt.Errorf("%s: %s", what, m.Error)
		}
		if m.Return != nil {
			_ = json.Unmarshal(m.Return, &answer) // not all have a status
			return answer
		}
	}
	e.t.Fatal(err)
	return answer
}

// booted waits for the shell, which comes last.
func (e *emulated) booted() {
	e.t.Helper()
	for deadline := time.Now().Add(bootTime); ; {
		if out, err := e.call("systemctl is-system-running", 5*time.Second); err == nil && (out == "running" || out == "degraded") {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatal("the machine does not boot")
		}
	}
}

// call runs a line in the machine's shell and returns what it prints.
func (e *emulated) call(line string, limit time.Duration) (string, error) {
	mark := fmt.Sprintf("end-%d", time.Now().UnixNano())
	if err := e.shell.SetDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	if _, err := fmt.Fprintf(e.shell, "%s\necho %s\n", line, mark); err != nil {
		return "", err
	}
	var out strings.Builder
	for {
		got, err := e.reply.ReadString('\n')
		if err != nil {
			return "", err
		}
		if strings.TrimSpace(got) == mark {
			return strings.TrimSpace(out.String()), nil
		}
		out.WriteString(got)
	}
}

func (e *emulated) run(line string) string {
	e.t.Helper()
	out, err := e.call(line, callTime)
	if err != nil {
		e.t.Fatalf("%s: %v", line, err)
	}
	return out
}

// off shuts the machine down in order.
func (e *emulated) off() {
	e.t.Helper()
	_, _ = fmt.Fprintln(e.shell, "systemctl poweroff")
	ended := make(chan error, 1)
	go func() { ended <- e.qemu.Wait() }()
	select {
	case <-ended:
	case <-time.After(bootTime):
		e.t.Fatal("the machine does not shut down")
	}
}
