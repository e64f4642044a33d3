package process

import (
	"strings"
	"testing"
)

func TestANameMatchesAProgramExactly(t *testing.T) {
	for _, c := range []struct {
		what    string
		looks   looks
		name    string
		matches bool
	}{
		{"its executable", looks{executable: "/usr/bin/aws", command: "x"}, "aws", true},
		{"one that was upgraded meanwhile", looks{executable: "/usr/bin/gh (deleted)"}, "gh", true},
		{"part of a name", looks{executable: "/usr/bin/awsome", command: "awsome", arguments: []string{"awsome"}}, "aws", false},
		{"a folder's name", looks{executable: "/opt/aws/bin/tool", command: "tool"}, "aws", false},
		{"a command name that was cut", looks{executable: "/usr/bin/x", command: "session-manager"}, "session-manager", false},
		{"a long name by its executable", looks{executable: "/usr/bin/session-manager-plugin", command: "session-manager"}, "session-manager-plugin", true},
		{"a script of an interpreter", looks{executable: "/usr/bin/python3.11", command: "aws", arguments: []string{"/usr/bin/python3", "/usr/local/bin/aws", "s3", "ls"}}, "aws", true},
		{"a module of an interpreter", looks{executable: "/opt/az/bin/python3.11", arguments: []string{"/opt/az/bin/python3", "-Im", "azure.cli", "login"}}, "azure.cli", true},
		{"a script by its stem", looks{executable: "/usr/bin/python3", arguments: []string{"python3", "-S", "/usr/lib/google-cloud-sdk/lib/gcloud.py", "auth"}}, "gcloud", true},
		{"a script's argument", looks{executable: "/usr/bin/python3", arguments: []string{"python3", "serve.py", "aws"}}, "aws", false},
		{"what a shell is told with -c", looks{executable: "/bin/bash", command: "bash", arguments: []string{"bash", "-c", "aws"}}, "aws", false},
		{"an argument of another program", looks{executable: "/usr/bin/vim", arguments: []string{"vim", "aws"}}, "aws", false},
		{"a login shell", looks{executable: "/usr/bin/bash", command: "bash", arguments: []string{"-bash"}}, "bash", true},
		{"a subcommand", looks{executable: "/usr/lib/git-core/git", command: "git", arguments: []string{"/usr/lib/git-core/git", "credential-cache--daemon", "/s"}}, "git credential-cache--daemon", true},
		{"another subcommand", looks{executable: "/usr/bin/git", command: "git", arguments: []string{"git", "commit"}}, "git credential-cache--daemon", false},
		{"a class that java runs", looks{executable: "/usr/lib/jvm/bin/java", arguments: []string{"java", "-Xmx1g", "-cp", "/g.jar", "org.gradle.launcher.daemon.bootstrap.GradleDaemon", "8.5"}}, "org.gradle.launcher.daemon.bootstrap.GradleDaemon", true},
		{"a title that a program gave itself", looks{executable: "/usr/bin/ssh", command: "ssh", arguments: []string{"ssh: /home/a/.ssh/cm [mux]"}}, "ssh", true},
		{"a server's title", looks{executable: "/home/a/.cache/bazel/x/jdk/bin/java", arguments: []string{"bazel(work)", "-Xverify"}}, "bazel", true},
		{"nothing at all", looks{}, "", false},
	} {
		if got := match(c.looks, []string{c.name}) != ""; got != c.matches {
			t.Errorf("%s: %s: got %t", c.what, strings.Join(c.looks.arguments, " "), got)
		}
	}
}
