#!/usr/bin/env bash
# What a changed netmap does while the daemons run, and what a start that fails leaves behind.
# shellcheck source=tests/netns/lib.sh disable=SC2317
. "$(dirname "$0")/lib.sh"
topology
netmap
standard_zones
dns_server
web_server

picture() { # NS
	in_ns "$1" ip -br link | awk '{print $1, $NF}' | sort
	in_ns "$1" ip rule
	in_ns "$1" ip -6 rule
	in_ns "$1" ip route show table all | grep -vE 'ff00|fe80' | sort
	in_ns "$1" ip -6 route show table all | grep -vE 'ff00|fe80' | sed 's/ pref medium//' | sort
}
refused_start() { # FLAGS...: of the client, which is not to come up
	in_ns client timeout 20 "$CONN25" run --netmap "$dir/netmap.json" --node client \
		--pin /sys/fs/bpf/client --control /run/client.sock --dns-upstream 192.0.2.53 "$@" 2>&1
}
reloads() { grep -c 'netmap reloaded' "$dir/$1.log"; }
more_reloads() { [ "$(reloads "$1")" -gt "$2" ]; }
# reload JQ-FILTER: in force on both nodes.
reload() {
	local a b
	a=$(reloads client) b=$(reloads connector)
	netmap "$1"
	wait_for 5 more_reloads client "$a" || fatal "the client reloads" "$(cat "$dir/client.log")"
	wait_for 5 more_reloads connector "$b" || fatal "the connector reloads" "$(cat "$dir/connector.log")"
}
leases() { conn25 client status --json | jq -c '[.client.apps[] | .app as $a | .domains[] | [$a, .domain]]'; }
mappings() { conn25 connector status --json | jq -c '[.connector.peers[].apps[] | [.app, (.addresses | length)]]'; }
is() { [ "$("$1")" = "$2" ]; }
fetch() { in_ns client curl -sS --max-time 5 "http://$magic4/"; }

# A start that fails.
picture client >"$dir/before"
nsenter --net=/run/netns/client socat UDP4-RECVFROM:53,bind=127.0.0.1,fork SYSTEM:true &
taken=$!
wait_for 5 eval "in_ns client ss -Hlnu 'sport = 53' | grep -q ."
out=$(refused_start)
check_eq "a start without its DNS port ends with 1" 1 $?
check_match "it names the address and the flag" 'listen for DNS on 127.0.0.1:53 \(--dns-listen\)' "$out"
picture client >"$dir/after"
check_eq "a first start that fails leaves no device, route and rule" "" "$(diff "$dir/before" "$dir/after")"
check_eq "and no pin" "" "$(ls -d /sys/fs/bpf/client 2>/dev/null)"
check_eq "and no socket" "" "$(ls /run/client.sock 2>/dev/null)"
kill "$taken"
wait "$taken" 2>/dev/null
out=$(refused_start --dns-listen 192.0.2.53:53 --dns-listen 127.0.0.1:53)
check_match "an upstream that is the daemon itself is refused" 'is this daemon itself' "$out"

conn25_start connector
conn25_start client
magic4=$(lookup client example.com A)
check "traffic flows" fetch

# A start that fails beside a datapath of before leaves that alone.
conn25_stop client
nsenter --net=/run/netns/client socat UDP4-RECVFROM:53,bind=127.0.0.1,fork SYSTEM:true &
taken=$!
wait_for 5 eval "in_ns client ss -Hlnu 'sport = 53' | grep -q ."
out=$(refused_start)
check_eq "a later start that fails ends with 1 too" 1 $?
check "and the datapath of before goes on" fetch
kill "$taken"
wait "$taken" 2>/dev/null
conn25_start client
check_eq "the name keeps its address" "$magic4" "$(lookup client example.com A)"

# A signal during the start takes effect at its end.
conn25_stop client
: >"$dir/early.log"
nsenter --net=/run/netns/client "$CONN25" run --netmap "$dir/netmap.json" --node client --pin /sys/fs/bpf/client \
	--control /run/client.sock --dns-listen 127.0.0.1:53 --dns-upstream 192.0.2.53 \
	2>"$dir/early.log" &
early=$!
wait_for 5 test -S /run/client.sock
kill -TERM "$early"
wait "$early"
check_eq "SIGTERM during the start ends it with 0" 0 $?
check "and the datapath stays" fetch
conn25_start client

# A domain that moves to another app.
two='.apps += [{"name": "other", "domains": ["*.example.net"], "connectors": ["tag:exit"], "clients": ["tag:workers"]}]'
check_eq "the lease is of the app" '[["web","example.com"]]' "$(leases)"
reload "$two | .apps[0].domains = [\"*.example.net\"] | .apps[1].domains = [\"example.com\"]"
check "a domain that moved takes its lease along" wait_for 3 is leases '[["other","example.com"]]'
check "the connector is told" wait_for 3 is mappings '[["other",1]]'
check_eq "the name keeps its magic address" "$magic4" "$(lookup client example.com A)"
check "and its traffic" fetch
reload "$two | .apps |= reverse"
check "apps in another order" wait_for 3 is mappings '[["web",1]]'
check "change nothing for traffic" fetch

# A role that a node gains while it runs.
nsenter --net=/run/netns/client socat -u "TCP6-LISTEN:8025,bind=[fd25::1]" /dev/null &
holder=$!
wait_for 2 listening client 8025
reload '.nodes[0].connector = true | .apps += [{"name": "back", "domains": ["back.example.org"], "connectors": ["client"], "clients": ["connector"]}]'
check "the client becomes a connector" wait_for 5 grep -q 'peer API on 100.101.0.1' "$dir/client.log"
check "an address that another program holds is named" grep -q 'listen for peers on \[fd25::1\]:8025' "$dir/client.log"
kill $holder
wait $holder 2>/dev/null
tries() { # a change of the network is followed by a sync
	in_ns client ip link add tried type bridge
	in_ns client ip link del tried
	grep -q 'peer API on \[fd25::1\]' "$dir/client.log"
}
check "once that lets go it is served as well" wait_for 3 tries
check_eq "and told of once" 1 "$(grep -c 'listen for peers' "$dir/client.log")"
check "the daemon goes on" fetch
check_eq "the name keeps its magic address" "$magic4" "$(lookup client example.com A)"
check "and says how it is" conn25 client status
check_match "a connection to the new peer API is answered" '"epoch"' \
	"$(in_ns connector curl -sS --max-time 3 --interface 100.101.0.9 -d '{"transitIPs":[]}' http://100.101.0.1:8025/v0/connector/transit-ip)"

# The connector's overlay address changes.
reload '.nodes[1].addresses = ["100.101.0.10", "fd25::10"]'
check "a connector with another address is found" wait_for 5 fetch
check_eq "and new names work" 198.18 "$(lookup client www.example.net A | cut -d. -f1-2)"

# Permission lost: cut off on both ends.
reload '.apps[0].clients = ["nobody"]'
check "the connector ends the mappings of who lost permission" wait_for 2 is mappings '[]'
check "the client ends the leases" wait_for 2 is leases '[]'
fetch >/dev/null 2>&1
check_eq "and connections are refused at once" 7 $?
check_eq "the name passes unchanged" 198.51.100.200 "$(lookup client example.com A)"
reload .
magic4=$(lookup client example.com A)
check "permission given back" fetch

# No connector left in the netmap.
reload '.nodes[1].connector = false'
check "without a connector leases end" wait_for 2 is leases '[]'
check_match "and names fail" 'SERVFAIL' "$(in_ns client dig +time=3 +tries=1 @127.0.0.1 example.com A)"
reload .
magic4=$(lookup client example.com A)
check "a connector that is back" wait_for 3 fetch

# Devices of an earlier start.
devs() { bpftool -j map dump pinned /sys/fs/bpf/connector/maps/c25_devs | jq -c '[.[].formatted.key] | sort'; }
conn25_stop connector
conn25_start connector --uplink eth0 --uplink wan0
check_eq "two uplinks are two devices" 2 "$(devs | jq length)"
conn25_stop connector
conn25_start connector --uplink wan0
check_eq "an uplink no longer named is forgotten" "$(ip -n connector -j link show wan0 | jq -c '[.[].ifindex]')" "$(devs)"

conn25_stop client
check_eq "the client ends with 0" 0 $?
conn25_stop connector
check_eq "the connector ends with 0" 0 $?
check_eq "no sanitizer complains" "" "$(grep -h 'ERROR: \|runtime error' "$dir"/*.log)"
finish
