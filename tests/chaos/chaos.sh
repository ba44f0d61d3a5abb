#!/usr/bin/env bash
# make chaos: traffic through two connectors while daemons are killed, upgraded and reloaded and a
# link is cut, for DURATION seconds. What is lost, is lost through the cut link, or the test fails.
#
# SEED: the order of what is done (printed). CONN25_OTHER: the binary that upgrades go to and fro;
# without it daemons are upgraded to their own.
# shellcheck disable=SC2128,SC2154,SC2178 # variables that lib.sh sets by name
# shellcheck source=tests/netns/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../netns/lib.sh"
DURATION=${DURATION:-600}
SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
RANDOM=$SEED
OTHER=${CONN25_OTHER:-$CONN25}
load=$top/build/chaos
apps=4 flows=8 streams=16
echo "# $DURATION s, SEED=$SEED, upgrades between $CONN25 and $OTHER"

topology
second_connector
for i in $(seq $apps); do
	{
		printf '$ORIGIN a%s.test.\n$TTL 5\n' "$i"
		echo '@ SOA ns hostmaster 1 3600 600 86400 60'
		echo '@ NS ns.example.com.'
		echo "* A 203.0.113.$i"
	} | zone "a$i.test"
done
standard_zones
dns_server
apps_filter="$two_connectors | .apps = [range(1; $apps + 1) | { name: \"a\\(.)\", domains: [\"*.a\\(.).test\"],
	connectors: [\"tag:exit\"], clients: [\"tag:workers\"] }]"
netmap "$apps_filter"

ms() { echo $((${EPOCHREALTIME/./} / 1000)); }

roll() { rolled=$((RANDOM % $1)); }
declare -A pid binary address=([connector]=198.51.100.1 [connector2]=10.2.0.2)
nodes=(client connector connector2)

did() { # NODE WHAT: into the record of causes
	printf '%s %s %s\n' "$(ms)" "$1" "$2" >>"$dir/actions"
}
readies() { grep -c ' ready: ' "$dir/$1.log"; }
launch() { # NODE
	local node=$1 flags=()
	[[ $node == connector* ]] || flags=("${client_flags[@]}")
	touch "$dir/$node.log"
	before=$(readies "$node")
	nsenter --net="/run/netns/$node" "${binary[$node]}" run --netmap "$netmap_file" \
		--node "$node" --pin "/sys/fs/bpf/$node" --control "/run/$node.sock" "${flags[@]}" \
		2>>"$dir/$node.log" &
	pid[$node]=$!
}
is_ready() { [ "$(readies "$1")" -gt "$before" ]; }
await() { # NODE
	wait_for 10 is_ready "$1" || fatal "conn25 starts on $1" "$(tail "$dir/$1.log")"
}
end() { # NODE SIGNAL
	[ -n "${pid[$1]}" ] || return 0
	kill -"$2" "${pid[$1]}"
	wait "${pid[$1]}" 2>/dev/null
	pid[$1]=
}
pause() { # MS, at most
	roll "$1"
	sleep "$((rolled / 1000)).$(printf %03d $((rolled % 1000)))"
}

# What is done. Daemons that end are started again as a service manager does.
crash() { # NODE
	did "$1" crash
	end "$1" KILL
	pause 300
	launch "$1"
	await "$1"
	did "$1" started
}
crash_at_start() { # NODE
	did "$1" crash-at-start
	end "$1" KILL
	for _ in 1 2 3; do
		launch "$1"
		pause 250
		end "$1" KILL
	done
	launch "$1"
	await "$1"
	did "$1" started
}
upgrade() { # NODE
	did "$1" upgrade
	end "$1" TERM
	[ "${binary[$1]}" = "$CONN25" ] && binary[$1]=$OTHER || binary[$1]=$CONN25
	launch "$1"
	await "$1"
	did "$1" started
}
outage() { # CONNECTOR: its daemon stays away for longer than clients wait
	did "$1" outage
	end "$1" KILL
	out=$1
	roll 3000
	out_until=$(($(ms) + 2000 + rolled))
}
outage_ends() {
	launch "$out"
	await "$out"
	did "$out" started
	calm_until=$(($(ms) + 8000))
	out=
}
cut() { # CONNECTOR
	did "$1" cut
	cut=$1
	roll 2
	cut_dev=("lan" "to-$1")
	[ "$rolled" = 0 ] && cut_dev=("$1" eth0)
	ip -n "${cut_dev[0]}" link set "${cut_dev[1]}" down
	roll 4000
	cut_until=$(($(ms) + 4000 + rolled))
}
cut_ends() {
	ip -n "${cut_dev[0]}" link set "${cut_dev[1]}" up
	did "$cut" mended
	calm_until=$(($(ms) + 8000))
	cut=
}
reload() {
	did all reload
	roll 3
	case $rolled in
	0) netmap "$apps_filter" ;;
	1) netmap "$apps_filter | .apps += [{ name: \"more\", domains: [\"*.more.test\"],
		connectors: [\"tag:exit\"], clients: [\"*\"] }]" ;;
	2) netmap "$apps_filter | .nodes += [{ id: \"node$RANDOM\", addresses: [\"100.101.0.77\"],
		underlay: \"192.0.2.77\", podCIDRs: [\"10.77.0.0/16\"] }]" ;;
	esac
}
# Where one connector is cut off or its daemon is out, the other one is left alone: with both gone
# nothing can work. The one that is cut off may be killed too; one that is out is dead already.
spare() { # NODE: it, or the client in its place, in `node`
	node=$1
	if [ "$1" != client ] && [ -n "$cut$out" ] && [ "$1" != "$cut" ]; then
		node=client
	fi
}
disturb() { # outage or cut, of a connector
	[ -z "$cut$out" ] && [ "$(ms)" -ge "$calm_until" ] && "$1" "$either"
}
chance() { # what comes next
	local two=(connector connector2) either any node
	roll 2
	either=${two[rolled]}
	roll 3
	any=${nodes[rolled]}
	roll 16
	case $rolled in
	0 | 1 | 2) crash client ;;
	3 | 4 | 5) spare "$either" && crash "$node" ;;
	6 | 7) spare "$any" && crash_at_start "$node" ;;
	8 | 9) spare "$any" && upgrade "$node" ;;
	10 | 11) reload ;;
	12 | 13) disturb outage ;;
	*) disturb cut ;;
	esac
}

# The start, and the traffic.
for node in "${nodes[@]}"; do
	binary[$node]=$CONN25
	launch "$node"
	await "$node"
done
for i in $(seq $flows); do
	magic[i]=$(lookup client "flow$i.a$((i % apps + 1)).test" A)
	[[ ${magic[i]} == 198.18.* ]] || fatal "flow$i has a magic address" "${magic[i]}"
done
in_ns internet "$load/echo" >"$dir/echo.out" 2>&1 &
wait_for 5 listening internet 7 || fatal "the echo server starts" "$(cat "$dir/echo.out")"
suffixes=()
for i in $(seq $apps); do suffixes+=("a$i.test"); done
loads=()
spawn() { # NAME COMMAND...
	local name=$1
	shift
	nsenter --net=/run/netns/client "$@" >"$dir/$name.out" 2>&1 &
	loads+=($!)
}
spawn udp "$load/udp" 1000 "${magic[@]}"
spawn tcp "$load/tcp" $streams "${magic[@]}"
spawn names "$load/names" use 20 127.0.0.1 "${suffixes[@]}"
sleep 1
started=$(ms)
out='' cut='' out_until=0 cut_until=0 calm_until=0
: >"$dir/actions"
while [ "$(ms)" -lt $((started + DURATION * 1000)) ]; do
	pause 1500
	[ -n "$out" ] && [ "$(ms)" -ge "$out_until" ] && outage_ends
	[ -n "$cut" ] && [ "$(ms)" -ge "$cut_until" ] && cut_ends
	chance
done
[ -n "$out" ] && outage_ends
[ -n "$cut" ] && cut_ends
sleep 5
alive=0
for p in "${loads[@]}"; do
	kill -TERM "$p" && alive=$((alive + 1))
done
wait "${loads[@]}"

# What was lost, and why. `excused`: through a link that was cut at that time, and of datagrams only
# in the three seconds in which its mappings were to move. A client that is ended in these seconds
# notices nothing until it is there again, and then needs no heartbeat to notice it: two seconds.
awk -v one="${address[connector]}" -v two="${address[connector2]}" '
	FILENAME ~ /actions$/ {
		at[++n] = $1; node[n] = $2; what[n] = $3
		if ($3 == "cut") { from[++cuts] = $1; to[cuts] = 1e15; via[cuts] = $2 == "connector" ? one : two }
		if ($3 == "mended") to[cuts] = $1
		if ($3 == "cut") moved[cuts] = $1 + 3000
		if ($2 == "client" && $3 != "started") noticing = cuts && $1 < moved[cuts] ? cuts : 0
		if ($2 == "client" && $3 == "started" && noticing && moved[noticing] < $1 + 2000)
			moved[noticing] = $1 + 2000
		next
	}
	$1 ~ /^(lost|broken|failed|late)$/ {
		cause = "unexplained"
		for (c = 1; c <= cuts; c++) {
			if (($4 != via[c] && $4 != "any") || $2 < from[c] - 100) continue
			if ($1 == "lost" && $2 < moved[c] && $2 < to[c]) cause = "cut"
			if ($1 == "broken" && $2 < to[c] + 20000) cause = "cut"
		}
		last = "nothing was done"
		for (i = 1; i <= n && at[i] <= $2; i++) last = what[i] " of " node[i] " " ($2 - at[i]) " ms before"
		print $1, cause, $2, $3, $4, $5, $6, "(" last ")"
	}' "$dir/actions" "$dir/udp.out" "$dir/tcp.out" "$dir/names.out" >"$dir/events"
count() { # KIND CAUSE
	grep -c "^$1 $2 " "$dir/events"
}
total() { # KIND FIELD
	awk -v kind="$1-total" -v field="$2" '$1 == kind { print $field }' "$dir/$1.out"
}
echo "# done: $(awk '{ print $3 }' "$dir/actions" | sort | uniq -c | awk '{ printf "%s%s %s", sep, $2, $1; sep = ", " }')"
echo "# datagrams: $(total udp 2) sent, $(total udp 3) lost, and $(grep -c ^lost "$dir/names.out") first ones to" \
	"fresh names ($(count lost cut) through the cut link, $(count lost unexplained) not)," \
	"the slowest back after $(total udp 4) ms"
echo "# streams: $(total tcp 2) opened, $(total tcp 3) broken ($(count broken cut) through the cut link," \
	"$(count broken unexplained) not), $(total tcp 4) KiB echoed, the longest pause $(total tcp 5) ms"
echo "# names: $(total names 2) asked, $(total names 3) failed, $(total names 4) took over 1 s," \
	"the slowest $(total names 5) ms"
# By flow, or what came at once: how many, from when to when, and what was done last before.
grep -v "^late" "$dir/events" | grep unexplained | sort -k1,1 -k4,4 -k3,3n | awk '
	function say() { if (n) print "# " kind, what, via, why ": " n ", from " first " to " last " " after }
	{
		name = $1 == "lost" || $1 == "broken" ? $4 : "names"
		if ($1 != kind || name != what || $3 > last + 1000) {
			say(); n = 0; kind = $1; what = name; via = $5; why = $6; first = $3
			after = $0; sub(/^[^(]*/, "", after)
		}
		n++; last = $3
	}
	END { say() }' | head -n 60
grep -v "^late" "$dir/events" | grep -q unexplained && sed 's/^/# did /' "$dir/actions"
none() { # KIND
	check_eq "$2" 0 "$(count "$1" unexplained)"
}
check_eq "the load ran to the end" 3 $alive
[ "$(total udp 2)" -ge $((DURATION * 950)) ]
check_eq "a thousand datagrams a second were sent" 0 $?
[ "$(total names 2)" -ge $((DURATION * 19)) ]
check_eq "twenty fresh names a second were asked" 0 $?
none lost "no datagram is lost but through the cut link, and there only until its mappings have moved"
none broken "no stream breaks but through the cut link"
none failed "every fresh name works within three seconds, also while a link is cut"
finish
