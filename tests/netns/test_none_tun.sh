#!/usr/bin/env bash
# --overlay none over a device without Ethernet headers.
# shellcheck disable=SC2016,SC2128,SC2154,SC2178,SC2317 # jq's and eval's own; variables that lib.sh sets by name
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
standard_zones
dns_server
web_server
fetch() { # NS ADDR
	in_ns "$1" curl -sS --max-time 3 "http://$2/"
}

# A device without Ethernet headers: a TUN, its packets carried over UDP by socat.
netmap '.nodes |= map(del(.underlay))'
nsenter --net=/run/netns/connector socat TUN:100.101.0.9/24,tun-name=tun0,iff-no-pi,iff-up \
	UDP4-DATAGRAM:192.0.2.11:9999,bind=192.0.2.19:9999 2>>"$dir/socat.log" &
nsenter --net=/run/netns/client socat TUN:100.101.0.1/24,tun-name=tun0,iff-no-pi,iff-up \
	UDP4-DATAGRAM:192.0.2.19:9999,bind=192.0.2.11:9999 2>>"$dir/socat.log" &
for node in client connector; do
	wait_for 3 ip -n $node link show dev tun0 || fatal "a TUN device is made" "$(cat "$dir/socat.log")"
	ip -n $node link set tun0 mtu 1400
done
addr client tun0 fd25::1/64
addr connector tun0 fd25::9/64
wait_for 3 in_ns client ping -c 1 -W 1 100.101.0.9 || fatal "the TUN carries packets" "$(cat "$dir/socat.log")"
conn25_start connector --overlay none --dev tun0
conn25_start client --overlay none --dev tun0
com4=$(lookup client example.com A)
com6=$(lookup client example.com AAAA)
for ns in client pod; do
	check_match "TUN: $ns over IPv4" 'seen from 198\.51\.100\.1,' "$(fetch $ns "$com4")"
	check_match "TUN: $ns over IPv6" 'seen from 2001:db8:1::1,' "$(fetch $ns "[$com6]")"
done
head -c 3000000 /dev/urandom >"$dir/www/blob"
check_eq "TUN: 3 MB arrive whole" "$(sha256sum <"$dir/www/blob")" \
	"$(in_ns pod curl -s --max-time 20 "http://$com4/blob" | sha256sum)"
check_match "TUN: a magic address without mapping is refused" 'Packet filtered|prohibited' \
	"$(in_ns client ping -c 1 -W 1 198.18.200.200)"
finish
