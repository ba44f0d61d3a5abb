#!/usr/bin/env bash
# Packets in every shape, with real tools: sizes around the MTU, fragments, errors, limits, uplinks.
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
# No two addresses of these pools have one sum: every checksum changes on its way.
standard_filter='.ipPools = { v4MagicIPPool: ["198.18.0.0/24"], v4TransitIPPool: ["169.254.64.0/24"],
	v6MagicIPPool: ["fd25:a::/120"], v6TransitIPPool: ["fd25:b::100/120"] }'
standard

magic4=$(lookup client host.example.net A)
magic6=$(lookup client host.example.net AAAA)
overlay_mtu=$(ip -n client -j link show conn25 | jq '.[0].mtu')
listening() { in_ns "$1" ss -Hln"${3:-t}" "sport = :$2" | grep -q .; }
established() { in_ns client ss -Htn state established "dport = :5203" | grep -q .; }
fresh() { in_ns client curl -s -o /dev/null --max-time 2 "http://$magic4/"; }
csum_errors() {
	local ns
	for ns in client connector internet pod; do
		in_ns "$ns" nstat -asz TcpInCsumErrors UdpInCsumErrors IcmpInCsumErrors \
			Icmp6InCsumErrors Udp6InCsumErrors 2>/dev/null
	done | awk '/CsumErrors/ { n += $2 } END { print n + 0 }'
}
ping_do() { # NS ADDR IP-LENGTH: may not be fragmented
	local headers=28
	[[ $2 == *:* ]] && headers=48
	in_ns "$1" ping -c 1 -W 2 -M "do" -s $(($3 - headers)) "$2"
}

# Sizes.
for ns in client pod; do
	check "a ping as long as the overlay carries passes from $ns" ping_do $ns "$magic4" "$overlay_mtu"
	check "the same over IPv6" ping_do $ns "$magic6" "$overlay_mtu"
	check_match "one byte more is answered with the overlay's MTU" "[Mm]essage too long.*$overlay_mtu|mtu ?= ?$overlay_mtu" \
		"$(ping_do $ns "$magic4" $((overlay_mtu + 1)) 2>&1)"
	check_match "the same over IPv6" "[Mm]essage too long.*$overlay_mtu|mtu ?= ?$overlay_mtu" \
		"$(ping_do $ns "$magic6" $((overlay_mtu + 1)) 2>&1)"
done

# The way beyond the connector is narrower than the overlay: its errors reach the client.
ip -n connector link set wan0 mtu 1300
ip -n internet link set wan0 mtu 1300
wait_for 5 ping_do client "$magic4" 1300
for ns in client pod; do
	check_match "tracepath over IPv4 finds the narrow link from $ns" 'pmtu 1300' \
		"$(in_ns $ns timeout 20 tracepath -4 -n -m 6 "$magic4" 2>&1)"
	check_match "tracepath over IPv6 finds it" 'pmtu 1300' \
		"$(in_ns $ns timeout 20 tracepath -6 -n -m 6 "$magic6" 2>&1)"
done
head -c 3000000 /dev/urandom >"$dir/www/blob"
sum=$(sha256sum <"$dir/www/blob")
for ns in client pod; do
	check_eq "3 MB arrive whole over a narrow link in $ns" "$sum" \
		"$(in_ns $ns curl -s --max-time 20 "http://$magic4/blob" | sha256sum)"
	check_eq "the same over IPv6" "$sum" \
		"$(in_ns $ns curl -s --max-time 20 "http://[$magic6]/blob" | sha256sum)"
done
upload() { # NS ADDR
	in_ns internet timeout 30 socat -u TCP6-LISTEN:9,ipv6only=0,reuseaddr,rcvbuf=1000000 - >"$dir/up" &
	local pid=$!
	wait_for 5 listening internet 9
	in_ns "$1" timeout 30 socat -u "OPEN:$dir/www/blob" "$2:9"
	wait $pid
	sha256sum <"$dir/up"
}
for ns in client pod; do
	check_eq "3 MB leave whole over a narrow link from $ns" "$sum" "$(upload $ns "TCP4:$magic4")"
	check_eq "the same over IPv6" "$sum" "$(upload $ns "TCP6:[$magic6]")"
done
ip -n connector link set wan0 mtu 1500
ip -n internet link set wan0 mtu 1500
for ns in client pod connector internet; do
	ip -n $ns route flush cache
	ip -n $ns -6 route flush cache
done

# Traceroute by small times to live.
check_match "the connector tells of a time to live that ends there" 'Time to live exceeded' \
	"$(in_ns client ping -n -c 1 -W 2 -t 1 "$magic4")"
check_match "and over IPv6" '(Time exceeded|Hop limit)' \
	"$(in_ns client ping -n -c 1 -W 2 -t 1 "$magic6")"
check "a time to live that just suffices does" in_ns client ping -q -c 1 -W 2 -t 2 "$magic4"

# Errors reach the application.
refused() { # NS SOCAT-ADDRESS: a connected UDP socket towards a closed port
	local out
	out=$( (echo x; sleep 0.5; echo y; sleep 0.5) | in_ns "$1" timeout 5 socat - "$2" 2>&1)
	[[ $out == *refused* ]]
}
for ns in client pod; do
	check "a closed UDP port is told to the program in $ns" refused $ns "UDP4:$magic4:4444"
	check "and over IPv6" refused $ns "UDP6:[$magic6]:4444"
done

# Fragments: a datagram of 60,000 bytes, there and back.
addr internet lo 2001:db8:25::9/128
in_ns internet socat -b 65507 UDP4-RECVFROM:7,bind=203.0.113.9,fork,rcvbuf=4000000,sndbuf=4000000 \
	EXEC:"head -c 60000" &
in_ns internet socat -b 65507 "UDP6-RECVFROM:7,bind=[2001:db8:25::9],fork,rcvbuf=4000000,sndbuf=4000000" \
	EXEC:"head -c 60000" &
wait_for 5 listening internet 7 u
head -c 60000 /dev/urandom >"$dir/datagram"
sum=$(sha256sum <"$dir/datagram")
echoed() { # NS ADDR
	in_ns "$1" timeout 10 socat -b 65507 -t 3 -T 3 - "$2,sndbuf=4000000,rcvbuf=4000000,readbytes=60000" <"$dir/datagram" |
		sha256sum
}
for ns in client pod; do
	# The server learns the overlay's MTU from the first reply over IPv6, which is lost.
	in_ns $ns ping -q -c 2 -i 0.3 -W 1 -s 1480 "$magic6" >/dev/null
	check_eq "a datagram of 60,000 bytes returns to $ns" "$sum" "$(echoed $ns "UDP4:$magic4:7")"
	check_eq "the same over IPv6" "$sum" "$(echoed $ns "UDP6:[$magic6]:7")"
	check_match "pings of 60,000 bytes return to $ns" ' 3 received' \
		"$(in_ns $ns ping -q -c 3 -i 0.3 -W 1 -s 60000 "$magic4")"
	check_match "and over IPv6" ' 3 received' \
		"$(in_ns $ns ping -q -c 3 -i 0.3 -W 1 -s 60000 "$magic6")"
done

# iperf3, which answers from the address asked only where it is bound to it.
in_ns internet iperf3 -s -B 203.0.113.9 -p 5201 --logfile "$dir/iperf4.log" &
in_ns internet iperf3 -s -B 2001:db8:25::9 -p 5202 --logfile "$dir/iperf6.log" &
wait_for 5 listening internet 5201
wait_for 5 listening internet 5202
# What the receiver's own socket had no room for, while it did not get to run, was not lost on the way.
overflown() {
	in_ns internet nstat -asz UdpRcvbufErrors Udp6RcvbufErrors |
		awk '/RcvbufErrors/ { n += $2 } END { print n }'
}
for to in "$magic4 -p 5201" "$magic6 -p 5202"; do
	read -r -a to <<<"$to"
	check "iperf3 over TCP to ${to[0]}" in_ns pod timeout 20 iperf3 -c "${to[@]}" -t 1
	check "and in reverse" in_ns pod timeout 20 iperf3 -c "${to[@]}" -t 1 -R
	for len in 1000 8000; do
		had=$(overflown)
		lost=$(in_ns pod timeout 20 iperf3 -c "${to[@]}" -u -l $len -b 20M -n 2M -J 2>/dev/null |
			jq --argjson room "$had" '.end.sum | "\(.lost_packets + $room) of \(.packets > 100)"' -r)
		check_eq "iperf3 over UDP in datagrams of $len bytes loses nothing on the way" "$(overflown) of true" "$lost"
	done
done
check_eq "no checksum error is counted anywhere" 0 "$(csum_errors)"

# A connection whose flow is gone ends at once.
in_ns internet socat TCP4-LISTEN:5203,reuseaddr EXEC:cat &
wait_for 5 listening internet 5203
coproc LOST { in_ns client socat -d -t 0.1 - "TCP4:$magic4:5203" 2>&1; }
exec 8<&"${LOST[0]}" 9>&"${LOST[1]}" # bash closes its own when it ends
wait_for 5 established
conn25_stop connector
conn25 connector detach >/dev/null 2>&1
conn25_start connector
wait_for 10 fresh
started=$(date +%s%N)
echo hello >&9
line=
read -r -t 5 line <&8
took=$((($(date +%s%N) - started) / 1000000))
check_match "a connection whose flow is gone is reset ($took ms)" 'reset' "$line"
check_match "with that reason" '^[1-9]' "$(reason connector not_started)"

# What has no mapping fails at once.
for ns in client pod; do
	for a in 198.18.0.200 '[fd25:a::ff]'; do
		started=$(date +%s%N)
		in_ns $ns curl -s -o /dev/null --max-time $((5 * slow)) "http://$a/"
		took=$((($(date +%s%N) - started) / 1000000))
		[ $took -lt $((500 * slow)) ]
		check_eq "a connect to $a without mapping fails at once in $ns ($took ms)" 0 $?
	done
done
finish
