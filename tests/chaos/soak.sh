#!/usr/bin/env bash
# make soak: traffic and churn for DURATION seconds (1800): fresh names whose leases end by disuse,
# connections that come and go, a netmap that changes. Memory and descriptors of both daemons stay
# flat, and what `status` says stays what the maps hold.
# shellcheck disable=SC2154,SC2034 # variables that lib.sh sets and reads by name
# shellcheck source=tests/netns/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../netns/lib.sh"
export LC_ALL=C # one order for sort and comm
DURATION=${DURATION:-1800}
RATE=${RATE:-20} # fresh names a second
load=$top/build/chaos

topology
{
	printf '$ORIGIN a1.test.\n$TTL 5\n'
	echo '@ SOA ns hostmaster 1 3600 600 86400 60'
	echo '@ NS ns.example.com.'
	echo '* A 203.0.113.1'
} | zone a1.test
standard_zones
dns_server
web_server
# A pool remembers each address that it ever lent: small ones, so that all of them were by the tenth minute.
filter='.apps[0].domains += ["*.a1.test"] | .ipPools.v4MagicIPPool = ["198.18.0.0-198.18.47.255"] |
	.ipPools.v4TransitIPPool = ["169.254.64.0-169.254.111.255"]'
netmap "$filter"
conn25_start connector
conn25_start client
in_ns internet "$load/echo" >"$dir/echo.out" 2>&1 &
wait_for 5 listening internet 7 || fatal "the echo server starts"
for i in 1 2 3 4; do
	magic[i]=$(lookup client "flow$i.a1.test" A)
	[[ ${magic[i]} == 198.18.* ]] || fatal "flow$i has a magic address" "${magic[i]}"
done
loads=()
spawn() { # NAME COMMAND...
	local name=$1
	shift
	nsenter --net=/run/netns/client "$@" >"$dir/$name.out" 2>&1 &
	loads+=($!)
}
spawn udp "$load/udp" 500 "${magic[@]}"
spawn tcp "$load/tcp" 8 "${magic[@]}"
spawn names "$load/names" ask "$RATE" 127.0.0.1 a1.test
web=$(lookup client example.com A)
nsenter --net=/run/netns/client bash -c "while sleep 0.2; do curl -s -o /dev/null --max-time 5 http://$web/ || echo failed; done" \
	>"$dir/web.out" 2>&1 & # connections that come and go

kib() { awk '/VmRSS/ { print $2 }' "/proc/$1/status"; }
descriptors() {
	local all=("/proc/$1/fd/"*)
	echo ${#all[@]}
}
# The same state from the daemon and from the maps: names, addresses, connectors of every lease.
from_status() {
	conn25 client status --json | jq -r '.client.apps[].domains[] | .domain as $d | .addresses[] |
		"\($d) \(.destinationIP) \(.magicIP) \(.transitIP) \(.connector)"' | sort
}
from_maps() {
	conn25 client map client --json | jq -r '.client[] | select(.state == "live" or .state == "pending") |
		"\(.domain) \(.destinationIP) \(.magicIP) \(.transitIP) \(.connector)"' | sort
}
# Leases come and go and are agreed to meanwhile: what the maps hold before and after, status holds
# too, and nothing that they hold neither before nor after, whoever its connector is by then.
agree() {
	from_maps >"$dir/maps.before"
	from_status >"$dir/status"
	from_maps >"$dir/maps.after"
	comm -12 "$dir/maps.before" "$dir/maps.after" | comm -23 - "$dir/status"
	cut -d' ' -f1-4 "$dir/maps.before" "$dir/maps.after" | sort -u >"$dir/maps"
	cut -d' ' -f1-4 "$dir/status" | comm -13 "$dir/maps" -
}
mapped() { # of both ends: transit and real addresses
	conn25 connector map connector --json | jq -c '[.connector[] | [.transitIP, .destinationIP]] | sort'
}
leased() {
	conn25 client map client --json | jq -c '[.client[] | select(.state == "live") |
		[.transitIP, .destinationIP]] | sort'
}
ends_agree() { [ "$(mapped)" = "$(leased)" ]; }

started=$SECONDS minute=0
: >"$dir/drift"
printf '# minute  client KiB  fds  connector KiB  fds  leases  resting\n'
while [ $((SECONDS - started)) -lt "$DURATION" ]; do
	sleep 10
	minute=$(((SECONDS - started) / 60))
	client_kib=$(kib "$pid_client") connector_kib=$(kib "$pid_connector")
	client_fds=$(descriptors "$pid_client") connector_fds=$(descriptors "$pid_connector")
	echo "$((SECONDS - started)) $client_kib $client_fds $connector_kib $connector_fds" >>"$dir/samples"
	[ "$minute" = "${shown:-}" ] && continue
	shown=$minute
	counts=$(conn25 client map client --json |
		jq -r '[.client[].state] | "\(map(select(. == "live")) | length) \(map(select(. == "quarantine")) | length)"')
	# shellcheck disable=SC2086 # two words
	printf '# %6s  %10s %4s  %13s %4s %7s  %7s\n' "$minute" "$client_kib" "$client_fds" \
		"$connector_kib" "$connector_fds" $counts
	netmap "$filter | .nodes += [{ id: \"node$minute\", addresses: [\"100.101.0.77\"], underlay: \"192.0.2.77\" }]"
	agree | sed "s/^/# minute $minute, only one of status and maps has: /" | tee -a "$dir/drift" | head -n 5
done
for p in "${loads[@]}"; do kill -TERM "$p"; done
wait "${loads[@]}"
cat "$dir/udp.out" "$dir/tcp.out" "$dir/names.out" | sed 's/^/# /' | tail -n 20

# Leases live for two to three minutes and rest for five: from the tenth minute on, nothing grows any
# more. A run that ends before the twentieth says nothing of memory.
from=600
flat() { # FIELD ALLOWED: the most of the last half of what is looked at, against that of the first
	awk -v from="$from" -v end="$DURATION" -v field="$1" -v allowed="$2" '
		$1 < from { next }
		$1 < (from + end) / 2 { if ($field > first) first = $field; next }
		{ if ($field > last) last = $field }
		END { print first, last > "/dev/stderr"; exit !(first && last && last <= first + allowed) }' \
		"$dir/samples" 2>"$dir/flat"
	local status=$?
	read -r first last <"$dir/flat"
	return $status
}
for what in "client:2:memory, KiB:1024" "client:3:descriptors:4" "connector:4:memory, KiB:1024" "connector:5:descriptors:4"; do
	IFS=: read -r node field name allowed <<<"$what"
	claim="$node: $name stay flat"
	if [ "$DURATION" -lt 1200 ]; then
		skip "$claim" "needs 20 minutes, not $DURATION s"
		continue
	fi
	flat "$field" "$allowed"
	check_eq "$claim (the most was $first, then $last)" 0 $?
done
check_eq "status never drifted from the maps" 0 "$(wc -l <"$dir/drift")"
check "both ends hold the same in the end" wait_for 20 ends_agree
check_eq "no datagram was lost" 0 "$(awk '$1 == "udp-total" { print $3 }' "$dir/udp.out")"
check_eq "no stream broke" 0 "$(awk '$1 == "tcp-total" { print $3 }' "$dir/tcp.out")"
check_eq "no connection failed" 0 "$(grep -c failed "$dir/web.out")"
check_eq "no name failed" 0 "$(awk '$1 == "names-total" { print $3 }' "$dir/names.out")"
finish
