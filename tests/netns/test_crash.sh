#!/usr/bin/env bash
# Daemons die before and after every single write of a lease's life; each start finds everything in
# order: nothing is lent twice, nothing is left behind, what was answered still works. With CRASH_ALL
# (make crash) they die at the writes of a reload and of a start as well.
#
# The binary is the program linked with tests/crash/points.c.
# shellcheck disable=SC2154,SC2034,SC2317 # variables and functions that are used by name
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
CONN25=${CONN25_CRASH:-$(dirname "$CONN25")/crash/conn25}
consistent=$(dirname "$CONN25")/consistent
topology
second_connector
standard_zones
for zone in gone one; do
	{
		printf '$ORIGIN %s.test.\n$TTL 300\n' $zone
		echo '@ SOA ns hostmaster 1 3600 600 86400 60'
		echo '@ NS ns.example.com.'
		echo '* A 203.0.113.9'
	} | zone "$zone.test"
done
dns_server
web_server
# Names below one.test have but one connector, those below gone.test may be taken away.
with="$two_connectors | .apps += [{ name: \"gone\", domains: [\"*.gone.test\"], connectors: [\"connector\"],
	clients: [\"tag:workers\"] }, { name: \"one\", domains: [\"*.one.test\"], connectors: [\"connector\"],
	clients: [\"tag:workers\"] }]"
without="$with | .apps |= map(select(.name != \"gone\"))"

# Each node has a netmap of its own, so that one hears of a change before another: tell FILTER NODE...
# What a node has already is not written again: its reload would be taken for that of the next change.
tell() {
	local filter=$1 node
	shift
	netmap "$filter"
	for node in "$@"; do
		cmp -s "$dir/netmap.json" "$dir/$node.json" && continue
		cp "$dir/netmap.json" "$dir/$node.new" && mv "$dir/$node.new" "$dir/$node.json"
	done
}
tell "$with" client connector connector2
start() { # NODE
	netmap_file=$dir/$1.json CRASH_AT=$dir/crash-$1 conn25_start "$1"
}
is_dead() { ! kill -0 "${!1}" 2>/dev/null; }
alive() { # NODE
	local pid=pid_$1
	! is_dead "$pid"
}
agrees() { "$consistent" "$@" >"$dir/faults" 2>&1; }
ends_agree() {
	agrees /sys/fs/bpf/client 100.101.0.1 connector /sys/fs/bpf/connector \
		connector2 /sys/fs/bpf/connector2
}
holder() { # NAME
	conn25 client map client --json | jq -r --arg n "$1" \
		'[.client[] | select(.domain == $n and .state == "live")][0].connector'
}

# What was ever answered: its name keeps that address, and no other name gets it.
declare -A ledger
ledger_holds() {
	local name answer
	answer=$(conn25 client map client --json | jq -r '.client[] | "\(.domain) \(.magicIP)"')
	for name in "${!ledger[@]}"; do
		grep -qx "$name ${ledger[$name]}" <<<"$answer" || {
			echo "$name had ${ledger[$name]}" >"$dir/faults"
			return 1
		}
	done
}
next=0
fresh() { # NAME-SUFFIX: a name never asked before, in `name`
	next=$((next + 1))
	name=n$next.$1
}
ask() { # NAME: into the ledger, if it is answered; not for longer than somebody could answer
	local answer dig
	in_ns client dig +short +time=2 +tries=1 @127.0.0.1 "$1" A >"$dir/answer" &
	dig=$!
	until ! kill -0 $dig 2>/dev/null || ! alive client; do sleep 0.02; done
	kill $dig 2>/dev/null
	wait $dig 2>/dev/null
	answer=$(cat "$dir/answer")
	[[ $answer == 198.18.* ]] || return 1
	ledger[$1]=$answer
}
works() { # NAME
	local answer
	answer=$(in_ns client dig +short +time=1 +tries=1 @127.0.0.1 "$1" A)
	[[ $answer == 198.18.* ]] && in_ns client curl -sS --max-time 2 -o /dev/null "http://$answer/"
}

# walk NODE CLAIM ACTION: `ACTION prepare`, `ACTION act` with NODE to die at a point, `ACTION settle`
# with all daemons back; for each point of NODE's until it survives. `name` is to work afterwards.
walk() {
	local node=$1 claim=$2 action=$3 n=0 faults='' died
	while [ $n -lt 300 ]; do
		n=$((n + 1)) name=example.com
		"$action" prepare
		start_all
		wait_for 10 ends_agree || {
			faults+="before point $n: $(cat "$dir/faults")"$'\n'
			break
		}
		: >"$dir/$node.points"
		arm_at=$n
		"$action" act
		rm -f "$dir/crash-$node"
		died=$(grep 'crash point' "$dir/$node.log" | tail -n 1)
		alive "$node" && break
		start_all
		[ "$node" != client ] || agrees /sys/fs/bpf/client ||
			faults+="$died, at once: $(cat "$dir/faults")"$'\n'
		"$action" settle
		wait_for 10 ends_agree || faults+="$died: $(cat "$dir/faults")"$'\n'
		ledger_holds || faults+="$died: $(cat "$dir/faults")"$'\n'
		wait_for 5 works "$name" || faults+="$died: $name does not work"$'\n'
	done
	[ $n -gt 2 ] || faults+="no points: $(cat "$dir/unready" 2>/dev/null)"
	check_eq "$claim: at any of $((n - 1)) points" "" "$faults"
}
start_all() {
	local node
	for node in connector connector2 client; do
		alive "$node" || start "$node"
	done
}
arm() { # NODE
	echo "$arm_at" >"$dir/crash-$1.new" && mv "$dir/crash-$1.new" "$dir/crash-$1"
}
# until_dead_or NODE COMMAND...: the action is over, one way or the other.
until_dead_or() {
	local node=$1
	shift
	wait_for 10 eval "! alive $node || { $*; }"
}

lend() { # a new name, from a client that dies
	[ "$1" = act ] || return 0
	fresh example.net
	arm client
	ask "$name"
}
map() { # the same from a connector that dies
	[ "$1" = act ] || return 0
	fresh one.test
	arm connector
	ask "$name"
}
reloaded() { [ "$(grep -c 'netmap reloaded' "$dir/$1.log")" -gt "$reloads" ]; }
# NODE-THAT-DIES NODE-THAT-IS-TOLD: a lease with a flow under it ends, because its app is gone there.
end_lease() {
	fresh gone.test
	# A connector that was dead a moment ago may take some seconds to be asked again.
	wait_for 15 works "$name" || echo "$name never worked, before point $arm_at" >>"$dir/unready"
	reloads=$(grep -c 'netmap reloaded' "$dir/$2.log")
	arm "$1"
	tell "$without" "$2"
	until_dead_or "$1" "reloaded $2 && ends_agree"
	name=example.com
}
release_client() {
	case $1 in
	prepare) tell "$with" client ;;
	act) end_lease client client ;;
	esac
}
release_connector() {
	case $1 in
	prepare) tell "$with" client ;;
	act) end_lease connector client ;;
	esac
}
# The client may no longer use the app: the connector hears of it first, and its start knows it.
revoke() {
	case $1 in
	prepare) tell "$with" client connector ;;
	act) end_lease connector connector ;;
	settle) tell "$without" client ;;
	esac
}
# The mappings of a connector that is dead go to the other.
move() {
	case $1 in
	act)
		from=$(holder example.com)
		arm client
		conn25_stop "$from" KILL
		until_dead_or client "[ \"\$(holder example.com)\" != $from ]"
		;;
	esac
}
# A start that dies. What it had not yet written, the next one writes.
start_client() {
	[ "$1" = act ] || return 0
	conn25_stop client KILL
	arm client
	launch client
}
start_connector() {
	[ "$1" = act ] || return 0
	conn25_stop connector KILL
	arm connector
	launch connector
}
launch() { # NODE: until it is ready or dead
	local node=$1 flags=()
	[[ $node == connector* ]] || flags+=("${client_flags[@]}")
	: >"$dir/$node.log"
	CRASH_AT=$dir/crash-$node nsenter --net="/run/netns/$node" "$CONN25" run \
		--netmap "$dir/$node.json" --node "$node" --pin "/sys/fs/bpf/$node" \
		--control "/run/$node.sock" "${flags[@]}" 2>>"$dir/$node.log" &
	printf -v "pid_$node" %s $!
	until_dead_or "$node" "grep -q ready $dir/$node.log"
}

start connector
start connector2
start client
ask example.com || fatal "a name is answered"
walk client "a client may die while it lends" lend
walk connector "a connector may die while it maps" map
walk client "a client may die while a lease ends" release_client
walk connector "a connector may die while a mapping is released" release_connector
walk connector "a connector may die while it takes a permission back" revoke
walk client "a client may die while its mappings move" move
walk client "a client may die while it starts" start_client
walk connector "a connector may die while it starts" start_connector

# When all leases have ended, no connector holds anything.
start_all
tell "$two_connectors | .apps = [{ name: \"none\", domains: [\"none.test\"], connectors: [\"tag:exit\"],
	clients: [\"tag:workers\"] }]" client
left() { conn25 "$1" map connector --json | jq '.connector | length'; }
for node in connector connector2; do
	check "in the end $node holds nothing" wait_for 10 eval "[ \"\$(left $node)\" = 0 ]"
done
finish
