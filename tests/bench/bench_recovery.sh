#!/usr/bin/env bash
# make bench-recovery: daemons with N leases are killed and started: how long until they are ready,
# and whether everything is as before. N: 100000 in 1 s and 1000000 in 10 s, or the numbers given.
# shellcheck disable=SC2128,SC2154,SC2178,SC2034 # variables that lib.sh sets and reads by name
# shellcheck source=tests/netns/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../netns/lib.sh"
LEASES=${LEASES:-100000 1000000}
PER_SECOND=100000
leases=$top/build/bench/leases

topology
netmap '.apps[0].domains = ["*.bench.test"] | .ipPools.v4MagicIPPool = ["10.64.0.0/10"] |
	.ipPools.v4TransitIPPool = ["10.128.0.0/10"]'
{
	printf '$ORIGIN bench.test.\n$TTL 300\n'
	echo '@ SOA ns hostmaster 1 3600 600 86400 60'
	echo '@ NS ns.example.com.'
	echo '* A 203.0.113.9'
} | zone bench.test
standard_zones
dns_server
web_server
ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

timed_start() { # NODE: milliseconds until it is ready, in `took`
	local node=$1 flags=() started line
	[[ $node == connector* ]] || flags=("${client_flags[@]}")
	rm -f "$dir/ready" # the one before is still read
	mkfifo "$dir/ready"
	started=$(ms)
	nsenter --net="/run/netns/$node" "$CONN25" run --netmap "$netmap_file" --node "$node" \
		--pin "/sys/fs/bpf/$node" --control "/run/$node.sock" --max-mappings "$n" \
		"${flags[@]}" 2>"$dir/ready" &
	printf -v "pid_$node" %s $!
	exec 7<"$dir/ready"
	while read -r -t 30 line <&7; do
		echo "$line" >>"$dir/$node.log"
		[[ $line == *" ready: "* ]] && took=$(($(ms) - started)) && break
	done
	cat <&7 >>"$dir/$node.log" &
	exec 7<&-
	[[ $line == *" ready: "* ]] || fatal "$node is ready"
}
memory() { # NODE: resident, MiB
	local pid=pid_$1
	awk '/VmRSS/ { print int($2 / 1024) }' "/proc/${!pid}/status"
}
settled() { # the connector agreed to every lease anew
	[ "$("$leases" since /sys/fs/bpf/connector "$second")" -ge "$n" ]
}

for n in $LEASES; do
	allowed=$((n * 1000 / PER_SECOND))
	for node in connector client; do
		timed_start "$node"
		echo "# $n leases to come: $node is ready after $took ms, $(memory "$node") MiB"
		conn25_stop "$node" KILL
	done
	"$leases" fill "$netmap_file" /sys/fs/bpf/client /sys/fs/bpf/connector "$n" || fatal "$n leases are written"
	for node in connector client; do
		before=$("$leases" digest "/sys/fs/bpf/$node")
		check_match "$node: $n entries are there before" " $n " "$before"
		# What is agreed to from now on bears a later second than what was written before.
		sleep 1.1
		second=$(cut -d. -f1 /proc/uptime)
		timed_start "$node"
		[ "$took" -lt "$allowed" ]
		check_eq "$node: ready within $allowed ms with $n leases, after SIGKILL ($took ms)" 0 $?
		check_eq "$node: everything is as before" "$before" "$("$leases" digest "/sys/fs/bpf/$node")"
		echo "# $node: $(memory "$node") MiB"
	done
	started=$(ms)
	answer=$(lookup client "d$((n / 2)).bench.test" A)
	echo "# a leased name is answered $(($(ms) - started)) ms after it was asked, while all are told again"
	check_match "a leased name keeps its address" '^10\.' "$answer"
	in_ns client curl -sS --max-time 5 -o /dev/null "http://$answer/"
	check_eq "and carries traffic" 0 $?
	wait_for 120 settled
	check_eq "every lease is agreed to anew" 0 $?
	echo "# after $(($(ms) - started)) ms; client $(memory client) MiB, connector $(memory connector) MiB"
	for node in client connector; do
		before=$("$leases" digest "/sys/fs/bpf/$node")
		conn25_stop "$node" KILL
		timed_start "$node"
		[ "$took" -lt "$allowed" ]
		check_eq "$node: ready within $allowed ms once more ($took ms)" 0 $?
		check_eq "$node: everything is as before" "$before" "$("$leases" digest "/sys/fs/bpf/$node")"
	done
	for node in client connector; do
		conn25_stop "$node" KILL
		conn25 "$node" detach >/dev/null 2>&1
		check_eq "$node: detach takes it all away" 0 $?
	done
done
finish
