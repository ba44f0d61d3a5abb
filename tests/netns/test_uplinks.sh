#!/usr/bin/env bash
# Uplinks that change under flows: their address, the device, its kind, the ports used. What can go on
# does, and what cannot ends with a word.
# shellcheck source=tests/netns/lib.sh disable=SC2016,SC2317
. "$(dirname "$0")/lib.sh"
topology
netmap
standard_zones
dns_server
web_server
conn25_start connector
conn25_start client
magic4=$(lookup client host.example.net A)
magic6=$(lookup client host.example.net AAAA)
addr internet lo 2001:db8:25::9/128
in_ns internet socat TCP6-LISTEN:7,ipv6only=0,reuseaddr,fork EXEC:cat &
in_ns internet socat UDP4-RECVFROM:7,bind=203.0.113.9,fork EXEC:cat &
in_ns internet socat "UDP6-RECVFROM:7,bind=[2001:db8:25::9],fork" EXEC:cat &
listening() { in_ns "$1" ss -Hln"${3:-t}" "sport = :$2" | grep -q .; }
wait_for 5 listening internet 7
wait_for 5 listening internet 7 u

declare -A fd pid
opens() { # NAME SOCAT-ADDRESS
	local writer
	mkfifo "$dir/in.$1"
	: >"$dir/out.$1"
	in_ns client socat -d -t 0.1 - "$2" <"$dir/in.$1" >"$dir/out.$1" 2>"$dir/err.$1" &
	pid[$1]=$!
	exec {writer}>"$dir/in.$1"
	fd[$1]=$writer
}
answers() { # NAME WORD
	echo "$2" 1>&"${fd[$1]}" 2>/dev/null
	wait_for 3 grep -qx "$2" "$dir/out.$1"
}
# It ends within seconds of its next words, and says why.
ends() { # NAME
	local i
	for i in $(seq 1 100); do
		grep -qE 'reset|refused|route|unreachable' "$dir/err.$1" && return
		kill -0 "${pid[$1]}" 2>/dev/null && echo "$i" 1>&"${fd[$1]}" 2>/dev/null
		sleep 0.1
	done
	cat "$dir/err.$1"
	return 1
}
closes() { # NAME: later ones have inherited the fifo, so its end would not be seen
	local writer=${fd[$1]}
	kill "${pid[$1]}"
	wait "${pid[$1]}"
	exec {writer}>&-
	rm -f "$dir/in.$1"
} 2>/dev/null
fetch() { in_ns client curl -s --max-time 2 "http://$1/"; }
seen_from() { # ADDR SOURCE
	[[ $(fetch "$1") == *"seen from $2,"* ]]
}
all_open() { # TAG
	opens "tcp4.$1" "TCP4:$magic4:7"
	opens "tcp6.$1" "TCP6:[$magic6]:7"
	opens "udp4.$1" "UDP4:$magic4:7"
	opens "udp6.$1" "UDP6:[$magic6]:7"
}
each() { # COMMAND TAG [WORD]: of all four
	local k
	for k in tcp4 tcp6 udp4 udp6; do
		"$1" "$k.$2" "${3:-}" || {
			echo "$k"
			return 1
		}
	done
}
all_open a
check "connections and associations of both families are open" each answers a one

# Another address beside the first changes nothing.
addr connector wan0 198.51.100.3/24 2001:db8:1::3/64
check "with a second address on the uplink" each answers a two
check "new flows keep the first one" seen_from "$magic4" 198.51.100.1

# The address changes, as by DHCP and by another prefix.
readdress() { # FROM TO
	ip -n connector addr del "198.51.100.$1/24" dev wan0
	ip -n connector addr del "2001:db8:1::$1/64" dev wan0
	addr connector wan0 "198.51.100.$2/24" "2001:db8:1::$2/64"
	ip -n connector route replace default via 198.51.100.254
	ip -n connector -6 route replace default via 2001:db8:1::fe
}
ip -n connector addr del 198.51.100.3/24 dev wan0
ip -n connector addr del 2001:db8:1::3/64 dev wan0
readdress 1 2
check "new flows leave from the uplink's new address" wait_for 10 seen_from "$magic4" 198.51.100.2
check "also over IPv6" wait_for 10 seen_from "[$magic6]" 2001:db8:1::2
check "an old connection ends by a reset" ends tcp4.a
check "also over IPv6" ends tcp6.a
check "an association over UDP goes on from the new address" wait_for 5 answers udp4.a three
check "also over IPv6" wait_for 5 answers udp6.a three
each closes a

# Nobody keeps the old address: its server hears a reset from the host that has the port no more.
all_open b
check "new ones are open" each answers b one

# Other ports after a restart.
conn25_stop connector
conn25_start connector --nat-ports 30000-30099
check "after a restart with other ports an old connection ends by a reset" ends tcp4.b
check "also over IPv6" ends tcp6.b
check "an association over UDP goes on" wait_for 5 answers udp4.b two
check "also over IPv6" wait_for 5 answers udp6.b two
each closes b
ports=$(conn25 connector map flows --json | jq '[.. | objects | .natPort? // empty | select(. < 30000 or . > 30099)] | length')
check_eq "no flow is left on the old ports" 0 "$ports"

# The device goes, and another takes its place.
all_open c
check "new ones are open once more" each answers c one
ip -n connector link del wan0
check "a connection whose uplink is gone is told" ends tcp4.c
check "also over IPv6" ends tcp6.c
cable connector wan1 internet wan1
addr connector wan1 198.51.100.5/24 2001:db8:1::5/64
addr internet wan1 198.51.100.254/24 2001:db8:1::fe/64
ip -n connector route replace default via 198.51.100.254
ip -n connector -6 route replace default via 2001:db8:1::fe
check "new flows take the uplink that came" wait_for 10 seen_from "$magic4" 198.51.100.5
check "also over IPv6" wait_for 10 seen_from "[$magic6]" 2001:db8:1::5
check "an association over UDP goes on by it" wait_for 5 answers udp4.c two
check "also over IPv6" wait_for 5 answers udp6.c two
each closes c

# An uplink without Ethernet headers, as of PPP; one family moves to it, the other stays.
if [ -c /dev/net/tun ]; then
	cable connector line internet line
	addr connector line 10.7.0.1/24
	addr internet line 10.7.0.2/24
	nsenter --net=/run/netns/internet socat TUN:10.8.0.2/24,tun-name=ppp0,iff-no-pi,iff-up \
		UDP4-DATAGRAM:10.7.0.1:9999,bind=10.7.0.2:9999 2>>"$dir/socat.log" &
	nsenter --net=/run/netns/connector socat TUN:10.8.0.1/24,tun-name=ppp0,iff-no-pi,iff-up \
		UDP4-DATAGRAM:10.7.0.2:9999,bind=10.7.0.1:9999 2>>"$dir/socat.log" &
	wait_for 3 in_ns connector ping -c 1 -W 1 10.8.0.2 || fatal "the TUN carries packets" "$(cat "$dir/socat.log")"
	all_open d
	check "all are open on Ethernet" each answers d one
	ip -n connector route replace default dev ppp0
	check "new flows take an uplink without Ethernet" wait_for 10 seen_from "$magic4" 10.8.0.1
	check "the other family stays where it was" seen_from "[$magic6]" 2001:db8:1::5
	check "an old connection of the family that moved ends" ends tcp4.d
	check "those of the other go on" answers tcp6.d two
	check "over UDP too" answers udp6.d two
	check_match "ping goes by it" ' 2 received' "$(in_ns client ping -q -c 2 -i 0.2 -W 1 "$magic4")"
	ip -n connector link set ppp0 mtu 1280
	check_match "its MTU is told" 'mtu ?= ?1280' \
		"$(in_ns client ping -c 2 -i 0.2 -W 1 -M 'do' -s 1400 "$magic4" 2>&1)"
	head -c 300000 /dev/urandom >"$dir/www/blob"
	check_eq "300 KB arrive whole by it" "$(sha256sum <"$dir/www/blob")" \
		"$(in_ns client curl -s --max-time 20 "http://$magic4/blob" | sha256sum)"
	each closes d
else
	skip "an uplink without Ethernet headers" "no /dev/net/tun"
fi
finish
