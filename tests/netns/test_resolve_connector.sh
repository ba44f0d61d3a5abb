#!/usr/bin/env bash
# resolve: connector. The client's resolver and the connectors' tell different things of one name.
# shellcheck disable=SC2016,SC2046,SC2059 # evaluated by wait_for, $ORIGIN; pids; bytes
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
lan_host connector2 20
cable connector2 wan0 internet wan1
addr connector2 wan0 198.51.101.1/24 2001:db8:3::1/64
addr internet wan1 198.51.101.254/24 2001:db8:3::fe/64
ip -n connector2 route add default via 198.51.101.254
ip -n connector2 route add default via 2001:db8:3::fe

one='.apps = [
	{ name: "web", domains: ["example.com", "*.example.net"], connectors: ["tag:exit"],
	  clients: ["tag:workers"], resolve: "connector" },
	{ name: "other names", domains: ["*.example.org"], connectors: ["tag:exit"], clients: ["tag:workers"] },
	{ name: "secret", domains: ["secret.test"], connectors: ["tag:exit"], clients: ["connector2"] },
	{ name: "far", domains: ["far.test"], connectors: ["connector2"], clients: ["tag:workers"] } ]
	| .nodes += [{ id: "connector2", addresses: ["100.101.0.10", "fd25::10"], tags: ["tag:exit"], underlay: "192.0.2.20",
	  connector: true }]'
netmap "$one"
standard_zones
printf '%s\n' '$ORIGIN plain.test.' '$TTL 60' '@ SOA ns.example.com. hostmaster 1 3600 600 86400 60' \
	'@ NS ns.example.com.' '@ A 198.51.100.203' | zone plain.test
dns_server
web_server

# What only the connectors' resolver says.
inner_zone() { # NAME: records on stdin
	{
		printf '$ORIGIN %s.\n$TTL 120\n@ SOA ns.example.com. hostmaster 1 3600 600 86400 60\n' "$1"
		echo '@ NS ns.example.com.'
		cat
	} >"$dir/inner-$1.zone"
	printf 'zone:\n  name: "%s"\n  zonefile: "%s"\n' "$1" "$dir/inner-$1.zone" >>"$dir/inner.conf"
}
inner_zone example.com <<-ZONE
	ns A 192.0.2.53
	@ A 203.0.113.77
	@ AAAA 2001:db8:25::77
	@ TXT "seen from the connector"
ZONE
{
	echo 'inside 30 A 203.0.113.78'
	echo 'inside AAAA 2001:db8:25::78'
	for i in $(seq 1 200); do echo "n$i A 203.0.113.$((i % 250 + 1))"; done
	for i in $(seq 1 200); do echo "long A 203.0.113.$i"; done
} | inner_zone example.net
inner_zone secret.test <<<'@ A 203.0.113.80'
inner_zone example.org <<<'www A 203.0.113.81'
sed -e '/ip-address/d' -e 's/server-count: 1/&\n  ip-address: 198.51.100.254\n  ip-address: 198.51.101.254/' \
	-e "s,$dir/nsd.pid,$dir/inner.pid," -e "s,$dir/xfrd.state,$dir/inner.xfrd," \
	-e "s,$dir/zone.list,$dir/inner.list," "$dir/nsd.head" | cat - "$dir/inner.conf" >"$dir/inner.all"
in_ns internet nsd -d -c "$dir/inner.all" >>"$dir/nsd.log" 2>&1 &
wait_for 5 in_ns internet dig +time=1 +tries=1 @198.51.101.254 example.com SOA ||
	fatal "the connectors' nsd starts" "$(cat "$dir/nsd.log")"

conn25_start connector --dns-upstream 198.51.100.254
conn25_start connector2 --dns-upstream 198.51.101.254
conn25_start client

page() { # ADDRESS HOST
	in_ns client curl -sS --max-time 5 --resolve "$2:80:$1" "http://$2/" 2>&1
}
status_of() { in_ns client dig +time=6 +tries=1 "@127.0.0.1" "$@" | sed -n 's/.*status: \([A-Z]*\).*/\1/p'; }

# Names, as the connector sees them.
magic4=$(lookup client example.com A)
magic6=$(lookup client example.com AAAA)
check_match "an A question gets a magic address" '^198\.18\.' "$magic4"
check_match "an AAAA question gets a magic address" '^fd25:a::' "$magic6"
check_match "it leads where the connector's resolver says, over IPv4" 'at 203\.0\.113\.77$' "$(page "$magic4" example.com)"
check_match "it leads where the connector's resolver says, over IPv6" 'at 2001:db8:25::77$' "$(page "[$magic6]" example.com)"
inside=$(lookup client inside.example.net A)
check_match "a name that only the connector's resolver knows works" 'at 203\.0\.113\.78$' "$(page "$inside" inside.example.net)"
check_eq "types without addresses come from there too" '"seen from the connector"' "$(lookup client example.com TXT)"
check_eq "a name that is not there is NXDOMAIN" NXDOMAIN "$(status_of nothing.example.net A)"
check_match "an app with resolve: client still asks the client's resolver" 'at 198\.51\.100\.202$' \
	"$(page "$(lookup client example.org A)" example.org)"
check_eq "an answer too long for the connector's UDP is whole" 200 \
	"$(in_ns client dig +short +tcp @127.0.0.1 long.example.net A | grep -c '^198\.18\.')"

# As an RFC 8484 client of one's own.
api=http://100.101.0.9:8025/dns-query
message() { # NAME [TYPE]
	local label
	printf '\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00'
	for label in ${1//./ }; do
		printf "\\x$(printf %02x ${#label})%s" "$label"
	done
	printf "\\x00\\x00\\x$(printf %02x "${2:-1}")\\x00\\x01"
}
doh() { # URL [CURL-ARGS...]: status, answer to $dir/answer, headers to $dir/headers
	in_ns "${from:-client}" curl -sS --max-time 8 -D "$dir/headers" -o "$dir/answer" -w '%{http_code}' "$@"
}
post() { # APP NAME [TYPE]
	message "$2" "${3:-1}" | doh "$api?app=$1" -H 'Content-Type: application/dns-message' --data-binary @-
}
rcode() { od -An -tu1 -j3 -N1 "$dir/answer" | awk '{ print $1 % 16 }'; }
first() { # the first record's address: its owner is a pointer, the name is as long as asked
	od -An -tu1 -j$((12 + ${#1} + 2 + 4 + 12)) -N4 "$dir/answer" | xargs | tr ' ' .
}

check_eq "POST is answered" 200 "$(post web inside.example.net)"
check_eq "with the real address: nothing is rewritten" 203.0.113.78 "$(first inside.example.net)"
check_eq "under the id of the question" 1234 "$(od -An -tx1 -N2 "$dir/answer" | tr -d ' ')"
check_match "as a DNS message" '^[Cc]ontent-[Tt]ype: application/dns-message' "$(cat "$dir/headers")"
check_match "that may be kept as long as its records" '^[Cc]ache-[Cc]ontrol: max-age=30\b' "$(cat "$dir/headers")"
question=$(message inside.example.net | base64 -w0 | tr '+/' '-_' | tr -d =)
check_eq "GET is answered" 200 "$(doh "$api?app=web&dns=$question")"
check_eq "alike" 203.0.113.78 "$(first inside.example.net)"
check_eq "an answer over 512 bytes is whole" 200 "$(post web long.example.net)"
check "with all of its records" [ "$(stat -c %s "$dir/answer")" -gt 3200 ]
check_eq "a name of another app is refused in DNS's words" "200 5" "$(post web www.example.org) $(rcode)"
check_eq "and answered where its own app is asked for" "200 0" "$(post other%20names www.example.org) $(rcode)"
check_eq "a name of no app is refused" "200 5" "$(post web example.edu) $(rcode)"
check_eq "a zone transfer is refused" "200 5" "$(post web example.com 252) $(rcode)"
check_eq "an app that this peer may not use is forbidden" 403 "$(post secret secret.test)"
check_eq "one that does not exist is too" 403 "$(post nothing example.com)"
check_eq "who may use it is answered" 200 "$(from=connector2 post secret secret.test)"
check_eq "an app of other connectors is not found here" 404 "$(post far far.test)"
check_eq "who is no peer is forbidden" 403 \
	"$(message example.com | from=connector doh "$api?app=web" --data-binary @-)"
check_eq "another type is not supported" 415 "$(message example.com | doh "$api?app=web" --data-binary @-)"
check_eq "rubbish is a bad request" 400 \
	"$(echo rubbish | doh "$api?app=web" -H 'Content-Type: application/dns-message' --data-binary @-)"
check_eq "a body over 65535 bytes is too large" 413 \
	"$(head -c 70000 /dev/zero | doh "$api?app=web" -H 'Content-Type: application/dns-message' --data-binary @-)"
check_eq "PUT is not allowed" 405 "$(doh "$api?app=web" -X PUT)"
check_match "but GET and POST are" '^Allow: GET, POST' "$(cat "$dir/headers")"

# Connections.
opened() { # by peers at both connectors
	local ns
	for ns in connector connector2; do in_ns "$ns" nstat -asz TcpPassiveOpens | awk '/Opens/ { print $2 }'; done |
		awk '{ n += $1 } END { print n }'
}
opened_before=$(opened)
for i in $(seq 1 60); do lookup client "n$i.example.net" A; done >"$dir/answers"
check_eq "60 questions one after another are answered" 60 "$(grep -c '^198\.18\.' "$dir/answers")"
check "over one connection or two" [ "$(($(opened) - opened_before))" -le 2 ]

# While the connectors' resolver sleeps, questions gather.
resolver() { # SIGNAL
	kill "-$1" $(pgrep -f inner.all)
}
gather() { # FROM TO
	local i
	pids=()
	for i in $(seq "$1" "$2"); do
		lookup client "n$i.example.net" A >"$dir/answer-$i" &
		pids+=($!)
	done
}
carried() { in_ns client ss -Htn state established 'dport = :8025' | grep -c .; }
resolver STOP
gather 101 140
check "16 of 40 questions are under way at once" wait_for 2 eval '[ "$(carried)" -ge 16 ]'
most=$(carried)
check "not more, but for what registers ($most connections)" [ "$most" -le 18 ]
check "registration goes on meanwhile" in_ns client curl -sf --max-time 1 -o "$dir/body" \
	--data '{"transitIPs":[]}' http://100.101.0.9:8025/v0/connector/transit-ip
resolver CONT
wait "${pids[@]}"
check_eq "all of them are answered" 40 "$(cat "$dir"/answer-* | grep -c '^198\.18\.')"

check_match "explain says who resolves" "resolved +by the connector" "$(conn25 client explain example.com)"

# Failover.
case $(page "$magic4" example.com) in
*198.51.100.1,*) first=connector second=connector2 ;;
*) first=connector2 second=connector ;;
esac
conn25_stop $first KILL 2>/dev/null
start=$(date +%s%N)
magic=$(lookup client n61.example.net A)
took=$((($(date +%s%N) - start) / 1000000))
check_match "with the first connector's daemon dead the next one resolves" '^198\.18\.' "$magic"
check "at once: the connection was refused ($took ms)" [ "$took" -lt 1500 ]
conn25_stop $second KILL 2>/dev/null
check_eq "with no connector left it is SERVFAIL" SERVFAIL "$(status_of n62.example.net A)"
check_eq "and names that are not configured go on" 198.51.100.203 "$(lookup client plain.test A)"
conn25_start $second --dns-upstream "$([ $second = connector ] && echo 198.51.100.254 || echo 198.51.101.254)"
conn25_start $first --dns-upstream "$([ $first = connector ] && echo 198.51.100.254 || echo 198.51.101.254)"
check "it comes back with its connector" wait_for 10 eval \
	'[[ $(lookup client n63.example.net A) == 198.18.* ]]'

# The whole peer API over IPv6.
netmap_reload "client connector connector2" "$one | .nodes[] |= if .id == \"connector\" then
	.peerAPI = \"http://[fd25::9]:8025\" elif .id == \"connector2\" then .peerAPI = \"http://[fd25::10]:8025\" else . end"
check_match "names resolve over the connector's IPv6 address" '^198\.18\.' "$(lookup client n64.example.net A)"
check "by a connection of IPv6" in_ns client bash -c "ss -Htn6 state established | grep -q 8025"

# A host that is gone says nothing at all.
ip -n $first link set eth0 down
start=$(date +%s%N)
magic=$(in_ns client dig +short +time=6 +tries=1 @127.0.0.1 n65.example.net A)
took=$((($(date +%s%N) - start) / 1000000))
check_match "with the first connector's host gone the next one resolves" '^198\.18\.' "$magic"
check "within the time of a client's patience ($took ms)" [ "$took" -lt 5000 ]
start=$(date +%s%N)
magic=$(lookup client n66.example.net A)
took=$((($(date +%s%N) - start) / 1000000))
check_match "and the next name" '^198\.18\.' "$magic"
check "at once ($took ms)" [ "$took" -lt 1000 ]

# The end, with questions under way.
resolver STOP
gather 141 150
check "questions wait for the last connector" wait_for 2 eval '[ "$(carried)" -ge 8 ]'
conn25_stop $second
check_eq "a connector that asks ends with 0" 0 $?
conn25_stop client
check_eq "a client that asks ends with 0" 0 $?
wait "${pids[@]}"
finish
