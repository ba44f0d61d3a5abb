#!/usr/bin/env bash
# --metrics-listen: the text that Prometheus reads, and the probes.
# shellcheck disable=SC2016,SC2154,SC2317 # awk's variables; variables that lib.sh sets by name; functions that check calls
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
netmap
standard_zones
dns_server
web_server
conn25_start connector --metrics-listen 127.0.0.1:9925
conn25_start client --metrics-listen '[::]:9925'

scrape() { in_ns "$1" curl -sS --max-time 5 "http://127.0.0.1:9925/${2:-metrics}"; }
status_of() { # NS PATH [CURL-ARGS...]
	local ns=$1 path=$2
	shift 2
	in_ns "$ns" curl -sS --max-time 5 -o "$dir/body" -w '%{http_code}' "$@" "http://127.0.0.1:9925$path"
}
# value NODE SAMPLE: of the last scrape
value() { awk -v s="$2" 'index($0, s " ") == 1 { print $2 }' "$dir/$1.metrics"; }
scrape_all() {
	scrape client >"$dir/client.metrics"
	scrape connector >"$dir/connector.metrics"
}
valid() { # NODE
	local said
	said=$(promtool check metrics <"$dir/$1.metrics" 2>&1)
	if [ -n "$said" ]; then
		echo "$said"
		return 1
	fi
}
# Every family has its HELP and TYPE before its samples, which stand together, each once.
strict() { # NODE
	awk '
		/^# HELP / { if (NF < 4) bad("no text"); help[$3] = 1; next }
		/^# TYPE / {
			if (!help[$3]) bad("TYPE without HELP")
			if (type[$3]) bad("family twice")
			type[now = $3] = $4
			next
		}
		/^[a-z_0-9]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? -?[0-9.e+]+$/ {
			name = $1
			sub(/\{.*/, "", name)
			if (type[now] == "histogram" || type[now] == "summary") sub(/_(bucket|sum|count)$/, "", name)
			if (name != now) bad("outside its family " now)
			if (seen[$1]++) bad("sample twice")
			if (type[now] == "counter" && name !~ /_total$/) bad("a counter without _total")
			next
		}
		{ bad("not a line of the format") }
		function bad(why) { print why ": " $0; failed = 1 }
		END { exit failed }' "$dir/$1.metrics"
}

# Nothing has happened yet, and everything has its name already.
scrape_all
for node in client connector; do
	check "what an idle $node shows is valid" strict "$node"
	check "promtool finds nothing wrong with it" valid "$node"
done
cp "$dir/client.metrics" "$dir/idle.metrics"

lookup client host.example.net A >/dev/null
magic=$(lookup client host.example.net A)
lookup client example.org A >/dev/null
lookup client nothing.example.net A >/dev/null
in_ns client curl -sS --max-time 3 -o /dev/null "http://$magic/"
in_ns client ping -n -c 3 -i 0.01 -W 0.2 198.18.200.200 >/dev/null 2>&1
scrape_all
for node in client connector; do
	check "what a busy $node shows is valid" strict "$node"
	check "promtool finds nothing wrong with it" valid "$node"
done
series() { sed -n 's/^\([a-z_0-9]*{[^}]*}\|[a-z_0-9]*\) .*/\1/p' "$1" | grep -v '^#'; }
check_eq "use makes no new series" "" "$(comm -13 <(series "$dir/idle.metrics" | sort) <(series "$dir/client.metrics" | sort))"
check_match "its type says which format it is" 'text/plain; version=0\.0\.4; charset=utf-8' \
	"$(in_ns client curl -sSI http://127.0.0.1:9925/metrics | tr -d '\r')"

# Figures: the same as status shows them.
conn25 client status --json >"$dir/client.json"
conn25 connector status --json >"$dir/connector.json"
same() { # CLAIM NODE SAMPLE JQ
	check_eq "$1" "$(jq "$4" "$dir/$2.json")" "$(value "$2" "$3")"
}
for outcome in passed rewritten empty negative servfail; do
	same "DNS outcome $outcome" client "conn25_dns_queries_total{outcome=\"$outcome\"}" ".client.dns.$outcome"
done
check_eq "two names were rewritten, one passed, one does not exist" "2 1 1" \
	"$(value client 'conn25_dns_queries_total{outcome="rewritten"}') $(value client 'conn25_dns_queries_total{outcome="passed"}') $(value client 'conn25_dns_queries_total{outcome="negative"}')"
check_eq "the histogram counts them all" "3 1" \
	"$(value client 'conn25_dns_query_duration_seconds_count{names="configured"}') $(value client 'conn25_dns_query_duration_seconds_count{names="other"}')"
for reason in client_out client_back no_magic; do
	same "packets of $reason" client \
		"$(grep -o "^conn25_packets_total{[^}]*reason=\"$reason\"[^}]*}" "$dir/client.metrics")" \
		".reasons.$reason.packets"
	same "bytes of $reason" client \
		"$(grep -o "^conn25_packet_bytes_total{[^}]*reason=\"$reason\"[^}]*}" "$dir/client.metrics")" \
		".reasons.$reason.bytes"
done
check_eq "a drop has its direction" 3 \
	"$(value client 'conn25_packets_total{direction="out",reason="no_magic",result="dropped"}')"
same "pools used" client 'conn25_pool_addresses_used{pool="v4_magic"}' .client.ipPoolStats.ipv4MagicIPsInUse
same "pools' capacity" client 'conn25_pool_addresses_capacity{pool="v4_transit"}' .client.ipPoolStats.ipv4TransitIPsCapacity
same "registrations of the client by code" client 'conn25_registrations_total{role="client",code="0"}' '.client.registrations["0"]'
same "registrations of the connector by code" connector 'conn25_registrations_total{role="connector",code="0"}' '.connector.registrations["0"]'
check_eq "leases by state" 1 "$(value client 'conn25_leases{state="live"}')"
check_eq "the fill of a map" "1 131072" \
	"$(value client 'conn25_map_entries{map="c25_leases"}') $(value client 'conn25_map_capacity{map="c25_leases"}')"
check_eq "mappings on the connector" 1 "$(value connector 'conn25_map_entries{map="c25_mappings"}')"
check_eq "flows by state" "$(conn25 connector map flows --json | jq '[.flows[] | select(.state == "closing")] | length')" \
	"$(value connector 'conn25_flows{state="closing"}')"
check_eq "the connector is healthy" "1 1" \
	"$(value client 'conn25_connector_healthy{connector="connector"}') $(value client 'conn25_connectors{health="healthy"}')"
check_eq "roles" "1 0 0 1" "$(value client 'conn25_role{role="client"}') $(value client 'conn25_role{role="connector"}') $(value connector 'conn25_role{role="client"}') $(value connector 'conn25_role{role="connector"}')"
check_match "what runs" '^conn25_build_info\{version="[^"]+"\} 1$' "$(grep ^conn25_build_info "$dir/client.metrics")"
check_eq "a role's metrics are its own" "" "$(grep -E '^conn25_(dns|pool|leases)' "$dir/connector.metrics")$(grep -E '^conn25_(flows|mappings)' "$dir/client.metrics")"
fds=$(find "/proc/$pid_client/fd" -mindepth 1 | wc -l) shown=$(value client process_open_fds)
[ $((shown - fds)) -le 2 ] && [ "$shown" -ge "$fds" ]
check_eq "open descriptors: $fds, $shown with the scrape's own" 0 $?
rss=$(awk '/VmRSS/ { print $2 * 1024 }' "/proc/$pid_client/status") shown=$(value client process_resident_memory_bytes)
[ $((shown - rss)) -lt 4194304 ] && [ $((rss - shown)) -lt 4194304 ]
check_eq "resident memory ($shown)" 0 $?
started=$(value client process_start_time_seconds) now=$(date +%s)
[ "$((now - ${started%.*}))" -lt 60 ]
check_eq "start time ($started)" 0 $?

# Netmaps.
netmap_reload client '.apps[0].domains += ["more.test"]'
echo '{' >"$dir/netmap.json"
refused() {
	scrape_all
	[ "$(value client 'conn25_netmap_reloads_total{outcome="refused"}')" = 1 ]
}
check "a refused netmap is counted" wait_for 3 refused
check_eq "the one before it too, and that it is in force" "1 0" \
	"$(value client 'conn25_netmap_reloads_total{outcome="ok"}') $(value client conn25_netmap_last_reload_successful)"

# Probes, and what is none of the three.
check_eq "healthz" "200 ok" "$(status_of client /healthz) $(cat "$dir/body")"
check_eq "readyz" "200 ok" "$(status_of client /readyz) $(cat "$dir/body")"
check_eq "over IPv6" "ok" "$(in_ns client curl -sS --max-time 5 'http://[::1]:9925/readyz')"
check_eq "another path is 404" 404 "$(status_of client /)"
check_eq "POST is 405" 405 "$(status_of client /metrics -d x)"
check_eq "HEAD has no body" "200 0" "$(in_ns client curl -sSI --max-time 5 -o /dev/null -w '%{http_code} %{size_download}' http://127.0.0.1:9925/metrics)"

# A listener that cannot be bound: not ready. The connector's new address is taken there.
in_ns connector socat TCP6-LISTEN:8025,bind='[fd25::99]',ipv6-v6only,freebind,fork /dev/null &
holder=$!
wait_for 3 in_ns connector ss -Htln 'src [fd25::99]:8025'
netmap_reload connector '.nodes[1].addresses = ["100.101.0.9", "fd25::99"]'
check "a listener that cannot be bound makes a node not ready" wait_for 3 eval '[ "$(status_of connector /readyz)" = 503 ]'
check_match "which says why" 'listener could not be bound' "$(scrape connector readyz)"
check_eq "but healthy" 200 "$(status_of connector /healthz)"
scrape_all
check_eq "as the metrics say" 0 "$(value connector conn25_ready)"
kill "$holder"
wait "$holder" 2>/dev/null
netmap_reload connector '.nodes[1].addresses = ["100.101.0.9", "fd25::9"]'
check "the way back makes it ready" wait_for 3 eval '[ "$(status_of connector /readyz)" = 200 ]'

# The maps are read beside the loop, which goes on.
conn25_stop client
conn25 client detach >/dev/null 2>&1
netmap
conn25_start client --metrics-listen 127.0.0.1:9925
scrapers=()
for _ in 1 2 3 4 5 6 7 8; do
	in_ns client curl -sS --max-time 10 -o /dev/null 'http://127.0.0.1:9925/metrics?[1-20]' &
	scrapers+=($!)
done
answered=$(for _ in $(seq 1 50); do
	in_ns client dig +short +tries=1 +time=2 @127.0.0.1 example.com A
done | grep -c '^198\.18\.')
for scraper in "${scrapers[@]}"; do
	wait "$scraper" || not_ok "each scrape is answered"
done
check_eq "names are answered while eight scrape all the time" 50 "$answered"

# Wrong use.
out=$(in_ns client "$CONN25" run --metrics-listen 9925 2>&1)
check_eq "what is no address is wrong usage" 2 $?
check_match "and told" '^conn25 run: --metrics-listen: "9925" is not ADDR:PORT' "$out"
in_ns connector timeout 5 "$CONN25" run --netmap "$netmap_file" --node connector --pin /sys/fs/bpf/other --control /run/other.sock \
	--metrics-listen 127.0.0.1:9925 2>"$dir/err"
check_eq "a port that is taken ends the start with 1" 1 $?
check_match "and names it" 'listen for scrapes on 127.0.0.1:9925 \(--metrics-listen\): Address already in use' "$(cat "$dir/err")"
finish
