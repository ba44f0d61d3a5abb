#!/usr/bin/env bash
# Packets that lie about where they come from, floods of fragments, and what one peer leaves others.
# shellcheck source=tests/netns/lib.sh disable=SC2016,SC2317
. "$(dirname "$0")/lib.sh"
topology
in_ns client sysctl -qw net.ipv6.ip6frag_high_thresh=33554432 net.ipv4.ipfrag_high_thresh=33554432

# A second client, which is a peer like the first and is not to be trusted.
lan_host mallory 66
netmap '.nodes += [{ id: "mallory", addresses: ["100.101.0.66", "fd25::66"], tags: ["tag:workers"],
	underlay: "192.0.2.66" }]'
standard_zones
echo 'gone A 192.88.99.7' >>"$dir/example.net.zone"
in_ns internet sysctl -qw net.ipv4.ip_forward=1
ip -n internet route add blackhole 192.88.99.7
dns_server
conn25_start connector --max-flows 200 --nat-ports 20000-20063
conn25_start client
magic4=$(lookup client host.example.net A)
magic6=$(lookup client host.example.net AAAA)
gone4=$(lookup client gone.example.net A)
transit4=$(conn25 client map client --json | jq -r '.. | objects | select(.magicIP? == "'"$magic4"'") | .transitIP' | head -n 1)
transit6=$(conn25 client map client --json | jq -r '.. | objects | select(.magicIP? == "'"$magic6"'") | .transitIP' | head -n 1)
check_match "the mappings are there" '^169\.254\..* fd25:b:' "$transit4 $transit6"
listening() { in_ns "$1" ss -Hln"${3:-t}" "sport = :$2" | grep -q .; }
addr internet lo 2001:db8:25::9/128
in_ns internet socat -b 65507 UDP4-RECVFROM:7,bind=203.0.113.9,fork,rcvbuf=4000000,sndbuf=4000000 EXEC:cat 2>/dev/null &
in_ns internet socat -b 65507 "UDP6-RECVFROM:7,bind=[2001:db8:25::9],fork,rcvbuf=4000000,sndbuf=4000000" EXEC:cat 2>/dev/null &
wait_for 5 listening internet 7 u
counted() { # REASON COMMAND...: how much the connector's counter grew under it
	local reason=$1 before
	shift
	before=$(reason connector "$reason")
	"$@" >/dev/null 2>&1
	echo $(($(reason connector "$reason") - before))
}
echoed() { # NS ADDR TEXT
	echo "$3" | in_ns "$1" timeout 2 socat -t 1 - "$2" 2>/dev/null
}
check_eq "the client's own datagrams return" "a b" \
	"$(echoed client "UDP4:$magic4:7,sourceport=41000" a) $(echoed client "UDP6:[$magic6]:7,sourceport=41000" b)"

# Mallory's own tunnel towards the connector, with whatever inner source.
tunnel() { # INNER-ADDRESS...
	ip -n mallory link del vx 2>/dev/null
	ip -n mallory link add vx type vxlan id 25 remote 192.0.2.19 dstport 8925 nolearning
	ip -n mallory link set vx up
	# The connector takes frames to its own address alone.
	addr mallory vx "$@"
	local mac
	mac=$(ip -n connector -j link show conn25 | jq -r '.[0].address')
	ip -n mallory route replace "$transit4" dev vx
	ip -n mallory -6 route replace "$transit6" dev vx
	ip -n mallory route replace 100.101.0.9 dev vx
	for a in "$transit4" "$transit6" 100.101.0.9; do
		ip -n mallory neigh replace "$a" lladdr "$mac" dev vx nud permanent
	done
}
send() { # ADDR PORT SOURCE: three datagrams
	local to="UDP4-SENDTO:$1:$2"
	[[ $1 == *:* ]] && to="UDP6-SENDTO:[$1]:$2"
	for _ in 1 2 3; do
		echo lie | in_ns mallory socat -t 0 -u - "$to,bind=$3"
	done
}
tunnel 100.101.0.1/32 fd25::1/128
check_eq "the client's inner source out of mallory's tunnel is dropped" 3 \
	"$(counted spoofed_outer send "$transit4" 7 100.101.0.1:41000)"
check_eq "also over IPv6" 3 "$(counted spoofed_outer send "$transit6" 7 "[fd25::1]:41000")"
check_eq "and towards the connector itself" 3 "$(counted spoofed_outer send 100.101.0.9 8025 100.101.0.1:41000)"
tunnel 10.244.1.2/32 fd00:244:1::2/128
check_eq "a pod's source out of another node's tunnel is dropped" 3 \
	"$(counted spoofed_outer send "$transit4" 7 10.244.1.2:41000)"
tunnel 10.9.9.9/32 fd00:9::9/128
check_eq "a source that is nobody's is dropped" 3 "$(counted spoofed_inner send "$transit4" 7 10.9.9.9:41000)"
tunnel 100.101.0.66/32 fd25::66/128
check_eq "mallory's own source does not match the client's mapping" 3 \
	"$(counted no_mapping send "$transit4" 7 100.101.0.66:41000)"
check_eq "also over IPv6" 3 "$(counted no_mapping send "$transit6" 7 "[fd25::66]:41000")"
ip -n mallory link del vx

# Towards the client: replies out of mallory's tunnel, and packets to pool addresses from the lan.
to_client() { # SOURCE: a datagram to the client's own port through mallory's tunnel
	ip -n mallory link add vx type vxlan id 25 remote 192.0.2.11 dstport 8925 nolearning
	ip -n mallory link set vx up
	addr mallory vx "$1/32"
	ip -n mallory route replace 100.101.0.1 dev vx
	ip -n mallory neigh replace 100.101.0.1 dev vx nud permanent \
		lladdr "$(ip -n client -j link show conn25 | jq -r '.[0].address')"
	for _ in 1 2 3; do
		echo lie | in_ns mallory socat -t 0 -u - "UDP4-SENDTO:100.101.0.1:41000,bind=$1:7"
	done
	ip -n mallory link del vx
}
was=$(reason client wrong_connector)
to_client "$transit4"
check_eq "a reply out of a tunnel that is not the connector's is dropped" 3 $(($(reason client wrong_connector) - was))
was=$(reason client spoofed_inner)
to_client "$magic4"
check_eq "so is one from the magic address itself" 3 $(($(reason client spoofed_inner) - was))

# From the internet: pool addresses mean nothing there, and a flow hears its real address and port alone.
for a in "$transit4" "$magic4"; do
	ip -n internet route add "$a" via 198.51.100.1 dev wan0
done
from_internet() { # ADDR PORT SOURCE
	for _ in 1 2 3; do
		echo lie | in_ns internet socat -t 0 -u - "UDP4-SENDTO:$1:$2,bind=$3"
	done
}
check_eq "a transit address from the uplink is not translated" 0 \
	"$(counted connector_out from_internet "$transit4" 7 203.0.113.9:9)"
check_eq "nor a magic one" 0 "$(counted connector_out from_internet "$magic4" 7 203.0.113.9:9)"
port=$(conn25 connector map flows --json | jq -r '.. | objects | select(.destinationIP? == "203.0.113.9" and .proto? == "udp") | .natPort' |
	head -n 1)
check_match "a flow has a port of the connector's" '^200[0-6][0-9]$' "$port"
check_eq "another address of the internet does not reach it" "3 0" \
	"$(counted no_flow from_internet 198.51.100.1 "$port" 203.0.113.8:7) $(counted connector_back from_internet 198.51.100.1 "$port" 203.0.113.8:7)"
check_eq "nor does another port of the real address" "3 0" \
	"$(counted no_flow from_internet 198.51.100.1 "$port" 203.0.113.9:8) $(counted connector_back from_internet 198.51.100.1 "$port" 203.0.113.9:8)"
check_eq "the flow goes on" again "$(echoed client "UDP4:$magic4:7,sourceport=41000" again)"

# Fragments without end, first or order, from the internet and from a pod, and big datagrams beside them.
head -c 60000 /dev/urandom >"$dir/datagram"
sum=$(sha256sum <"$dir/datagram")
big() { # NS ADDR
	in_ns "$1" timeout 10 socat -b 65507 -t 3 -T 3 - "$2,sndbuf=4000000,rcvbuf=4000000" <"$dir/datagram" | sha256sum
}
mac() { ip -n "$1" -j link show "$2" | jq -r '.[0].address'; }
flood() { # NS DEV TO-MAC SRC DST: later fragments alone, all of one offset, each of another datagram
	in_ns "$1" trafgen -o "$2" -b 10000pps -n 1000000 -P 1 "{ eth(da=$3, sa=$(mac "$1" "$2")),
		ipv4(saddr=$4, daddr=$5, id=drnd(), ttl=64, mf, frag=7, proto=17, len=220), fill(0x55, 200) }" \
		>"$dir/flood-$1.log" 2>&1 &
}
in_ns client ping -q -c 2 -i 0.3 -W 1 -s 1480 "$magic6" >/dev/null # the server learns the overlay's MTU
begun_back=$(reason connector fragment_early) begun_out=$(reason connector connector_out)
flood internet wan0 "$(mac connector wan0)" 203.0.113.9 198.51.100.1
first=$!
flood pod eth0 "$(mac client pod0)" 10.244.1.2 "$gone4"
second=$!
flooded() { # more datagrams than the table holds have begun on either side
	[ $(($(reason connector fragment_early) - begun_back)) -gt 20000 ] &&
		[ $(($(reason connector connector_out) - begun_out)) -gt 20000 ]
}
check "tens of thousands of endless datagrams are begun" wait_for 30 flooded
# One may be lost, where so many packets wait for a processor.
returns() { # SOCAT-ADDRESS
	[ "$(big client "$1")" = "$sum" ]
}
for i in 1 2 3; do
	check "a datagram of 60,000 bytes returns in the flood ($i)" wait_for 20 returns "UDP4:$magic4:7,sourceport=4200$i"
	check "and over IPv6 ($i)" wait_for 20 returns "UDP6:[$magic6]:7,sourceport=4200$i"
done
was=$(reason connector fragment_early)
went_on() { [ "$(reason connector fragment_early)" -gt "$was" ]; }
check "the flood went on meanwhile" wait_for 5 went_on
kill -INT $first $second
wait $first $second 2>/dev/null
entries() { bpftool map dump pinned "/sys/fs/bpf/connector/maps/$1" -j 2>/dev/null | jq length; }
[ "$(entries c25_frags)" -le 16384 ]
check_eq "the table of fragments has not outgrown its bound" 0 $?

# Ports towards one destination run out: new flows are refused, old ones go on.
wait_for 5 eval '[ "$(echoed client "UDP4:$magic4:7,sourceport=41000" again)" = again ]'
{
	for port in $(seq 43000 43099); do
		echo x | in_ns client socat -t 0 -u - "UDP4:$magic4:9,sourceport=$port"
	done
} 2>/dev/null
no_port=$(reason connector no_port)
check_match "with every port taken new flows are refused" '^[1-9]' "$no_port"
unreachable() { in_ns client nstat -asz IcmpInDestUnreachs | awk '/Unreach/ { print $2 }'; }
was=$(unreachable)
echo x | in_ns client socat -t 0 -u - "UDP4:$magic4:9,sourceport=43999"
check "and their host is told" wait_for 2 eval '[ "$(unreachable)" -gt $was ]'
check_eq "an old flow goes on" again "$(echoed client "UDP4:$magic4:7,sourceport=41000" again)"
check_eq "another port of the same address is another destination" fresh \
	"$(echoed client "UDP4:$magic4:7,sourceport=43998" fresh)"

# The first peer takes what it may have, three quarters of 200; the second has its share.
conn25_start mallory
theirs4=$(lookup mallory host.example.net A)
{
	for port in $(seq 44000 44129); do
		echo x | in_ns client socat -t 0 -u - "UDP4:$magic4:$((10 + port % 4)),sourceport=$port"
	done
} 2>/dev/null
check_match "a peer beyond its quota is refused" '^[1-9]' "$(reason connector quota)"
check_eq "its old flow goes on" again "$(echoed client "UDP4:$magic4:7,sourceport=41000" again)"
check_eq "another peer opens flows" other "$(echoed mallory "UDP4:$theirs4:7" other)"
check_eq "the table was never full" 0 "$(reason connector table_full)"
finish
