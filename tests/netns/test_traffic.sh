#!/usr/bin/env bash
# Traffic in earnest: first packets, bulk with and without offloads, ports, conntrack.
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
netmap
standard_zones
dns_server
web_server

# Conntrack at work on the connector, as on any node with a firewall.
in_ns connector nft -f - <<-'NFT'
	table inet filter {
	  chain input { type filter hook input priority 0; ct state established,related accept; }
	  chain forward { type filter hook forward priority 0; ct state established,related accept; }
	}
NFT
conn25_start connector
conn25_start client

# A SYN lost is sent again after one second: who connects sooner lost none.
lost=0 wrong=0
for i in $(seq 1 300); do
	magic=$(lookup client "n$i.example.net" A)
	[[ $magic == 198.18.* ]] || wrong=$((wrong + 1))
	in_ns client curl -s -o /dev/null --connect-timeout 0.9 --max-time 5 "http://$magic/" ||
		lost=$((lost + 1))
done
check_eq "300 fresh names get magic addresses" 0 $wrong
check_eq "none of 300 fresh names loses its first packet" 0 $lost
lost=0
for i in $(seq 1 100); do
	magic=$(lookup client "n$i.example.net" AAAA)
	in_ns client curl -s -o /dev/null --connect-timeout 0.9 --max-time 5 "http://[$magic]/" ||
		lost=$((lost + 1))
done
check_eq "none of 100 fresh names loses its first packet over IPv6" 0 $lost

# Conntrack must see the connector's own connections, and none of the translated ones.
table=$(in_ns connector conntrack -L 2>/dev/null; in_ns connector conntrack -L -f ipv6 2>/dev/null)
check_match "conntrack sees the connector's own traffic" '100\.101\.0\.1' "$table"
check_eq "conntrack sees no translated flow" 0 \
	"$(printf '%s' "$table" | grep -cE '203\.0\.113\.|2001:db8:25:|198\.51\.100\.2|169\.254\.')"

# Bulk.
mb=$((50 / slow))
head -c "${mb}000000" /dev/urandom >"$dir/www/blob"
sum=$(sha256sum <"$dir/www/blob")
magic4=$(lookup client example.com A)
magic6=$(lookup client example.com AAAA)
csum_errors() {
	local ns
	for ns in client connector internet pod; do
		in_ns "$ns" nstat -asz TcpInCsumErrors UdpInCsumErrors IcmpInCsumErrors \
			Icmp6InCsumErrors Udp6InCsumErrors 2>/dev/null
	done | awk '/CsumErrors/ { n += $2 } END { print n + 0 }'
}
bulk() { # NS
	check_eq "$mb MB arrive whole over IPv4 in $1, $2" "$sum" \
		"$(in_ns "$1" curl -s --max-time $((60 * slow)) "http://$magic4/blob" | sha256sum)"
	check_eq "$mb MB arrive whole over IPv6 in $1, $2" "$sum" \
		"$(in_ns "$1" curl -s --max-time $((60 * slow)) "http://[$magic6]/blob" | sha256sum)"
	check_eq "$mb MB leave whole over IPv4 in $1, $2" "$sum" "$(upload "$1" "TCP4:$magic4")"
	check_eq "$mb MB leave whole over IPv6 in $1, $2" "$sum" "$(upload "$1" "TCP6:[$magic6]")"
}
upload() { # NS ADDR
	in_ns internet timeout 60 socat -u TCP6-LISTEN:9,ipv6only=0,reuseaddr,rcvbuf=1000000 - >"$dir/up" &
	local pid=$!
	wait_for 5 listening internet 9
	in_ns "$1" timeout 60 socat -u "OPEN:$dir/www/blob" "$2:9"
	wait $pid
	sha256sum <"$dir/up"
}
bulk client "offloads on"
bulk pod "offloads on"
for d in client:eth0 client:conn25 client:pod0 pod:eth0 connector:eth0 connector:conn25 \
	connector:wan0 internet:wan0 internet:eth0 lan:to-client lan:to-connector; do
	in_ns "${d%:*}" ethtool -K "${d#*:}" tx off rx off tso off gso off gro off >/dev/null 2>&1
done
bulk client "offloads off"
bulk pod "offloads off"
check_eq "no checksum error is counted anywhere" 0 "$(csum_errors)"

# Two names of one real address, from one source port at once.
in_ns internet socat TCP4-LISTEN:7,fork,reuseaddr EXEC:cat &
in_ns internet socat UDP4-RECVFROM:7,bind=203.0.113.9,fork EXEC:cat &
wait_for 5 listening internet 7
one=$(lookup client host.example.net A)
two=$(lookup client twin.example.net A)
[ "$one" != "$two" ]
check_eq "two names of one address have two magic addresses" 0 $?
both() { # PROTO: both connections are open before either is used
	local p1 p2 a b c
	coproc ONE { in_ns client timeout 10 socat - "$1:$one:7,sourceport=40000,reuseaddr"; }
	p1=$! fd1=("${ONE[@]}")
	coproc TWO { in_ns client timeout 10 socat - "$1:$two:7,sourceport=40000,reuseaddr"; } 2>/dev/null
	p2=$! fd2=("${TWO[@]}")
	echo one >&"${fd1[1]}"
	echo two >&"${fd2[1]}"
	echo three >&"${fd1[1]}"
	read -r -t 5 a <&"${fd1[0]}"
	read -r -t 5 b <&"${fd2[0]}"
	read -r -t 5 c <&"${fd1[0]}"
	echo "$a $b $c"
	kill $p1 $p2 2>/dev/null
}
check_eq "both work from one source port at once over TCP" "one two three" "$(both TCP4)"
check_eq "both work from one source port at once over UDP" "one two three" "$(both UDP4)"

# What has no mapping is refused at once, not after a time-out.
started=$(date +%s%N)
in_ns client curl -s -o /dev/null --max-time $((10 * slow)) http://198.18.200.200/
took=$((($(date +%s%N) - started) / 1000000))
[ $took -lt $((500 * slow)) ]
check_eq "a magic address without mapping is refused at once ($took ms)" 0 $?
check_match "ping of it says why" 'Packet filtered|prohibited' \
	"$(in_ns client ping -c 1 -W 2 198.18.200.200)"
check_match "ping of one of IPv6 says why" 'prohibited|filtered' \
	"$(in_ns pod ping -c 1 -W 2 fd25:a::ffff)"
finish
