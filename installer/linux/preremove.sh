#!/bin/sh
# Before the files go. At an upgrade the agent runs on; its new version restarts
# it. dpkg says "remove" or "upgrade", rpm how many versions will be left.
set -e
case "$1" in remove | 0) ;; *) exit 0 ;; esac

# The server hears it first, from the running agent as it is stopped, or from
# this command. A removal is not held up by a server that does not answer:
# silence tells it, too.
/usr/bin/cutoff-agent leave --state /var/lib/cutoff-agent ||
	echo "cutoff-agent: removed without the server's knowledge" >&2
command -v systemctl >/dev/null || exit 0
if [ -d /run/systemd/system ]; then
	systemctl stop cutoff-agent.service
fi
# dpkg: what was enabled is so when it is installed again; a purge forgets it.
if [ "$1" = 0 ]; then
	systemctl --no-reload disable cutoff-agent.service >/dev/null 2>&1 || true
fi
