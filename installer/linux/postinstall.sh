#!/bin/sh
# After the files are in place, at a first installation and at an upgrade. Asks
# nothing. dpkg says "configure", rpm how many versions are installed now.
set -e
settings=/etc/cutoff/agent.env
state=/var/lib/cutoff-agent

case "$1" in configure | 1 | 2 | abort-*) ;; *) exit 0 ;; esac

# An MDM may hand over the server and the token by the installer's environment.
# The token goes from there to a file that only root reads, never to a command
# line: printf is the shell's own. A device that is enrolled needs neither.
if [ -n "$CUTOFF_SERVER" ] && [ ! -e "$state/agent.yaml" ]; then
	if [ -z "$CUTOFF_TOKEN" ] && [ -n "$CUTOFF_TOKEN_FILE" ]; then
		CUTOFF_TOKEN=$(cat "$CUTOFF_TOKEN_FILE")
	fi
	if [ -n "$CUTOFF_TOKEN" ]; then
		(
			umask 077
			printf 'CUTOFF_SERVER=%s\nCUTOFF_TOKEN=%s\n' "$CUTOFF_SERVER" "$CUTOFF_TOKEN" >"$settings.new"
			mv -f "$settings.new" "$settings"
		)
	fi
fi

command -v systemctl >/dev/null || exit 0
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
# A service that an administrator disabled or masked stays so at an upgrade.
if [ "$1" = 1 ] || { [ "$1" = configure ] && [ -z "$2" ]; }; then
	systemctl --no-reload enable cutoff-agent.service >/dev/null 2>&1 || echo "cutoff-agent: not enabled" >&2
	[ ! -d /run/systemd/system ] || systemctl start --no-block cutoff-agent.service
elif [ -d /run/systemd/system ] && systemctl --quiet is-enabled cutoff-agent.service; then
	systemctl restart --no-block cutoff-agent.service
fi
