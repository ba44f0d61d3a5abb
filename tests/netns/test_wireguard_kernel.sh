#!/usr/bin/env bash
# --overlay wireguard over the kernel's devices.
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
ip link add probe type wireguard 2>/dev/null || {
	skip "--overlay wireguard over the kernel's WireGuard" "Linux $(uname -r) has none"
	finish
}
ip link del probe
# shellcheck disable=SC2034 # for what is sourced
kind=kernel
# shellcheck source=tests/netns/wireguard.sh
. "$top/tests/netns/wireguard.sh"
