#!/usr/bin/env bash
# `conn25 monitor`: what happens, as it happens, to as many as like to see it.
# shellcheck disable=SC2016,SC2154,SC2317 # jq's variables; variables set by name; functions that check and wait_for call
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

# monitor NODE NAME [FLAGS...]: pid in pid_NAME, output in $dir/NAME.out and .err
monitor() {
	local node=$1 name=$2
	shift 2
	nsenter --net="/run/netns/$node" "$CONN25" monitor --control "/run/$node.sock" "$@" \
		>"$dir/$name.out" 2>"$dir/$name.err" &
	printf -v "pid_$name" %s $!
	wait_for 3 readers "$node" "$((${4:-0} + 1))"
}
readers() { # NODE AT-LEAST: monitors that the daemon knows
	[ "$(in_ns "$1" ss -Hxl src "/run/$1.sock" | wc -l)" -ge 1 ] &&
		[ "$(in_ns "$1" ss -Hx src "/run/$1.sock" | grep -c ESTAB)" -ge "$2" ]
}
saw() { # NAME REGEX
	wait_for 3 grep -qE -- "$2" "$dir/$1.out"
}
json() { # NAME FILTER: an event that it selects came
	wait_for 3 eval "jq -ne 'first(inputs | select($2))' '$dir/$1.out'"
}

monitor client text
monitor client json --json
monitor connector there --json
lookup client host.example.net A >/dev/null
check "a registration is told" saw text '^[0-9:.]+  registered +host\.example\.net \(web\) 203\.0\.113\.9: magic 198\.18\.[0-9.]+, transit 169\.254\.[0-9.]+, connector connector2?$'
check "as JSON too, with its time" json json \
	'.event == "registered" and .domain == "host.example.net" and .app == "web" and .destinationIP == "203.0.113.9"
	and (.magicIP | startswith("198.18.")) and (.transitIP | startswith("169.254."))
	and (.time | fromdate? // (sub("\\.[0-9]+Z$"; "Z") | fromdate)) > 0'
first=$(jq -rn 'first(inputs | select(.event == "registered")) | .connector' "$dir/json.out")
other=connector2
[ "$first" = connector ] || other=connector
for node in connector connector2; do
	[ "$node" = connector ] || monitor connector2 there2 --json
done
lookup client n1.example.net A >/dev/null
check "a connector tells of the mapping" wait_for 3 eval \
	'cat "$dir"/there*.out | jq -ne "first(inputs | select(.event == \"mapped\" and .client == \"client\" and .app == \"web\"))"'

# Drops.
in_ns client ping -n -c 1 -W 0.2 198.18.200.200 >/dev/null 2>&1
check "a drop is told with its reason" saw text \
	'drop +no_magic: icmp [0-9.]+ to 198\.18\.200\.200, magic address without a mapping$'
check "as JSON too" json json \
	'.event == "drop" and .reason == "no_magic" and .proto == "icmp" and .destinationIP == "198.18.200.200"'

# Netmaps.
netmap_reload client "$two_connectors | .apps[0].domains += [\"more.test\"]"
check "a reload is told" saw text 'netmap +reloaded: nodes 3, apps 1$'
echo '{' >"$dir/netmap.json"
check "a refused one too, with what is wrong" json json '.event == "netmap-refused" and (.why | length) > 5'
netmap_reload client "$two_connectors"

# Connectors.
conn25_stop "$first" KILL
check "a connector that is gone is told, and why" saw text "connector-down +$first does not answer: .+"
lookup client n2.example.net A >/dev/null
check "what it held moves on" saw text \
	"moved +host\.example\.net \(web\) 203\.0\.113\.9: from connector $first to $other$"
conn25_start "$first"
check "a connector that is back is told" json json ".event == \"connector-up\" and .connector == \"$first\""
wait_for 3 eval '[ -s "$dir/there.err" ] || [ -s "$dir/there2.err" ]'
check_match "its own monitor ended with its daemon, and said so" \
	"the daemon on /run/$first\.sock has ended" "$(cat "$dir"/there*.err)"

# Roles.
netmap_reload client "$two_connectors | .nodes[0].connector = true | .nodes[0].tags += [\"tag:exit\"]"
check "a new role is told" saw text 'role +connector taken up$'
netmap_reload client "$two_connectors"

# Ends.
for signal in INT TERM; do
	# A job in the background of a script has SIGINT ignored; a terminal's has not.
	in_ns client env --default-signal=INT timeout --foreground -s "$signal" 0.5 \
		"$CONN25" monitor --control /run/client.sock >/dev/null 2>"$dir/err"
	code=$?
	check_eq "SIG$signal ends it with 0, in silence" "124 " "$code $(cat "$dir/err")"
	in_ns client env --default-signal=INT timeout --foreground --preserve-status -s "$signal" 0.5 \
		"$CONN25" monitor --control /run/client.sock >/dev/null 2>&1
	check_eq "its own status is 0" 0 $?
done
conn25 client monitor | head -n 1 >"$dir/one" &
pipe=$!
ended() { ! kill -0 "$pipe" 2>/dev/null; }
one_more() {
	lookup client "n$((RANDOM % 300 + 20)).example.net" A >/dev/null
	ended
}
check "a pipe whose reader is gone ends it" wait_for 12 one_more
check_eq "after one line" 1 "$(wc -l <"$dir/one")"

# One who does not read.
mkfifo "$dir/fifo"
nsenter --net=/run/netns/client "$CONN25" monitor --json --control /run/client.sock >"$dir/fifo" &
slow=$!
exec 7<"$dir/fifo"
rss() { awk '/VmRSS/ { print $2 }' "/proc/$pid_client/status"; }
only() { # CONNECTOR: all leases move there
	netmap_reload client "$two_connectors | .nodes |= map(if .id == \"$1\" then . else .connector = false end)"
	wait_for 5 eval '[ "$(conn25 client map client --json | jq -r ".client[] | select(.state == \"live\") | .connector" | sort -u)" = "'"$1"'" ]'
}
{
	seq 400 | sed 's/.*/n&.example.net A/'
	seq 400 | sed 's/.*/n&.example.net AAAA/'
} >"$dir/names"
in_ns client dig +tries=1 +time=3 +noall @127.0.0.1 -f "$dir/names" >/dev/null
kib=$(rss)
check "all leases move" only connector
for node in connector2 connector connector2 connector connector2; do
	only "$node"
done
told() { grep -c . "$dir/json.out"; }
n=$(told)
[ "$n" -gt 4000 ]
check_eq "others saw all of it, thousands of events ($n)" 0 $?
check_eq "and lost none" 0 "$(grep -c '"lost"' "$dir/json.out")"
timeout 2 cat <&7 >"$dir/slow.out"
exec 7<&-
lost=$(jq -n '[inputs | select(.event == "lost") | .events] | add // 0' "$dir/slow.out" 2>/dev/null)
[ "${lost:-0}" -gt 0 ]
check_eq "one who does not read loses events and is told how many ($lost)" 0 $?
after=$(rss)
[ $((after - kib)) -lt 8192 ]
check_eq "the daemon's memory does not grow with it ($kib to $after KiB)" 0 $?
kill "$slow" 2>/dev/null
wait "$slow" 2>/dev/null

# So many and no more.
kill -TERM "$pid_text" "$pid_json"
free() { ! in_ns client ss -Hx src /run/client.sock | grep -q ESTAB; }
check "those who went are found out" wait_for 7 free
many=()
for i in $(seq 1 16); do
	nsenter --net=/run/netns/client "$CONN25" monitor --control /run/client.sock \
		>"$dir/many$i.out" 2>"$dir/many$i.err" &
	many+=($!)
done
check "sixteen may watch" wait_for 5 readers client 16
out=$(conn25 client monitor 2>&1)
check_match "the seventeenth is refused, and told why" 'too many monitors run already' "$out"
check "status answers all the same" conn25 client status
in_ns client ping -n -c 1 -W 0.2 198.18.200.202 >/dev/null 2>&1
all_saw() { [ "$(grep -l '198\.18\.200\.202' "$dir"/many*.out | wc -l)" -ge 16 ]; }
check "sixteen see the same event" wait_for 3 all_saw
conn25_stop client
check_eq "the daemon ends in order with all of them" 0 $?
gone() { [ "$(grep -l 'the daemon on /run/client.sock has ended' "$dir"/many*.err | wc -l)" -eq 16 ]; }
check "each says that the daemon has ended" wait_for 3 gone
wait "${many[0]}"
check_eq "and ends with 1" 1 $?
out=$(conn25 client monitor 2>&1)
check_eq "without a daemon it ends with 1" 1 $?
check_match "and says what to do" 'no daemon answers on /run/client.sock; .conn25 run. starts one' "$out"
finish
