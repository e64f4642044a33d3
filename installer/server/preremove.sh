#!/bin/sh
# Before the files go. The data, and the keys in it, are never removed by a
# package: without them every agent is on its own, and nothing sealed opens.
set -e
case "$1" in remove | 0) ;; *) exit 0 ;; esac
if [ -d /run/systemd/system ]; then
	systemctl disable --now cutoff-server.service
fi
