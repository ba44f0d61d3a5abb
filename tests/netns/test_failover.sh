#!/usr/bin/env bash
# Two connectors: one dies, the other takes over, whichever is first.
# shellcheck disable=SC2016,SC2128,SC2154,SC2178,SC2317 # jq's and eval's own; variables that lib.sh sets by name
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
second_connector
netmap "$two_connectors"
standard_zones
dns_server
web_server
conn25_start connector
conn25_start connector2
conn25_start client

holder() { # NAME: the connector of its IPv4 mapping
	conn25 client map client --json | jq -r --arg n "$1" \
		'[.client[] | select(.domain == $n and (.magicIP | contains(".")))][0].connector'
}
other() { [ "$1" = connector ] && echo connector2 || echo connector; }
seen_as() { [ "$1" = connector ] && echo 'seen from 198.51.100.1,' || echo 'seen from 10.2.0.2,'; }
fetch() { in_ns client curl -sS --max-time 1 "http://$magic/"; }
held_by() { [ "$(holder host.example.net)" = "$1" ]; }
next=0
new_name() { # SECONDS CLAIM: a name never asked before
	local started took answer
	next=$((next + 1))
	started=$(date +%s%N)
	answer=$(lookup client "n$next.example.net" A)
	took=$((($(date +%s%N) - started) / 1000000))
	[[ $answer == 198.18.* ]] && [ $took -lt $(($1 * 1000)) ] &&
		in_ns client curl -sS --max-time 1 -o /dev/null "http://$answer/"
	check_eq "$2 ($took ms)" 0 $?
}
warnings() { grep -c "connector $1 does not answer" "$dir/client.log"; }

# A connection that answers what it is asked, and can be asked again and again.
in_ns internet socat TCP4-LISTEN:7,reuseaddr,fork EXEC:cat &
wait_for 5 listening internet 7
connect() { # FD: opens a connection through the mapping
	coproc in_ns client socat -d -t 0.1 - "TCP4:$magic:7" 2>&1
	eval "exec $1<&${COPROC[0]} $(($1 + 1))>&${COPROC[1]}" # bash closes its own when it ends
}
asked() { # FD WORD: what comes back, which may be why nothing does
	local line=
	{ echo "$2" >&$(($1 + 1)); } 2>/dev/null
	read -r -t 5 line <&"$1"
	echo "$line"
}
standby() { conn25 client explain "$1" | sed -n 's/^ *standby *//p' | head -1; }
stands_by() { [ "$(standby "$1")" = "$2" ]; }
mapped_at() { conn25 "$1" map connector --json | jq -r '.connector[].destinationIP' | grep -qx 203.0.113.9; }

magic=$(lookup client host.example.net A)
first=$(holder host.example.net)
second=$(other "$first")
check_match "traffic goes through one of them" "$(seen_as "$first")" "$(fetch)"
check "the other one holds the mapping too" wait_for 2 mapped_at "$second"
check "and stands by" wait_for 2 stands_by host.example.net "$second"
connect 10
check_eq "a connection is open" one "$(asked 10 one)"

# The daemon of the one in use is killed: mappings move, connections stay with its datapath.
nsenter --net=/run/netns/client ping -n -i 0.05 -w 30 "$magic" >"$dir/ping" 2>&1 &
ping=$!
conn25_stop "$first" KILL
new_name 1 "$first killed: a new name works at once"
new_name 1 "and another one"
check "existing mappings move to $second" wait_for 8 held_by "$second"
check_match "new connections go through $second" "$(seen_as "$second")" "$(fetch)"
check_eq "the open one goes on" two "$(asked 10 two)"
connect 20
check_eq "another is opened through $second" one "$(asked 20 one)"
check_match "explain says that flows stay with $first" "kept .* $first" "$(conn25 client explain host.example.net)"
kill -INT $ping
wait $ping
check_match "no packet was lost on the way" ' 0% packet loss' "$(cat "$dir/ping")"
check_match "the name keeps its address" "^$magic$" "$(lookup client host.example.net A)"
new_name 1 "new names work"

# Flows that stayed are silent for a while; then the answer takes its time.
in_ns internet socat -t 5 UDP4-RECVFROM:8,bind=203.0.113.9,fork SYSTEM:'sleep 1; echo slow' &
wait_for 5 eval '[ -n "$(in_ns internet ss -Hlun "sport = :8")" ]'
sleep 3
check_eq "a slow answer comes" slow "$(echo ask | in_ns client socat -t 5 -T 5 - "UDP4:$magic:8" | head -n 1)"
check_eq "and the connection of $first goes on" again "$(asked 10 again)"

# It comes back, and nothing flaps.
conn25_start "$first"
check "$first is seen again" wait_for 8 grep -q "connector $first answers" "$dir/client.log"
new_name 1 "new names work"
check_match "what has moved stays" "$second" "$(holder host.example.net)"
check_eq "the connection of $first goes on" three "$(asked 10 three)"
check_eq "and that of $second" two "$(asked 20 two)"
check "$first stands by" wait_for 5 stands_by host.example.net "$first"
check_eq "$first was lost once" 1 "$(warnings "$first")"
check_eq "$second was never lost" 0 "$(warnings "$second")"

# A client's daemon that starts again knows who holds what, and what stays where.
conn25_stop client KILL
conn25_start client
check "after a restart of the client $first stands by" wait_for 5 stands_by host.example.net "$first"
check_eq "the connection of $first goes on" still "$(asked 10 still)"
check_eq "and that of $second" still "$(asked 20 still)"

# The link of the other one is cut, in the middle of traffic.
ip -n "$second" link set eth0 down
cut=$(date +%s%N)
new_name 1 "$second cut off: a new name works within the answer's time"
through_first() { in_ns client curl -sS --max-time 0.3 "http://$magic/" | grep -q "$(seen_as "$first")"; }
wait_for 8 through_first
took=$((($(date +%s%N) - cut) / 1000000))
[ $took -lt 3000 ]
check_eq "an existing name works through $first within 3 s ($took ms)" 0 $?
check_eq "the mappings have moved" "$first" "$(holder host.example.net)"
check_match "a connection that cannot be saved is reset" reset "$(asked 20 three)"
took=$((($(date +%s%N) - cut) / 1000000))
[ $took -lt 6000 ]
check_eq "and not by a time-out ($took ms)" 0 $?
check_eq "the connection of $first goes on" four "$(asked 10 four)"
new_name 1 "new names work"

# The last one goes as well.
conn25_stop "$first" KILL
in_ns client dig +time=3 +tries=1 @127.0.0.1 n300.example.net >"$dir/answer"
check_eq "without any a new name is SERVFAIL" SERVFAIL "$(sed -n 's/.*status: \([A-Z]*\).*/\1/p' "$dir/answer")"
took=$(sed -n 's/^;; Query time: \([0-9]*\) msec$/\1/p' "$dir/answer") # without the start of dig
[ "${took:-9999}" -lt 1300 ]
check_eq "within the answer timeout ($took ms)" 0 $?
conn25_stop client KILL
conn25_start client
for node in "$first" "$second"; do
	check "a client that starts meanwhile tells that $node does not answer" wait_for 3 eval \
		'[ "$(warnings "$node")" -eq 1 ]'
done
ip -n "$second" link set eth0 up
works() { [[ $(lookup client n301.example.net A) == 198.18.* ]]; }
check "$second comes back: new names work" wait_for 8 works
check "and the mappings move to it" wait_for 8 held_by "$second"
check "and carry traffic" wait_for 3 eval "fetch | grep -q '$(seen_as "$second")'"

# A short silence is no reason to move.
answers() { grep -c "connector $1 answers" "$dir/client.log"; }
was=$(answers "$first")
conn25_start "$first"
check "$first is back" wait_for 8 eval '[ "$(answers "$first")" -gt '"$was"' ]'
started=$(date +%s%N)
conn25_stop "$second"
conn25_start "$second"
took=$((($(date +%s%N) - started) / 1000000))
new_name 1 "after a restart of $second new names work"
claim="mappings stay through a restart of less than two seconds"
if [ $took -lt 1700 ]; then
	check_eq "$claim ($took ms)" "$second" "$(holder host.example.net)"
else
	skip "$claim" "it took $took ms"
fi
check_match "and carry traffic" "$(seen_as "$(holder host.example.net)")" "$(fetch)"

# Told to leave.
netmap_reload "client connector connector2" "$two_connectors | .nodes |= map(if .id == \"$second\" then .connector = false else . end)"
check "a node that is no connector any more is left" wait_for 1 held_by "$first"
check_match "and traffic goes on" "$(seen_as "$first")" "$(fetch)"
finish
