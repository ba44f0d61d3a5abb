#!/usr/bin/env bash
# --overlay wireguard over wireguard-go: one client, two connectors, what others configured, and
# everything that can be restarted.
# shellcheck source=tests/netns/lib.sh disable=SC2016,SC2317,SC2013
. "$(dirname "$0")/lib.sh"
for tool in wg wireguard-go; do
	command -v $tool >/dev/null || {
		skip "--overlay wireguard" "no $tool"
		finish
	}
done
if [ ! -c /dev/net/tun ]; then
	skip "--overlay wireguard" "no /dev/net/tun"
	finish
fi

topology
host connector2
cable connector2 eth0 lan to-connector2
ip -n lan link set to-connector2 master br0
addr connector2 eth0 192.0.2.20/24 2001:db8:2::20/64
cable connector2 wan0 internet wan2
addr connector2 wan0 192.0.3.1/24 2001:db8:3::1/64
addr internet wan2 192.0.3.254/24 2001:db8:3::fe/64
ip -n connector2 route add default via 192.0.3.254
ip -n connector2 route add default via 2001:db8:3::fe

# Device names differ, as the sockets of all are in one directory here.
declare -A dev=([client]=wg-c [connector]=wg-x1 [connector2]=wg-x2)
declare -A under=([client]=192.0.2.11 [connector]=192.0.2.19 [connector2]=192.0.2.20)
declare -A over=([client]="100.101.0.1,fd25::1" [connector]="100.101.0.9,fd25::9"
	[connector2]="100.101.0.10,fd25::10")
declare -A allowed=([client]="100.101.0.1/32,fd25::1/128,10.244.1.0/24,fd00:244:1::/64"
	[connector]="100.101.0.9/32,fd25::9/128" [connector2]="100.101.0.10/32,fd25::10/128")
declare -A key pub
hosts=(client connector connector2)
for h in "${hosts[@]}"; do
	key[$h]=$(wg genkey)
	pub[$h]=$(wg pubkey <<<"${key[$h]}")
done
stranger=$(wg genkey | wg pubkey)

wg_stop() { # HOST
	local pid=wgpid_$1
	kill "${!pid}"
	wait "${!pid}" 2>/dev/null
	wait_for 5 test ! -e "/var/run/wireguard/${dev[$1]}.sock" || fatal "wireguard-go ends"
}
wg_config() { # HOST: as its operator wrote it
	local h
	printf '[Interface]\nPrivateKey = %s\nListenPort = 51820\n' "${key[$1]}"
	for h in "${hosts[@]}"; do
		[ "$h" = "$1" ] && continue
		printf '[Peer]\nPublicKey = %s\nEndpoint = %s:51820\nAllowedIPs = %s\n' \
			"${pub[$h]}" "${under[$h]}" "${allowed[$h]}"
	done
	# Nobody of the netmap, and what it has must stay: a wide prefix over the transit pool too.
	printf '[Peer]\nPublicKey = %s\nAllowedIPs = 10.99.0.0/16, 10.98.1.2/32, 169.254.64.0/18, fd99::5/128\n' \
		"$stranger"
}
wg_up() { # HOST
	local d=${dev[$1]} a
	nsenter --net="/run/netns/$1" env WG_PROCESS_FOREGROUND=1 wireguard-go "$d" \
		>>"$dir/wg-$1.log" 2>&1 &
	printf -v "wgpid_$1" %s $!
	wait_for 5 test -S "/var/run/wireguard/$d.sock" || fatal "wireguard-go starts" "$(cat "$dir/wg-$1.log")"
	wg_config "$1" >"$dir/$d.conf"
	in_ns "$1" wg setconf "$d" "$dir/$d.conf" || fatal "wg setconf"
	for a in ${over[$1]//,/ }; do
		addr "$1" "$d" "$a"
	done
	ip -n "$1" link set "$d" mtu 1420 up
}
# Every allowed IP, sorted: "KEY ADDRESS".
allowed_ips() { # HOST
	in_ns "$1" wg show "${dev[$1]}" allowed-ips | awk '{ for (i = 2; i <= NF; i++) print $1, $i }' | sort
}
# Single addresses inside the transit pools.
transits() { # HOST [KEY]
	allowed_ips "$1" | grep -E ' (169\.254\.[0-9.]+/32|fd25:b::[0-9a-f:]*/128)$' | grep -F "${2:-}"
}
for h in "${hosts[@]}"; do
	wg_up "$h"
done
allowed_ips client >"$dir/before"
in_ns client wg showconf wg-c >"$dir/conf.before"

with_keys() { # JQ-FILTER
	netmap '.nodes += [{ "id": "connector2", "addresses": ["100.101.0.10", "fd25::10"],
		"tags": ["tag:exit2"], "underlay": "192.0.2.20", "connector": true }]
		| .nodes[0].wireguardKey = "'"${pub[client]}"'"
		| .nodes[1].wireguardKey = "'"${pub[connector]}"'"
		| .nodes[2].wireguardKey = "'"${pub[connector2]}"'" | '"${1:-.}"
}
with_keys
standard_zones
printf 'gone A 192.88.99.7\ngone AAAA 2001:db8:77::7\n' >>"$dir/example.net.zone"
in_ns internet sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip -n internet route add unreachable 192.88.99.7
ip -n internet route add unreachable 2001:db8:77::7
dns_server
web_server
start() { # HOST
	conn25_start "$1" --overlay wireguard --dev "${dev[$1]}"
}
fetch() { # NS
	in_ns "$1" curl -sS --max-time 2 "http://$magic4/" "http://[$magic6]/"
}

moved() { [ "$(transits client "${pub[connector2]}" | wc -l)" -eq 2 ] && [ -z "$(transits client "${pub[connector]}")" ]; }
back() { [ "$(transits client "${pub[connector]}" | wc -l)" -eq 2 ] && [ -z "$(transits client "${pub[connector2]}")" ]; }

# Wrong use.
out=$("$CONN25" run --overlay wireguard 2>&1)
check_eq "without --dev it is wrong use" 2 $?
check_match "and says so" 'wireguard wants --dev' "$out"
out=$(in_ns client "$CONN25" run --netmap "$dir/netmap.json" --node client --overlay wireguard \
	--dev nothere --pin /sys/fs/bpf/client --control /run/client.sock 2>&1)
check_eq "a device that is not there ends it" 1 $?
check_match "and is named" 'no device nothere' "$out"
in_ns client ip tuntap add dev plain mode tun
in_ns client ip link set plain up
out=$(in_ns client "$CONN25" run --netmap "$dir/netmap.json" --node client --overlay wireguard \
	--dev plain --pin /sys/fs/bpf/client --control /run/client.sock 2>&1)
check_eq "a device that is not WireGuard's ends it" 1 $?
check_match "and says what is missing" 'plain is no WireGuard device.*plain.sock' "$out"
in_ns client ip link del plain
conn25 client detach >/dev/null 2>&1

# The main path.
for h in "${hosts[@]}"; do
	start "$h"
done
magic4=$(lookup client example.com A)
magic6=$(lookup client example.com AAAA)
check_match "an A question gets a magic address" '^198\.18\.' "$magic4"
check_match "an AAAA question gets a magic address" '^fd25:a::' "$magic6"
check_eq "two transit addresses are allowed IPs of the connector" 2 \
	"$(transits client "${pub[connector]}" | wc -l)"
check_match "a page comes over both families, from the connector's uplink" \
	'seen from 198\.51\.100\.1, at 198\.51\.100\.200.*seen from 2001:db8:1::1, at 2001:db8:25::200' \
	"$(fetch client | tr '\n' ' ')"
check_match "a pod reaches it too" \
	'seen from 198\.51\.100\.1, at 198\.51\.100\.200.*seen from 2001:db8:1::1, at 2001:db8:25::200' \
	"$(fetch pod | tr '\n' ' ')"
check "ping works over IPv4" in_ns pod ping -c 2 -W 2 -i 0.2 "$magic4"
check "ping works over IPv6" in_ns pod ping -c 2 -W 2 -i 0.2 "$magic6"
check_eq "what others configured is as it was" "" \
	"$(diff "$dir/before" <(allowed_ips client | grep -vxF "$(transits client)"))"

# Bulk, both ways; the MSS is clamped to the device's MTU.
head -c 20000000 /dev/urandom >"$dir/www/blob"
sum=$(sha256sum <"$dir/www/blob")
for ns in client pod; do
	for a in "$magic4" "[$magic6]"; do
		check_eq "20 MB come down to the $ns from $a" "$sum" \
			"$(in_ns $ns curl -s --max-time 20 "http://$a/blob" | sha256sum)"
	done
done
in_ns internet socat -u TCP6-LISTEN:9,fork,reuseaddr,ipv6only=0 "SYSTEM:sha256sum >$dir/up" &
wait_for 5 in_ns internet bash -c 'ss -Htln "sport = :9" | grep -q .'
for a in "$magic4" "[$magic6]"; do
	rm -f "$dir/up"
	in_ns pod timeout 20 socat -u "FILE:$dir/www/blob" "TCP:$a:9"
	wait_for 5 test -s "$dir/up"
	check_eq "20 MB go up from a pod to $a" "$sum" "$(cat "$dir/up" 2>/dev/null)"
done

# Datagrams in fragments, there and back.
addr internet lo 2001:db8:25::200/128
for a in UDP4-RECVFROM:7,bind=198.51.100.200 "UDP6-RECVFROM:7,bind=[2001:db8:25::200]"; do
	in_ns internet socat -b 65507 "$a,fork,rcvbuf=4000000,sndbuf=4000000" EXEC:"head -c 60000" &
done
wait_for 5 in_ns internet bash -c '[ "$(ss -Hlnu "sport = :7" | wc -l)" = 2 ]'
head -c 60000 /dev/urandom >"$dir/datagram"
sum=$(sha256sum <"$dir/datagram")
echoed() { # NS ADDR
	in_ns "$1" timeout 10 socat -b 65507 -t 3 -T 3 - "$2,sndbuf=4000000,rcvbuf=4000000" <"$dir/datagram" |
		sha256sum
}
for ns in client pod; do
	# The server learns the device's MTU from the first reply over IPv6, which is lost.
	in_ns $ns ping -q -c 2 -i 0.3 -W 1 -s 1450 "$magic6" >/dev/null
	check_eq "a datagram of 60,000 bytes returns to the $ns" "$sum" "$(echoed $ns "UDP4:$magic4:7")"
	check_eq "and over IPv6" "$sum" "$(echoed $ns "UDP6:[$magic6]:7")"
	check_match "the way beyond the connector is seen from the $ns" " $magic4 .*reached" \
		"$(in_ns $ns timeout 20 tracepath -4 -n -m 6 "$magic4" 2>&1)"
	check_match "and over IPv6" " $magic6 .*reached" \
		"$(in_ns $ns timeout 20 tracepath -6 -n -m 6 "$magic6" 2>&1)"
done

# Errors come through cryptokey routing only from addresses of the connector.
check_match "a closed port is refused at once over IPv4" 'refused|Couldn.t connect' \
	"$(in_ns pod curl -sS --max-time 3 "http://$magic4:81/" 2>&1)"
check_match "a closed port is refused at once over IPv6" 'refused|Couldn.t connect' \
	"$(in_ns pod curl -sS --max-time 3 "http://[$magic6]:81/" 2>&1)"
check_match "a magic address without mapping is refused" 'filtered|prohibited' \
	"$(in_ns pod ping -c 1 -W 2 198.18.200.200)"
check_match "and one of IPv6" 'filtered|prohibited' \
	"$(in_ns pod ping -c 1 -W 2 fd25:a::ffff)"
check_match "the host itself is told as well" 'filtered|prohibited' \
	"$(in_ns client ping -c 1 -W 2 198.18.200.200)"
check_match "a datagram longer than the device's MTU is answered with it" 'mtu.*1420' \
	"$(in_ns pod ping -c 1 -W 2 -M 'do' -s 1450 "$magic4" 2>&1)"
ip -n connector link set wan0 mtu 1300
check_match "a smaller uplink's MTU comes back over IPv4" 'mtu.*1300' \
	"$(in_ns pod ping -c 2 -W 2 -i 0.2 -M 'do' -s 1350 "$magic4" 2>&1)"
check_match "a smaller uplink's MTU comes back over IPv6" 'mtu.*1300' \
	"$(in_ns pod ping -c 2 -W 2 -i 0.2 -M 'do' -s 1350 "$magic6" 2>&1)"
ip -n connector link set wan0 mtu 1500
ip -n pod route flush cache
ip -n pod -6 route flush cache
gone4=$(lookup client gone.example.net A)
gone6=$(lookup client gone.example.net AAAA)
check_match "a router's error comes from the connector over IPv4" \
	'From 100\.101\.0\.9 .*Destination Host Unreachable' \
	"$(in_ns pod ping -c 1 -W 2 "$gone4" 2>&1)"
check_match "a router's error comes from the connector over IPv6" \
	'From fd25::9 .*Destination unreachable' "$(in_ns pod ping -c 1 -W 2 "$gone6" 2>&1)"
with_keys '.apps[0].domains = ["example.com"]'
check "a lease that ends takes its transit address along" wait_for 10 back
with_keys

# The mapping moves to another connector.
with_keys '.apps[0].connectors = ["tag:exit2"]'
# The client may have asked it before it was a connector: then packets make it ask again.
used_and_moved() {
	fetch pod
	moved
}
check "both transit addresses move to the other connector's peer" wait_for 20 used_and_moved
check_match "traffic takes the other connector" 'seen from 192\.0\.3\.1,.*seen from 2001:db8:3::1,' \
	"$(fetch pod | tr '\n' ' ')"
with_keys
check "and back" wait_for 10 back
check_match "traffic as well" 'seen from 198\.51\.100\.1,' "$(fetch pod | tr '\n' ' ')"

# Others reconfigure the device under us.
in_ns client wg setconf wg-c "$dir/wg-c.conf"
check "after wg setconf the transit addresses come back" wait_for 15 back
check "traffic too" fetch pod
in_ns client wg set wg-c peer "$stranger" allowed-ips 10.99.0.0/16,10.97.3.3/32
sleep 6
check_match "allowed IPs that others add meanwhile stay" '10\.97\.3\.3/32' "$(allowed_ips client)"
in_ns client wg set wg-c peer "${pub[connector]}" remove
check "a connector that is no peer any more is told of" \
	wait_for 15 grep -q 'not reached over WireGuard device wg-c: connector (no such peer' "$dir/client.log"
in_ns client wg setconf wg-c "$dir/wg-c.conf"
check "and catches up once it is one again" wait_for 15 back
check "traffic too" wait_for 5 fetch pod

# wireguard-go is restarted: another device of the same name, without any configuration.
wg_stop client
wg_up client
check "after a restart of wireguard-go the transit addresses come back" wait_for 15 back
check "and traffic" wait_for 10 fetch pod
check_eq "the name keeps its magic address" "$magic4" "$(lookup client example.com A)"
wg_stop connector
wg_up connector
check "a connector's restart of wireguard-go is caught up with" wait_for 15 fetch pod

# A device that hangs keeps nobody waiting.
# shellcheck disable=SC2154 # wg_up sets it
kill -STOP "$wgpid_client"
started=$(date +%s%N)
lookup client example.org A >/dev/null
took=$((($(date +%s%N) - started) / 1000000))
[ $took -lt 600 ]
check_eq "other names are answered at once while wireguard-go hangs ($took ms)" 0 $?
kill -CONT "$wgpid_client"

# conn25 is restarted, and killed.
conn25_stop client KILL
check "without the daemon traffic goes on" fetch pod
in_ns client wg set wg-c peer "${pub[connector2]}" \
	allowed-ips "${allowed[connector2]},$(transits client | awk 'NR == 1 { print $2 }'),169.254.100.100/32"
start client
check "a start mends what happened meanwhile" wait_for 15 back
check "and traffic" wait_for 5 fetch pod

# Many names at once.
seq 1 200 | sed 's/.*/n&.example.net A\nn&.example.net AAAA/' >"$dir/names"
in_ns client dig +short +time=5 +tries=1 @127.0.0.1 -f "$dir/names" >"$dir/answers"
check_eq "400 questions are answered" 400 "$(grep -cE '^(198\.18\.|fd25:a::)' "$dir/answers")"
check_eq "each has its allowed IP" 402 "$(transits client "${pub[connector]}" | wc -l)"
reach() {
	local a
	for a in $(awk 'NR % 80 == 3 || NR % 80 == 4' "$dir/answers"); do
		case $a in *:*) a="[$a]" ;; esac
		in_ns pod curl -sS -o /dev/null --max-time 2 "http://$a/" || return
	done
}
check "they carry traffic" reach

# Detach.
for h in "${hosts[@]}"; do
	conn25_stop "$h"
	check_eq "SIGTERM ends the daemon of the $h with 0" 0 $?
done
for h in "${hosts[@]}"; do
	conn25 "$h" detach >"$dir/detach.$h" 2>&1
	check_eq "detach ends with 0 on the $h" 0 $?
done
check_match "it says what it took away" 'took 402 transit addresses' "$(cat "$dir/detach.client")"
check_eq "the device's allowed IPs are as they were" "" "$(diff "$dir/before" <(allowed_ips client))"
check_eq "its whole configuration too" "" \
	"$(diff <(sort "$dir/conf.before") <(in_ns client wg showconf wg-c | sort))"
check_eq "no rule or route of ours is left" "" \
	"$(in_ns client ip rule | grep 2525; in_ns client ip -6 rule | grep 2525; in_ns client ip route show table 2525 2>/dev/null)"
check_eq "the device keeps its addresses" 2 \
	"$(in_ns client ip -o addr show dev wg-c | grep -cE '100\.101\.0\.1/|fd25::1/')"

# Another kind of overlay afterwards: what was ours on the device goes.
start connector
start client
lookup client example.com A >/dev/null
conn25_stop client
check_eq "a transit address is there again" 1 "$(transits client | wc -l)"
conn25_start client --overlay none --dev wg-c
check_eq "another --overlay takes it away" 0 "$(transits client | wc -l)"
conn25_stop client

# --detach-on-exit.
conn25_start client --overlay wireguard --dev wg-c --detach-on-exit
magic4=$(lookup client example.com A)
magic6=$(lookup client example.com AAAA)
check "traffic flows once more" fetch pod
conn25_stop client
check_eq "--detach-on-exit leaves the device as it was" "" "$(diff "$dir/before" <(allowed_ips client))"
finish
