#!/usr/bin/env bash
# Errors of routers and hosts far beyond the connector: traceroute, path MTU, closed ports, and whose
# they are not.
# shellcheck source=tests/netns/lib.sh disable=SC2317
. "$(dirname "$0")/lib.sh"
topology

# internet is a router, and far a host behind it.
host far
cable internet far0 far eth0
addr internet far0 192.88.99.254/24 2001:db8:99::fe/64
addr far eth0 192.88.99.9/24 2001:db8:99::9/64
ip -n far route add default via 192.88.99.254
ip -n far route add default via 2001:db8:99::fe
in_ns internet sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 \
	net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
netmap
standard_zones
printf 'far A 192.88.99.9\nfar AAAA 2001:db8:99::9\n' >>"$dir/example.net.zone"
dns_server
conn25_start connector
conn25_start client
magic4=$(lookup client far.example.net A)
magic6=$(lookup client far.example.net AAAA)
listening() { in_ns "$1" ss -Hln"${3:-t}" "sport = :$2" | grep -q .; }
# The addresses of the hops, in their order; the one that was asked for, last.
hops() { # NS 4|6 ADDR
	in_ns "$1" timeout 20 tracepath "-$2" -n -m 8 "$3" | awk '$1 ~ /^[0-9]+:$/ { print $2 }' | uniq | xargs
}
check_eq "traceroute from the client shows connector, router and host" \
	"100.101.0.9 198.51.100.254 $magic4" "$(hops client 4 "$magic4")"
check_eq "the same over IPv6" "fd25::9 2001:db8:1::fe $magic6" "$(hops client 6 "$magic6")"
check_eq "from a pod, the client before them" \
	"10.244.1.1 100.101.0.9 198.51.100.254 $magic4" "$(hops pod 4 "$magic4")"
check_eq "the same over IPv6" "fd00:244:1::1 fd25::9 2001:db8:1::fe $magic6" "$(hops pod 6 "$magic6")"
check_match "ping learns of a router where its time to live ended" 'From 198\.51\.100\.254.*Time to live exceeded' \
	"$(in_ns pod ping -n -c 1 -W 2 -t 3 "$magic4")"
check_match "and over IPv6" 'From 2001:db8:1::fe.*(Time exceeded|Hop limit)' \
	"$(in_ns pod ping -n -c 1 -W 2 -t 3 "$magic6")"

# The server's way back, seen from its side: a reply whose time to live ends at the connector.
in_ns far socat "UDP4-RECVFROM:7,fork,ttl=2" EXEC:cat 2>>"$dir/far.log" &
in_ns far socat "UDP6-RECVFROM:7,fork,ipv6only=1,ipv6-unicast-hops=2" EXEC:cat 2>>"$dir/far.log" &
wait_for 5 listening far 7 u
errors() { # NAME: counted in far's kernel
	in_ns far nstat -asz "$1" | awk -v n="$1" '$1 == n { print $2 }'
}
echo x | in_ns client timeout 1 socat -t 0.5 - "UDP4:$magic4:7" >/dev/null
check_eq "a server is told of a reply whose time to live ends at the connector" 1 "$(errors IcmpInTimeExcds)"
echo x | in_ns client timeout 1 socat -t 0.5 - "UDP6:[$magic6]:7" >/dev/null
check_eq "and over IPv6" 1 "$(errors Icmp6InTimeExcds)"

# Closed ports, on either side.
refused() { # NS SOCAT-ADDRESS: a connected socket is told within its second datagram
	local out
	out=$( (for _ in 1 2 3 4 5 6; do echo x; sleep 0.2; done) | in_ns "$1" timeout 5 socat - "$2" 2>&1)
	[[ $out == *refused* ]]
}
for ns in client pod; do
	check "a closed UDP port of a host far away is told to the program in $ns" refused $ns "UDP4:$magic4:4444"
	check "and over IPv6" refused $ns "UDP6:[$magic6]:4444"
	check_match "a closed TCP port as well" 'refused' "$(in_ns $ns socat -u /dev/null "TCP4:$magic4:4444" 2>&1)"
	check_match "and over IPv6" 'refused' "$(in_ns $ns socat -u /dev/null "TCP6:[$magic6]:4444" 2>&1)"
done
# The server goes on sending to a program that has gone.
for family in 4 6; do
	in_ns far socat -d "UDP$family-LISTEN:9" \
		SYSTEM:'for i in 1 2 3 4 5 6 7 8; do echo x; sleep 0.2; done' 2>"$dir/refused$family" &
	wait_for 5 listening far 9 u
	to=$magic4
	[ $family = 6 ] && to="[$magic6]"
	echo x | in_ns client socat -u - "UDP$family:$to:9"
	check "a server is told over IPv$family that its client's port is closed" \
		wait_for 5 grep -q refused "$dir/refused$family"
	wait $!
done

# The connector's own packets have their errors to themselves.
check "the connector itself is told of a closed port" refused connector UDP4:192.88.99.9:4444
check "and over IPv6" refused connector "UDP6:[2001:db8:99::9]:4444"

# A narrow link far away: its router's errors lower what each sends, in whole segments of many.
ip -n internet link set far0 mtu 1300
ip -n far link set eth0 mtu 1300
for ns in client pod; do
	check_match "tracepath finds a narrow link far away from $ns" 'pmtu 1300' \
		"$(in_ns $ns timeout 20 tracepath -4 -n -m 8 "$magic4" 2>&1)"
	check_match "and over IPv6" 'pmtu 1300' \
		"$(in_ns $ns timeout 20 tracepath -6 -n -m 8 "$magic6" 2>&1)"
done
for ns in client pod; do
	ip -n $ns route flush cache
	ip -n $ns -6 route flush cache
done
head -c 5000000 /dev/urandom >"$dir/blob"
sum=$(sha256sum <"$dir/blob")
upload() { # NS ADDR
	in_ns far timeout 30 socat -u TCP6-LISTEN:19,ipv6only=0,reuseaddr - >"$dir/up" &
	local pid=$!
	wait_for 5 listening far 19
	in_ns "$1" timeout 30 socat -u "OPEN:$dir/blob" "$2:19"
	wait $pid
	sha256sum <"$dir/up"
}
for ns in client pod; do
	check_eq "5 MB leave whole over it from $ns" "$sum" "$(upload $ns "TCP4:$magic4")"
	check_eq "and over IPv6" "$sum" "$(upload $ns "TCP6:[$magic6]")"
done
ip -n internet link set far0 mtu 1500
ip -n far link set eth0 mtu 1500

# What may be fragmented is by its sender, once it has been told.
for h in connector internet; do
	ip -n $h link set wan0 mtu 1300
done
check_match "longer datagrams that may be fragmented get through after the first" ' [1-4] received' \
	"$(in_ns pod ping -q -M dont -c 4 -i 0.3 -W 1 -s 1400 "$magic4")"
for h in connector internet; do
	ip -n $h link set wan0 mtu 1500
done
ip -n pod route flush cache

# The overlay becomes narrower under a download: the server learns of it from the connector.
download() { # NS ADDR: its second half over a narrower overlay
	local pid mtu
	mtu=$(ip -n connector -j link show conn25 | jq '.[0].mtu')
	in_ns far timeout 60 socat -u "OPEN:$dir/blob" TCP6-LISTEN:29,ipv6only=0,reuseaddr &
	wait_for 5 listening far 29
	: >"$dir/down"
	in_ns "$1" timeout 60 socat -u "$2:29" "SYSTEM:head -c 200000; until [ -e $dir/narrow ]; do sleep 0.05; done; cat" \
		>"$dir/down" &
	pid=$!
	wait_for 5 test -s "$dir/down"
	for h in client connector; do
		ip -n $h link set eth0 mtu 1360
	done
	wait_for 5 eval "[ \$(ip -n connector -j link show conn25 | jq '.[0].mtu') -lt $mtu ]" || echo "MTU stays $mtu"
	touch "$dir/narrow"
	wait $pid
	rm "$dir/narrow"
	for h in client connector; do
		ip -n $h link set eth0 mtu 1500
	done
	wait_for 5 eval "[ \$(ip -n connector -j link show conn25 | jq '.[0].mtu') = $mtu ]"
	for h in far client pod; do
		ip -n $h route flush cache
		ip -n $h -6 route flush cache
	done
	sha256sum <"$dir/down"
}
for ns in client pod; do
	big=$(reason connector too_big)
	check_eq "a download goes on over an overlay that became narrower, in $ns" "$sum" "$(download $ns "TCP4:$magic4")"
	check_eq "and over IPv6" "$sum" "$(download $ns "TCP6:[$magic6]")"
	[ "$(reason connector too_big)" -gt "$big" ]
	check_eq "the server was told its width" 0 $?
done

# Without offloads the same sizes arise in another way.
for d in client:eth0 client:conn25 client:pod0 pod:eth0 connector:eth0 connector:conn25 \
	connector:wan0 internet:wan0 internet:far0 far:eth0; do
	in_ns "${d%:*}" ethtool -K "${d#*:}" tx off rx off tso off gso off gro off >/dev/null 2>&1
done
check_eq "without offloads too" "$sum" "$(download pod "TCP4:$magic4")"
check_eq "and over IPv6" "$sum" "$(download pod "TCP6:[$magic6]")"
check_eq "no checksum error is counted anywhere" 0 "$(
	for ns in client connector internet far pod; do
		in_ns $ns nstat -asz TcpInCsumErrors UdpInCsumErrors IcmpInCsumErrors Icmp6InCsumErrors \
			Udp6InCsumErrors 2>/dev/null
	done | awk '/CsumErrors/ { n += $2 } END { print n + 0 }'
)"
finish
