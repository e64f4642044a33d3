#!/bin/sh
# After the files are gone. A removal keeps the state: installed again, the
# device is the same. dpkg's "purge" removes it, but never what it has sealed:
# those are the users' own secrets, which a lift gives back.
set -e
state=/var/lib/cutoff-agent

case "$1" in
purge)
	rm -f /etc/cutoff/agent.env /etc/cutoff/agent.env.new
	rm -f /etc/systemd/system/multi-user.target.wants/cutoff-agent.service
	rmdir /etc/cutoff 2>/dev/null || true
	if [ -n "$(ls -A "$state/sealed" 2>/dev/null)" ]; then
		echo "cutoff-agent: $state holds sealed secrets of users and is left; a lift needs it" >&2
	else
		rm -rf "$state"
	fi
	;;
esac
if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
	systemctl daemon-reload
fi
