#!/usr/bin/env bash
# Full tables, quotas, several uplinks, and an uplink whose address changes.
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
netmap
standard_zones
dns_server
web_server

# IPv6 goes another way than IPv4.
cable connector wan1 internet wan1
addr connector wan1 2001:db8:3::1/64
addr internet wan1 2001:db8:3::fe/64
ip -n connector -6 route replace default via 2001:db8:3::fe dev wan1
ip -n connector -6 addr flush dev wan0 scope global

conn25_start connector --max-flows 40
conn25_start client
magic4=$(lookup client host.example.net A)
magic6=$(lookup client example.com AAAA)
fetch() { in_ns client curl -s --max-time 5 "http://$1/"; }
check_match "IPv4 goes by its uplink" 'seen from 198\.51\.100\.1,' "$(fetch "$magic4")"
check_match "IPv6 goes by another" 'seen from 2001:db8:3::1,' "$(fetch "[$magic6]")"

# An open connection, and then more flows than the peer may hold: three quarters of 40.
in_ns internet socat TCP4-LISTEN:7,reuseaddr,fork EXEC:cat &
listening() { in_ns "$1" ss -Htln "sport = :$2" | grep -q .; }
wait_for 5 listening internet 7
coproc ECHO { in_ns client socat -t 5 - "TCP4:$magic4:7"; }
# shellcheck disable=SC2153
echo_fd=("${ECHO[@]}") echo_pid=$ECHO_PID
asked() { # WORD: through the open connection
	local word
	echo "$1" >&"${echo_fd[1]}"
	read -r -t 5 word <&"${echo_fd[0]}"
	echo "$word"
}
check_eq "a connection is open" one "$(asked one)"
for port in $(seq 30001 30040); do
	echo x | in_ns client socat -u - "UDP4:$magic4:9,sourceport=$port" 2>/dev/null
done
check_match "flows beyond the quota are refused with that reason" '^[1-9]' "$(reason connector quota)"
check_eq "the open connection goes on" two "$(asked two)"
started=$(date +%s%N)
in_ns client curl -s -o /dev/null --max-time 10 "http://$magic4/"
check_eq "a new connection fails" 7 $?
took=$((($(date +%s%N) - started) / 1000000))
[ $took -lt 3500 ]
check_eq "and not by a time-out ($took ms)" 0 $?

# The uplink's address changes, as by DHCP: new flows take the new one.
conn25_stop connector
conn25 connector detach >/dev/null 2>&1
conn25_start connector
wait_for 10 fetch "$magic4"
check_match "before, flows leave from the old address" 'seen from 198\.51\.100\.1,' "$(fetch "$magic4")"
ip -n connector addr del 198.51.100.1/24 dev wan0
addr connector wan0 198.51.100.2/24
ip -n connector route replace default via 198.51.100.254
moved() { [[ $(fetch "$magic4") == *'seen from 198.51.100.2,'* ]]; }
check "after, they leave from the new one" wait_for 10 moved

# The route leaves the uplink under a flow.
kill "$echo_pid"
wait "$echo_pid"
coproc MOVED { in_ns client socat -d -t 0.1 - "TCP4:$magic4:7" 2>&1; }
exec 8<&"${MOVED[0]}" 9>&"${MOVED[1]}" # bash closes its own when it ends
echo_fd=(8 9)
check_eq "a connection is open on the first uplink" one "$(asked one)"
addr connector wan1 192.0.2.129/30
addr internet wan1 192.0.2.130/30
rerouted() { [[ $(fetch "$magic4") == *'seen from 192.0.2.129,'* ]]; }
ip -n connector route replace default via 192.0.2.130 dev wan1
check "new connections take the new route" wait_for 10 rerouted
{
	echo two
	sleep 0.3
	echo three
} 2>/dev/null >&9
line=
read -r -t 5 line <&"${echo_fd[0]}"
check_match "the old one is ended, not left hanging" 'reset|route' "$line"
finish
