#!/bin/sh
# Fetches the key revocation list, checks who signed it and that it is newer,
# and puts it in place whole. Stock tools only: curl and OpenSSH 8.9 or later.
#
#   cutoff-krl-update.sh URL NAME ALLOWED_SIGNERS KRL [HOST TOKEN_FILE]
#
# URL is the console's, NAME the connector's. ALLOWED_SIGNERS has the line
#   cutoff namespaces="cutoff-krl-NAME" ssh-ed25519 AAAA…
# TOKEN_FILE has the line "Authorization: Bearer TOKEN". CUTOFF_CA names a file
# of certificate authorities, unless the system trusts the console's.
set -eu
url=$1 name=$2 signers=$3 krl=$4 host=${5:-} token=${6:-}
new=$(mktemp "$krl.XXXXXX")
trap 'rm -f "$new" "$new.sig"' EXIT

version() { ssh-keygen -Q -l -f "$1" 2>/dev/null | sed -n 's/^# KRL version \([0-9][0-9]*\)$/\1/p'; }
get() {
	curl --silent --show-error --fail --max-time 20 --max-filesize 16777216 --proto '=https' \
		${CUTOFF_CA:+--cacert "$CUTOFF_CA"} ${token:+--header "@$token"} "$@"
}

have=$(version "$krl") || true
have=${have:-0}
status=$(get -H "If-None-Match: \"v$have\"" -o "$new" -w '%{http_code}' "$url/krl/$name/list?host=$host&have=$have")
[ "$status" = 304 ] && exit 0
get -o "$new.sig" "$url/krl/$name/list.sig"
ssh-keygen -Y verify -f "$signers" -I cutoff -n "cutoff-krl-$name" -s "$new.sig" <"$new" >/dev/null
offered=$(version "$new")
if [ "${offered:-0}" -le "$have" ]; then
	echo "cutoff-krl-update: offered version ${offered:-none}, have $have: kept" >&2
	exit 1
fi
chmod 0644 "$new"
mv -f "$new" "$krl"
# Say at once that it is in use.
get -H "If-None-Match: \"v$offered\"" -o /dev/null "$url/krl/$name/list?host=$host&have=$offered" || true
