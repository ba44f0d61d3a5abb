#!/usr/bin/env bash
# --overlay wireguard over wireguard-go, and its kind.
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
command -v wireguard-go >/dev/null || {
	skip "--overlay wireguard over wireguard-go" "no wireguard-go"
	finish
}
if [ ! -c /dev/net/tun ]; then
	skip "--overlay wireguard over wireguard-go" "no /dev/net/tun"
	finish
fi
# shellcheck disable=SC2034 # for what is sourced
kind=go
# shellcheck source=tests/netns/wireguard.sh
. "$top/tests/netns/wireguard.sh"
