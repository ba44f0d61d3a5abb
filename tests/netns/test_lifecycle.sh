#!/usr/bin/env bash
# Start, stop, crash, take over, detach: what stays, what goes, and what is never touched.
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
netmap
standard_zones
dns_server
web_server

# What the hosts look like before conn25 has ever run.
picture() { # NS
	in_ns "$1" ip -br link | awk '{print $1, $NF}' | sort
	in_ns "$1" ip -o addr | grep -v tentative | awk '{print $2, $4}' | sort
	in_ns "$1" ip rule
	in_ns "$1" ip -6 rule
	in_ns "$1" ip route show table all | grep -vE 'ff00|fe80' | sort
	in_ns "$1" ip -6 route show table all | grep -vE 'ff00|fe80' | sed 's/ pref medium//' | sort
	in_ns "$1" nft list ruleset 2>/dev/null
}
picture client >"$dir/client.before"
picture connector >"$dir/connector.before"

conn25_start connector
conn25_start client
magic4=$(lookup client example.com A)
magic6=$(lookup client example.com AAAA)
fetch() { in_ns "${1:-client}" curl -sS --max-time $((5 * slow)) "http://$magic4/" "http://[$magic6]/"; }
check "traffic flows" fetch

# A second daemon of the node is refused and harms nothing.
out=$(in_ns client timeout 10 "$CONN25" run --netmap "$dir/netmap.json" --node client \
	--pin /sys/fs/bpf/client --control /run/client.sock --dns-listen 127.0.0.1:53 2>&1)
check_eq "a second daemon ends with 1" 1 $?
check_match "it says why" 'another conn25 runs' "$out"
check "and the first goes on" fetch

conn25_stop client TERM
check_eq "SIGTERM ends the daemon with 0" 0 $?
conn25_stop connector INT
check_eq "SIGINT ends the daemon with 0" 0 $?
check "without daemons the datapath keeps translating" fetch
check "also for pods" fetch pod
check_match "map answers with the daemon dead" "$magic4" "$(conn25 client map client)"
check_match "map --json is JSON" "$magic6" "$(conn25 client map --json | jq -c .)"
out=$(conn25 client status 2>&1)
check_eq "status without daemon ends with 1" 1 $?
check_match "and says what to do" 'no daemon answers.*conn25 run' "$out"

conn25_start connector
conn25_start client
check_match "a start takes the leases up" '2 leases taken up' "$(cat "$dir/client.log")"
check_match "a start takes the mappings up" '2 mappings taken up' "$(cat "$dir/connector.log")"
check_eq "the name keeps its magic address" "$magic4" "$(lookup client example.com A)"
check "traffic flows after the take-over" fetch

# kill -9 in the middle of a stream.
head -c 50000000 /dev/urandom >"$dir/www/blob"
in_ns client curl -s --limit-rate 20M --max-time $((30 * slow)) "http://$magic4/blob" | sha256sum >"$dir/sum" &
stream=$!
wait_for 5 grep -q GET "$dir/access.log"
for i in 1 2 3; do
	conn25_stop client KILL
	conn25_stop connector KILL
	conn25_start connector
	conn25_start client
done
wait $stream
check_eq "a stream survives kill -9 of both daemons, three times" \
	"$(sha256sum <"$dir/www/blob")" "$(cat "$dir/sum")"
check_eq "and the name keeps its magic address" "$magic6" "$(lookup client example.com AAAA)"

programs=$(for link in /sys/fs/bpf/*/links/*; do
	bpftool -j link show pinned "$link" | jq .prog_id
done)
conn25_stop client
conn25_stop connector
for node in client connector; do
	conn25 "$node" detach >/dev/null 2>&1
	check_eq "detach ends with 0 on the $node" 0 $?
	conn25 "$node" detach >/dev/null 2>&1
	check_eq "detach may be repeated on the $node" 0 $?
	picture "$node" >"$dir/$node.after"
	check_eq "detach leaves the $node as it was" "" "$(diff "$dir/$node.before" "$dir/$node.after")"
	[ ! -e "/sys/fs/bpf/$node" ]
	check_eq "no pin is left on the $node" 0 $?
done
for id in $programs; do
	wait_for 5 eval "! bpftool prog show id $id >/dev/null 2>&1" || break
done
[ -n "$programs" ] && ! bpftool prog show id "$id" >/dev/null 2>&1
check_eq "no program of ours stays loaded" 0 $?

# Detach beside a living daemon: what it takes away does not come back.
conn25_start client
conn25 client detach >/dev/null 2>&1
wait "${pid_client:-}"
check_eq "a daemon whose datapath is detached ends with 1" 1 $?
check_match "and says so" 'gone: detached; ending' "$(cat "$dir/client.log")"
picture client >"$dir/client.after"
check_eq "and leaves the client as it was" "" "$(diff "$dir/client.before" "$dir/client.after")"

# --detach-on-exit.
conn25_start client --detach-on-exit
conn25_stop client
picture client >"$dir/client.after"
check_eq "--detach-on-exit leaves the client as it was" "" \
	"$(diff "$dir/client.before" "$dir/client.after")"

# Neighbours on the same device are never touched.
conn25_start connector
in_ns connector tc qdisc add dev wan0 clsact
in_ns connector tc filter add dev wan0 ingress prio 7 bpf bytecode '1,6 0 0 0'
conn25_start client
magic4=$(lookup client example.com A)
magic6=$(lookup client example.com AAAA)
check "traffic flows beside another tc filter" fetch
conn25_stop connector
conn25 connector detach >/dev/null 2>&1
check_match "the other filter stays" 'pref 7 bpf' "$(in_ns connector tc filter show dev wan0 ingress)"
finish
