#!/usr/bin/env bash
# The pinned maps: read with bpftool as an operator does, and with conn25's own commands.
# shellcheck disable=SC2016,SC2128,SC2154,SC2178,SC2317 # jq's and eval's own; variables that lib.sh sets by name
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
netmap
standard_zones
dns_server
web_server
# Small tables, as bpftool prints each slot of an array.
conn25_start connector --max-flows 1024 --max-mappings 256
conn25_start client --max-mappings 256
magic4=$(lookup client example.com A)
magic6=$(lookup client example.com AAAA)
lookup client www.example.net A >/dev/null
in_ns client curl -sS --max-time 5 "http://$magic4/" "http://[$magic6]/" >/dev/null
in_ns client curl -sS --max-time 5 -o /dev/null "http://$magic4/"

# Names and pins.
for node in client connector; do
	pins=/sys/fs/bpf/$node
	check_eq "$node: every map is pinned as maps/c25_*" "" "$(find "$pins/maps" -mindepth 1 ! -name 'c25_*')"
	check_eq "$node: links are pinned in links/" directory "$(stat -c %F "$pins/links")"
	check_match "$node: there are some" '[1-9]' "$(find "$pins/links" -mindepth 1 | wc -l)"
	for map in "$pins"/maps/*; do
		check "$node: bpftool shows $(basename "$map") by its name" eval \
			"bpftool -j map show pinned '$map' | jq -e '.name == \"$(basename "$map" | cut -c1-15)\"'"
		case $(bpftool -j map show pinned "$map" | jq -r .type) in
		ringbuf | queue | stack) ;; # bpftool prints neither
		*) check "$node: and dumps it" eval "bpftool map dump pinned '$map' >/dev/null" ;;
		esac
	done
done
programs=$(bpftool -j prog | jq -r '.[] | select(.type == "sched_cls" or .type == "syscall") | .name' | sort -u)
check_match "programs are there" 'c25_' "$programs"
check_eq "all named c25_*" "" "$(printf '%s\n' "$programs" | grep -v '^c25_')"

# Fields by their names, addresses that read as the dotted quad.
dump() { bpftool -j map dump pinned "/sys/fs/bpf/$1/maps/$2" | jq -c '[.[] | .formatted // .]'; }
quad() { echo "0,0,0,0,0,0,0,0,0,0,255,255,${1//./,}"; }
text() { bpftool map dump pinned "/sys/fs/bpf/$1/maps/$2" | tr -d ' \n\t'; }
transit4=$(conn25 client map client --json | jq -r --arg m "$magic4" '.client[] | select(.magicIP == $m).transitIP')
check_match "the transit address is of its pool" '^169\.254\.' "$transit4"
for map in c25_magic:$magic4 c25_magic:$transit4 c25_transit:$magic4 c25_transit:$transit4 \
	c25_leases:$magic4 c25_leases:198.51.100.200 c25_leases:$transit4; do
	check_match "client: ${map%%:*} reads ${map#*:}" "\\[$(quad "${map#*:}")\\]" "$(text client "${map%%:*}")"
done
for map in c25_mappings:$transit4 c25_mappings:100.101.0.1 c25_mappings:198.51.100.200 c25_flows:198.51.100.1; do
	check_match "connector: ${map%%:*} reads ${map#*:}" "\\[$(quad "${map#*:}")\\]" "$(text connector "${map%%:*}")"
done
for field in c25_magic.transit c25_magic.peer c25_magic.packets c25_magic.last_seen c25_leases.domain c25_leases.expires; do
	check_match "client: ${field%.*} has the field ${field#*.}" "\"${field#*.}\":" "$(dump client "${field%.*}")"
done
for field in c25_mappings.real c25_mappings.client c25_mappings.registered c25_flows.sport c25_flows.tcp_flags; do
	check_match "connector: ${field%.*} has the field ${field#*.}" "\"${field#*.}\":" "$(dump connector "${field%.*}")"
done

# The commands say what the maps say.
maps=$(conn25 client map client --json)
check "map --json is JSON" jq -e . <<<"$maps"
check_eq "one row for each entry of c25_magic" "$(dump client c25_magic | jq length)" "$(jq '.client | length' <<<"$maps")"
check_eq "the same packets, of both directions" "$({ dump client c25_magic; dump client c25_transit; } |
	jq -s 'add | [.[].value.packets] | add')" "$(jq '[.client[].packets] | add' <<<"$maps")"
state=$(conn25 client status --json)
rows() { jq -c '[.client.apps[].domains[] | .domain as $d | .addresses[] | [$d, .destinationIP, .magicIP, .transitIP, .connector]] | sort' <<<"$1"; }
check_eq "status --json holds the same mappings" \
	"$(jq -c '[.client[] | [.domain, .destinationIP, .magicIP, .transitIP, .connector]] | sort' <<<"$maps")" "$(rows "$state")"
check_eq "it is configured" true "$(jq .configured <<<"$state")"
check_eq "domains are sorted from the root down" '["example.com","www.example.net"]' \
	"$(jq -c '[.client.apps[].domains[].domain]' <<<"$state")"
check_eq "pools: in use" 2 "$(jq .client.ipPoolStats.ipv4MagicIPsInUse <<<"$state")"
check_eq "pools: capacity" 65536 "$(jq .client.ipPoolStats.ipv4MagicIPsCapacity <<<"$state")"
peers=$(conn25 connector status --json)
check_eq "the connector's status holds the client's mappings" \
	"$(conn25 connector map connector --json | jq -c '[.connector[] | [.clientIP, .app, .transitIP, .destinationIP]] | sort')" \
	"$(jq -c '[.connector.peers[] | .clientIP as $c | .apps[] | .app as $a | .addresses[] | [$c, $a, .transitIP, .destinationIP]] | sort' <<<"$peers")"
check_match "the flow of the page is among the flows" '198\.51\.100\.200' "$(conn25 connector map flows)"
check "as JSON too" eval 'conn25 connector map flows --json | jq -e ".flows | length >= 3"'
check "status over the control socket" eval \
	'in_ns client curl -sf --unix-socket /run/client.sock http://conn25/conn25/state | jq -e .client.apps'
check_eq "the control socket is root's alone" 600 "$(stat -c %a /run/client.sock)"
for asked in example.com "$magic4" "$magic6" "$transit4"; do
	check_match "explain $asked tells the other addresses" "$magic4|$magic6" "$(conn25 client explain "$asked")"
done
check_match "explain names app and connector" 'web' "$(conn25 client explain example.com)"
check_match "explain EXAMPLE.COM. is the same" "$magic4" "$(conn25 client explain EXAMPLE.COM.)"
check_match "explain of a name that is not configured says so" 'not|no ' "$(conn25 client explain example.org 2>&1)"

# Every packet in exactly one reason.
reasons() { dump "$1" c25_reasons | jq '[.. | .packets? // empty] | add'; }
told() { conn25 client status --json | jq '[.reasons[].packets] | add'; }
read_calmly() { # no packet came between the two readings of status
	before=$(told) in_map=$(reasons client)
	[ "$(told)" = "$before" ]
}
check "the counters are read while they stand still" wait_for 10 read_calmly
check_eq "status adds up to the map's reasons" "$before" "$in_map"

# Detach under a running system.
for node in client connector; do
	conn25 "$node" detach >"$dir/out" 2>&1
	check_eq "detach of a running $node ends with 0" 0 $?
	check_eq "its pins are gone" no "$([ -e "/sys/fs/bpf/$node" ] && echo yes || echo no)"
done
check_eq "detach of what is not there ends with 0" 0 "$(conn25 client detach >/dev/null 2>&1; echo $?)"
conn25 client map >"$dir/out" 2>&1
check_match "map says that there is nothing" '^1 .*(/sys/fs/bpf/client|conn25 run)' "$? $(cat "$dir/out")"
wait "${pid_client:-}"
check_eq "the daemon whose datapath it was ends with 1" 1 $?
wait "${pid_connector:-}"
check_eq "so does the connector's" 1 $?
conn25_start connector
conn25_start client
magic4=$(lookup client example.com A)
check "a new start works" in_ns client curl -sS --max-time 5 "http://$magic4/"
finish
