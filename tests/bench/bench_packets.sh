#!/usr/bin/env bash
# make bench-packets: what a packet costs through conn25, against plain forwarding, against
# nftables doing the same translation at both ends, and against the floor: the least that this
# translation in TC can cost. The floor's programs (floor.bpf.c) stand where those of conn25 do and
# know one client and one mapping, as constants; no maps, flows, ports, counters, checks or ICMP.
#
# Four chains client - middle - server of namespaces, alike but for what the middle and the
# client do. Load and server share one core, which is never idle and almost theirs alone: the time
# per unit is the CPU time of everything on the way. Rounds are interleaved; ratios are formed round by round.
#
# ROUNDS (20), SCALE (100, percent of the units sent), FAMILY (4 or 6) and ENTRIES (0: how many
# more mappings and flows the maps of conn25 hold) may be set.
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/../netns/lib.sh"
ROUNDS=${ROUNDS:-20}
SCALE=${SCALE:-100}
FAMILY=${FAMILY:-4}
ENTRIES=${ENTRIES:-0}
CORE=$(($(nproc) - 1))
LOAD=$top/build/bench/load
fatal() {
	echo "bench-packets: $1 ${2:-}" >&2
	exit 1
}

# chain CLIENT MIDDLE SERVER: the wire that all four have.
chain() {
	local ns
	host "$1" "$2" "$3"
	cable "$1" eth0 "$2" eth0
	cable "$2" wan0 "$3" wan0
	addr "$1" eth0 100.101.0.1/24 fd25::1/64
	addr "$2" eth0 100.101.0.9/24 fd25::9/64
	addr "$2" wan0 198.51.100.1/24 2001:db8:1::1/64
	addr "$3" wan0 198.51.100.200/24 2001:db8:1::200/64
	in_ns "$2" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	# Pacing would leave the core idle.
	for ns in "$1" "$3"; do
		in_ns "$ns" sysctl -qw net.ipv4.tcp_congestion_control=reno
	done
	# None stays in TIME_WAIT: they would become more from round to round.
	in_ns "$3" sysctl -qw net.ipv4.tcp_max_tw_buckets=0
	in_ns "$3" nice -n -20 taskset -c "$CORE" "$LOAD" serve 5001 &
	wait_for 5 listening "$3" 5001 || fatal "load serve does not start"
}

plain() {
	chain pc pm ps
	ip -n pc route add 198.51.100.0/24 via 100.101.0.9
	ip -n pc route add 2001:db8:1::/64 via fd25::9
	ip -n ps route add 100.101.0.0/24 via 198.51.100.1
	ip -n ps route add fd25::/64 via 2001:db8:1::1
}

nftables() {
	chain nc nm ns
	ip -n nc route add 198.18.0.0/16 via 100.101.0.9
	ip -n nc route add 169.254.64.0/18 via 100.101.0.9
	ip -n nc route add fd25:a::/96 via fd25::9
	ip -n nc route add fd25:b::/96 via fd25::9
	in_ns nc nft -f - <<-'NFT'
		table inet c25 {
		  map magic4 { type ipv4_addr : ipv4_addr; elements = { 198.18.0.1 : 169.254.64.1 } }
		  map magic6 { type ipv6_addr : ipv6_addr; elements = { fd25:a::1 : fd25:b::1 } }
		  chain out {
		    type nat hook output priority -100;
		    ip daddr 198.18.0.0/16 dnat ip to ip daddr map @magic4
		    ip6 daddr fd25:a::/96 dnat ip6 to ip6 daddr map @magic6
		  }
		}
	NFT
	in_ns nm nft -f - <<-'NFT'
		table inet c25 {
		  map real4 { type ipv4_addr : ipv4_addr; elements = { 169.254.64.1 : 198.51.100.200 } }
		  map real6 { type ipv6_addr : ipv6_addr; elements = { fd25:b::1 : 2001:db8:1::200 } }
		  chain in {
		    type nat hook prerouting priority -100;
		    ip daddr 169.254.64.0/18 dnat ip to ip daddr map @real4
		    ip6 daddr fd25:b::/96 dnat ip6 to ip6 daddr map @real6
		  }
		  chain out {
		    type nat hook postrouting priority 100;
		    oifname "wan0" masquerade
		  }
		}
	NFT
}

mac() { # NS DEV
	ip -n "$1" -j link show "$2" | jq -r '.[0].address'
}
turn() { # NS DEV in|out SRC DST NEW-SRC NEW-DST [OUT DST-MAC SRC-MAC]
	in_ns "$1" "$top/build/bench/floor" "/sys/fs/bpf/$1-$2-$3" "${@:2}" || fatal "no floor at $1"
}
# Magic and transit address have one sum, which conn25 sees to as well: no checksum changes there.
floor() {
	local client=100.101.0.1 magic=198.18.35.237 transit=169.254.64.1
	local uplink=198.51.100.1 real=198.51.100.200
	chain fc fm fs
	ip -n fc route add 198.18.0.0/16 via 100.101.0.9
	ip -n fc route add fd25:a::/96 via fd25::9
	if [ "$FAMILY" != 4 ]; then
		client=fd25::1 magic=fd25:a::2 transit=fd25:b::1
		uplink=2001:db8:1::1 real=2001:db8:1::200
	fi
	turn fc eth0 out "$client" "$magic" "$client" "$transit"
	turn fm eth0 in "$client" "$transit" "$uplink" "$real" wan0 "$(mac fs wan0)" "$(mac fm wan0)"
	turn fm wan0 in "$real" "$uplink" "$transit" "$client" eth0 "$(mac fc eth0)" "$(mac fm eth0)"
	turn fc eth0 in "$transit" "$client" "$magic" "$client"
	to_f=$magic
}

conn25_chain() {
	chain client connector internet
	cable client dns0 internet dns0
	addr client dns0 192.0.2.11/24 2001:db8:2::11/64
	addr internet dns0 192.0.2.53/24 2001:db8:2::53/64
	netmap '.apps[0].routes = ["198.51.100.0/24", "2001:db8:1::/64"]'
	{
		echo "\$ORIGIN example.com."
		echo "\$TTL 300"
		echo '@ SOA ns hostmaster 1 3600 600 86400 60'
		echo '@ NS ns'
		echo '@ A 198.51.100.200'
		echo '@ AAAA 2001:db8:1::200'
	} | zone example.com
	dns_server
	conn25_start connector --overlay none --dev eth0 --uplink wan0 \
		--max-flows $((ENTRIES * 3 / 2 + 262144)) --max-mappings $((ENTRIES + 65536))
	conn25_start client --overlay none --dev eth0 --max-mappings $((ENTRIES + 65536))
}

plain
nftables
floor
conn25_chain
if [ "$FAMILY" = 4 ]; then
	to_p=198.51.100.200 to_n=198.18.0.1 to_c=$(lookup client example.com A)
else
	to_p=2001:db8:1::200 to_n=fd25:a::1 to_c=$(lookup client example.com AAAA)
fi
[ -n "$to_c" ] || fatal "no magic address" "$(cat "$dir"/*.log)"
if [ "$ENTRIES" -gt 0 ]; then
	for node in client connector; do
		"$top/build/bench/crowd" "/sys/fs/bpf/$node" "$ENTRIES" || exit
	done
fi

run() { # VARIANT WORK...: nanoseconds per unit
	local v=$1 work=$2 ns to
	shift 2
	case $v in
	p) ns=pc to=$to_p ;;
	n) ns=nc to=$to_n ;;
	c) ns=client to=$to_c ;;
	f) ns=fc to=$to_f ;;
	esac
	in_ns "$ns" nice -n -20 taskset -c "$CORE" "$LOAD" "$work" "$to" 5001 "$@" ||
		fatal "$work over $v failed"
}

works=(
	"64-byte UDP packet|udp $((200000 * SCALE / 100)) 1"
	"TCP connect, one byte, close|connect $((8000 * SCALE / 100))"
	"TCP stream, MiB|stream $((2000 * SCALE / 100))"
	"64-byte UDP, 10,000 flows|udp $((200000 * SCALE / 100)) 10000"
)
for w in "${works[@]}"; do # caches and neighbours are warm, flows of 10,000 ports are made
	read -r -a args <<<"${w#*|}"
	for v in p n c f; do run "$v" "${args[@]}" >/dev/null || exit 1; done
done
for ((round = 0; round < ROUNDS; round++)); do
	# Flows of one datagram end after 120 seconds.
	if [ "$ENTRIES" -gt 0 ] && ((round % 5 == 0)); then
		in_ns client "$LOAD" flows "$to_c" 6000 "$ENTRIES"
	fi
	for i in "${!works[@]}"; do
		read -r -a args <<<"${works[i]#*|}"
		# Who goes first changes from round to round.
		order=(p n c f)
		for ((k = 0; k < 4; k++)); do
			v=${order[(k + round) % 4]}
			ns=$(run "$v" "${args[@]}") || exit 1
			echo "$i $round $v $ns"
		done
	done
	echo "round $((round + 1)) of $ROUNDS" >&2
done >"$dir/results"

ratios() { # WORK-INDEX A B: median (min - max) of A/B
	awk -v i="$1" -v a="$2" -v b="$3" '$1 == i { t[$2 "," $3] = $4; r[$2] = 1 }
		END { for (k in r) print t[k "," a] / t[k "," b] }' "$dir/results" | sort -n | awk '
		{ v[NR] = $1 }
		END { m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
		      printf "%.3f (%.3f-%.3f)", m, v[1], v[NR] }'
}
nanoseconds() { # WORK-INDEX VARIANT: median
	awk -v i="$1" -v a="$2" '$1 == i && $3 == a { print $4 }' "$dir/results" | sort -n |
		awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}
if [ "$ENTRIES" -gt 0 ]; then
	flows=$(conn25 connector map flows | grep -c '^udp')
	[ "$flows" -ge "$ENTRIES" ] || fatal "only $flows flows were there"
fi
printf '%s rounds, IPv%s, one core, %s more entries in every map; CPU time per unit as ratio: median (minimum - maximum)\n' \
	"$ROUNDS" "$FAMILY" "$ENTRIES"
row='%-29s %-21s %-21s %-21s %-21s %-21s %11s\n'
# shellcheck disable=SC2059 # a format for all rows
{
	printf "$row" "" "conn25 to plain" "conn25 to nftables" "conn25 to floor" \
		"floor to plain" "floor to nftables" "conn25, ns"
	for i in "${!works[@]}"; do
		printf "$row" "${works[i]%|*}" "$(ratios "$i" c p)" "$(ratios "$i" c n)" \
			"$(ratios "$i" c f)" "$(ratios "$i" f p)" "$(ratios "$i" f n)" \
			"$(nanoseconds "$i" c)"
	done
}
