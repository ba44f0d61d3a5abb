#!/usr/bin/env bash
# make demo: a name becomes a magic address, and a page comes through a connector; explained.
# Three hosts out of network namespaces; all of it is gone when this ends, however it ends.
export CONN25=${1:-build/conn25}
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/netns/lib.sh"

step=0
title() {
	step=$((step + 1))
	printf '\n%d. %s\n' "$step" "$1"
}
say() { printf '   %s\n' "$@"; }
show() { # COMMAND...: the command, then what it prints
	printf '   $ %s\n' "$1"
	shift
	"$@" 2>&1 | sed 's/^/     /'
}
die() {
	printf '\nThe demo failed: %s\n' "$1" >&2
	for log in "$dir"/*.log; do
		printf -- '--- %s\n' "$(basename "$log")" >&2
		tail -n 20 "$log" >&2
	done
	exit 1
}
fatal() { die "$1 ${2:-}"; }

cat <<'TEXT'
conn25: traffic to chosen domains leaves through chosen machines.

   client ------------- connector ------------- internet
   192.0.2.11           192.0.2.19              a DNS server (nsd) and a web server (nginx)
   overlay 100.101.0.1  overlay 100.101.0.9     at 198.51.100.200 and 2001:db8:25::200
   fd25::1              fd25::9

TEXT
say "Three hosts, made out of network namespaces. The client cannot reach the web server by" \
	"itself: it has no route there. It only reaches the connector and the DNS server."

topology
netmap
standard_zones
dns_server
web_server

title "The netmap: one file, the same on every node, says who may send which domains where."
show "jq .apps netmap.json" jq -c '.apps[]' "$dir/netmap.json"

title "conn25 runs on two nodes. Each loads its TC programs and makes the VXLAN device between them."
conn25_start connector
conn25_start client
show "conn25 run (connector)" sed -n 's/^conn25: //p' "$dir/connector.log"
show "conn25 run (client)" sed -n 's/^conn25: //p' "$dir/client.log"

title "A program asks for example.com."
say "What the DNS server itself says:"
show "dig @192.0.2.53 example.com" lookup client example.com A 192.0.2.53
say "What conn25 answers in its place: magic addresses, one for each real one."
magic4=$(lookup client example.com A)
magic6=$(lookup client example.com AAAA)
show "dig example.com A" echo "$magic4"
show "dig example.com AAAA" echo "$magic6"
[[ $magic4 == 198.18.* && $magic6 == fd25:a::* ]] || die "no magic address"
say "Before the answer left, the connector had agreed: both ends hold the mapping."

title "The mapping, on the client: real, magic, transit, and who carries it."
show "conn25 map client" conn25 client map client
title "The mapping, on the connector: what that transit address means when this peer sends to it."
show "conn25 map connector" conn25 connector map connector

title "The page is fetched, over IPv4 and IPv6."
show "curl http://example.com/ (IPv4)" in_ns client curl -sS --max-time 5 \
	--resolve "example.com:80:$magic4" http://example.com/
show "curl http://example.com/ (IPv6)" in_ns client curl -sS --max-time 5 \
	--resolve "example.com:80:[$magic6]" http://example.com/
say "The web server saw the connector, not the client:"
show "access.log" cut -d' ' -f1,6-9 "$dir/access.log"
[ "$(grep -cE '^(198\.51\.100\.1|2001:db8:1::1) ' "$dir/access.log")" -eq 2 ] ||
	die "the web server did not see two requests of the connector"

title "No userspace was in the path of these packets. Each was counted where it was translated:"
counts() {
	for node in client connector; do
		conn25 "$node" status --json | jq -r --arg node "$node" \
			'.reasons | to_entries[] | "\($node)\t\(.key)\t\(.value.packets) packets"'
	done | column -t -s $'\t'
}
show "conn25 status" counts

title "The flows on the connector, straight from the kernel's maps."
show "conn25 map flows" conn25 connector map flows

title "Every step of one name, explained."
show "conn25 explain example.com" conn25 client explain example.com

title "The same, seen with the kernel's own tools."
show "bpftool map dump pinned .../maps/c25_magic" bpftool map dump pinned \
	/sys/fs/bpf/client/maps/c25_magic

title "Taken down: programs, pins, routes, rules and devices of conn25 are removed."
conn25_stop client || die "the client's daemon ended with $?"
conn25_stop connector || die "the connector's daemon ended with $?"
for node in client connector; do
	conn25 "$node" detach || die "detach on $node"
done
# The kernel itself keeps maps.debug and progs.debug there.
left=$(find /sys/fs/bpf -mindepth 1 -maxdepth 1 ! -name "*.debug")$(in_ns client ip rule | grep 2525)$(in_ns client ip -br link show dev conn25 2>/dev/null)
[ -z "$left" ] || die "left behind: $left"
say "Nothing is left." ""
