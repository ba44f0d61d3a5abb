#!/usr/bin/env bash
# --overlay none: Ethernet that reaches the peers, on which other traffic goes on.
# shellcheck disable=SC2016,SC2128,SC2154,SC2178,SC2317 # jq's and eval's own; variables that lib.sh sets by name
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
second_connector
apps="$two_connectors"' | .nodes |= map(del(.underlay)) | .apps = [
	{ name: "web", domains: ["example.com"], connectors: ["connector"], clients: ["tag:workers"] },
	{ name: "two", domains: ["*.example.net"], connectors: ["connector2"], clients: ["tag:workers"] } ]'
netmap "$apps"
standard_zones
dns_server
web_server

picture() { # NS
	in_ns "$1" ip -br link | awk '{print $1, $NF}' | sort
	in_ns "$1" ip -o addr | awk '{print $2, $4}' | sort
	in_ns "$1" ip rule
	in_ns "$1" ip -6 rule
	in_ns "$1" ip route show table all | sort
	in_ns "$1" ip -6 route show table all | grep -vE 'ff00|fe80' | sed 's/ pref medium//' | sort
}
fetch() { # NS ADDR
	in_ns "$1" curl -sS --max-time 3 "http://$2/"
}

addr client eth0 100.101.0.1/24 fd25::1/64
addr connector eth0 100.101.0.9/24 fd25::9/64
addr connector2 eth0 100.101.0.10/24 fd25::10/64
picture client >"$dir/before"
for node in connector connector2 client; do
	conn25_start $node --overlay none --dev eth0
done
check_eq "no device is made" "" "$(ip -n client -br link show type vxlan)"
com4=$(lookup client example.com A)
com6=$(lookup client example.com AAAA)
net4=$(lookup client host.example.net A)
net6=$(lookup client host.example.net AAAA)
check_match "names get magic addresses" '^198\.18.*fd25:a::.*198\.18.*fd25:a::' "$com4 $com6 $net4 $net6"
check_match "magic routes go via a connector" 'via 100\.101\.0\.(9|10) dev eth0' "$(ip -n client route get "$net4")"
check_match "also those of IPv6" 'via fd25::(9|10) dev eth0' "$(ip -n client route get "$net6")"
everything() { # CLAIM
	local ns
	for ns in client pod; do
		check_match "$1: $ns, the first connector's name over IPv4" 'seen from 198\.51\.100\.1,' "$(fetch $ns "$com4")"
		check_match "$1: $ns, over IPv6" 'seen from 2001:db8:1::1,' "$(fetch $ns "[$com6]")"
		check_match "$1: $ns, the second connector's name over IPv4" 'seen from 10\.2\.0\.2,' "$(fetch $ns "$net4")"
		check_match "$1: $ns, over IPv6" 'seen from fd02::2,' "$(fetch $ns "[$net6]")"
	done
}
# A packet that waits for its neighbour would go to the route's next hop: see that none does.
resolved() { # of the entries that conn25 keeps, how many
	ip -n client neigh show dev eth0 nud reachable nud stale nud delay nud probe |
		grep -cE '^(100\.101\.0\.(9|10)|fd25::(9|10)) .*proto 25'
}
all_resolved() { [ "$(resolved)" = 4 ]; }
check "neighbour entries of all connectors are kept resolved" all_resolved
everything "Ethernet"
check_eq "no frame went to a connector that does not hold its mapping" "0 0" \
	"$(reason connector no_mapping) $(reason connector2 no_mapping)"
check "ping answers" in_ns pod ping -c 2 -i 0.1 -W 1 "$net4"
ip -n client neigh flush dev eth0
check "entries that were flushed come back" wait_for 2 all_resolved
everything "after a flush"
check_eq "nor did one then" "0 0" "$(reason connector no_mapping) $(reason connector2 no_mapping)"
check "other traffic of the device passes" in_ns client ping -c 1 -W 1 192.0.2.53
check "also over IPv6" in_ns client ping -c 1 -W 1 2001:db8:2::53
started=$(date +%s%N)
in_ns client curl -s -o /dev/null --max-time $((5 * slow)) http://198.18.200.200/
took=$((($(date +%s%N) - started) / 1000000))
[ $took -lt $((500 * slow)) ]
check_eq "a magic address without mapping is refused at once ($took ms)" 0 $?
in_ns pod curl -s --max-time 1 -o /dev/null http://100.101.0.9:8025/
check_match "a pod does not reach the peer API" '^(7|28)$' $?
[ "$(reason client forwarded)" -gt 0 ]
check_eq "and is counted" 0 $?

# The magic routes' next hop dies: names of the other connector do not.
next_hop() { ip -n client route get "$net4" | grep -o 'via 100[0-9.]*'; }
was=$(next_hop)
case $was in
*.9) dead=connector alive=$net4 alive6=$net6 dead_addr=9 ;;
*) dead=connector2 alive=$com4 alive6=$com6 dead_addr=10 ;;
esac
ip -n lan link set "to-$dead" down
ip -n client neigh del 100.101.0.$dead_addr dev eth0
ip -n client neigh del fd25::$dead_addr dev eth0
moved() { [ "$(next_hop)" != "$was" ]; }
check "a next hop that does not answer is left" wait_for 2 moved
check_match "the other connector's names work" 'seen from' "$(fetch client "$alive")"
check_match "also over IPv6" 'seen from' "$(fetch client "[$alive6]")"
ip -n lan link set "to-$dead" up
check "the dead one is found again" wait_for 10 all_resolved

ip -n connector link set eth0 down
check_match "one connector cut off leaves the other's names" 'seen from 10\.2\.0\.2,' "$(fetch client "$net4")"
ip -n connector link set eth0 up
addr connector eth0 fd25::9/64 2001:db8:2::19/64 2>/dev/null
works() { fetch client "$com4" && fetch client "[$com6]"; }
check "it comes back" wait_for 8 works
for node in connector connector2 client; do
	conn25_stop $node
done
everything "without daemons"
for node in connector connector2 client; do
	conn25 $node detach >/dev/null 2>&1
	check_eq "detach leaves no neighbour entry of conn25's on $node" "" "$(ip -n $node neigh show | grep 'proto 25')"
	ip -n $node addr del "$(ip -n $node -o -4 addr show dev eth0 | grep -o '100\.101\.0\.[0-9]*/24')" dev eth0
	ip -n $node addr del "$(ip -n $node -o -6 addr show dev eth0 | grep -oE 'fd25::[0-9a-f]+/64')" dev eth0
	if [ $node = client ]; then
		addr client eth0 100.101.0.1/24 fd25::1/64
		picture client >"$dir/after"
		check_eq "detach leaves the client as it was" "" "$(diff "$dir/before" "$dir/after")"
		ip -n client addr del 100.101.0.1/24 dev eth0
		ip -n client addr del fd25::1/64 dev eth0
	fi
done

finish
