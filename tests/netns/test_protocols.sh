#!/usr/bin/env bash
# Protocols without ports: by address, for one client at a time, and each with its own word.
# shellcheck source=tests/netns/lib.sh disable=SC2016,SC2317
. "$(dirname "$0")/lib.sh"
topology
netmap
standard_zones
dns_server
conn25_start connector
conn25_start client
magic4=$(lookup client host.example.net A)
magic6=$(lookup client host.example.net AAAA)
other4=$(lookup client v4only.example.net A)
addr internet lo 2001:db8:25::9/128
for a in 203.0.113.9 203.0.113.4; do
	for proto in 47 50 132; do
		in_ns internet socat "IP4-RECVFROM:$proto,bind=$a,fork" EXEC:cat &
	done
done
for proto in 47 50 132; do
	in_ns internet socat "IP6-RECVFROM:$proto,bind=[2001:db8:25::9],fork" EXEC:cat &
done
raws() { [ "$(in_ns internet ss -Hwan | wc -l)" -ge 9 ]; }
wait_for 5 raws
# What comes back to a raw socket, in words; nothing within a second: nothing.
asked() { # NS FAMILY PROTOCOL ADDR WORD
	local to=$4
	[ "$2" = 6 ] && to="[$4]"
	echo "$5" | in_ns "$1" timeout 3 socat -T 1 -t 1 - "IP$2-SENDTO:$to:$3" 2>/dev/null
}
for p in 47:GRE 50:ESP 132:SCTP; do
	check_eq "${p#*:} goes to the real address and back" "word ${p#*:}" \
		"$(asked client 4 "${p%:*}" "$magic4" "word ${p#*:}")"
	check_eq "and over IPv6" "word ${p#*:}" "$(asked client 6 "${p%:*}" "$magic6" "word ${p#*:}")"
done
unreachable() { # NS FAMILY: errors its kernel was sent
	local name=IcmpInDestUnreachs
	[ "$2" = 6 ] && name=Icmp6InDestUnreachs
	in_ns "$1" nstat -asz $name | awk -v n=$name '$1 == n { print $2 }'
}
was4=$(unreachable pod 4) was6=$(unreachable pod 6)
check_eq "a second client of the same is refused" "" "$(asked pod 4 47 "$magic4" second)"
check_eq "with that reason" 1 "$(reason connector ambiguous)"
check_eq "and told" 1 $(($(unreachable pod 4) - was4))
check_eq "over IPv6 as well" "" "$(asked pod 6 47 "$magic6" second)"
check_eq "and told" 1 $(($(unreachable pod 6) - was6))
check_eq "another address is not in doubt" second "$(asked pod 4 47 "$other4" second)"
check_eq "the first goes on" third "$(asked client 4 47 "$magic4" third)"

# IPsec AH signs what would be changed.
was4=$(unreachable client 4) was6=$(unreachable client 6)
asked client 4 51 "$magic4" 012345678901234567890123 >/dev/null
asked client 6 51 "$magic6" 012345678901234567890123 >/dev/null
check_eq "AH is refused over both families" 2 "$(reason connector protocol)"
check_eq "and told" "1 1" "$(($(unreachable client 4) - was4)) $(($(unreachable client 6) - was6))"

# Segments with IPv4 options, which offloads do not know: data both ways, and a reset.
in_ns internet socat TCP4-LISTEN:7,reuseaddr,fork EXEC:cat &
wait_for 5 listening internet 7
check_eq "a connection with IPv4 options carries data" hello \
	"$(echo hello | in_ns client timeout 3 socat -t 1 - "TCP4:$magic4:7,ip-options=x01010101")"
check_match "a closed port is told to it" refused \
	"$(in_ns client socat -u /dev/null "TCP4:$magic4:4444,ip-options=x01010101" 2>&1)"
coproc LOST { in_ns client socat -d -t 0.1 - "TCP4:$magic4:7,ip-options=x01010101" 2>&1; }
exec 8<&"${LOST[0]}" 9>&"${LOST[1]}" # bash closes its own when it ends
echo one >&9
read -r -t 5 line <&8
check_eq "one more is open" one "$line"
conn25_stop connector
conn25 connector detach >/dev/null 2>&1
conn25_start connector
wait_for 10 eval '[ "$(asked client 4 47 "$magic4" again)" = again ]'
echo two >&9
line=
read -r -t 5 line <&8
check_match "it is reset when its flow is gone" 'reset' "$line"
check_eq "no checksum error is counted anywhere" 0 "$(
	for ns in client connector internet pod; do
		in_ns $ns nstat -asz TcpInCsumErrors IcmpInCsumErrors Icmp6InCsumErrors 2>/dev/null
	done | awk '/CsumErrors/ { n += $2 } END { print n + 0 }'
)"
finish
