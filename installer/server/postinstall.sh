#!/bin/sh
# After the files are in place. The server is not started by itself the first
# time: its addresses are the administrator's to choose.
set -e
case "$1" in configure | 1 | 2 | abort-*) ;; *) exit 0 ;; esac
if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers cutoff-server.conf
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart cutoff-server.service
fi
