#!/usr/bin/env bash
# A resolver falls silent under far more questions than the forwarder keeps.
# shellcheck disable=SC2154,SC2317 # set by name; called by wait_for
DOMAINS=100
# shellcheck source=tests/bench/dns_lib.sh
. "$(dirname "$0")/../bench/dns_lib.sh"
real=203.0.113.0/24 magic=198.18.0.0/16
burst=50000
kept=8192 # DNS_QUERIES

dns_netmap
dns_client --dns-intercept 'kpod*' --dns-intercept-to 192.0.2.53
check "names are leased" ask podkernel 192.0.2.53 53 $((2 * DOMAINS)) bench.test $magic
check "other names are answered" ask pod 10.244.1.1 53 "$DOMAINS" other.test $real

rss() { awk '/^VmRSS/ { print $2 }' "/proc/$pid_client/status"; }
overload() { conn25 client status --json | jq '.client.dns.overload'; }
flood() { in_ns pod "$LOAD" burst 10.244.1.1 53 $burst burst.test $((kept + 1024)) >"$dir/flood" 2>&1; }
flood_check() { # CLAIM
	local open lost took
	read -r open lost took <"$dir/flood"
	[[ $lost =~ ^[0-9]+$ && $took =~ ^[0-9]+$ && $took -lt 4500 ]]
	check_eq "$1: $burst questions are asked while the first still wait ($open, $lost, $took ms)" 0 $?
	check_eq "$1: as many wait as there is room for" "$kept" "$open"
	check_eq "$1: each is answered SERVFAIL in the end" 0 "$lost"
}

kill -STOP "$server_client"
idle=$(rss)
flood &
flooding=$!
full() { [ "$(overload)" -gt $((burst / 2)) ]; }
wait_for 5 full
check "leased names are answered by the kernel meanwhile" ask podkernel 192.0.2.53 53 1000 bench.test $magic
wait $flooding
flood_check "the resolver is silent"
[ "$(overload)" -ge $((burst - kept)) ]
check_eq "those beyond are counted as overload" 0 $?

first=$(rss)
flood
flood_check "again"
second=$(rss)
[ $((first - idle)) -lt 32768 ]
check_eq "memory stays bounded ($idle, then $first KiB)" 0 $?
[ $((second - first)) -lt 1024 ]
check_eq "the second time takes no more ($second KiB)" 0 $?

kill -CONT "$server_client"
check "when it speaks again other names are answered" ask pod 10.244.1.1 53 $((10 * DOMAINS)) other.test $real
check "and names that are configured" ask pod 10.244.1.1 53 $((10 * DOMAINS)) bench.test $magic
finish
