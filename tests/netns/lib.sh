# shellcheck shell=bash
# lib.sh: hosts out of network namespaces, and TAP. Sourced first by every network test.
#
# The test runs in mount, PID and network namespaces of its own: when it ends, however it ends,
# its processes, devices, pins and namespaces are gone.
#
#   pod ---- client ---- lan ---- connector ---- wan ---- internet
#            192.0.2.11           192.0.2.19              DNS 192.0.2.53 on the lan,
#                                 198.51.100.1            web servers on the wan:
#                                                         198.51.100.0/24, 203.0.113.0/24,
#                                                         2001:db8:25::/64 (every address of them)
#
# The client has no route to the wan: what arrives there went through the connector.
set -u

if [ -z "${C25_INSIDE:-}" ]; then
	if [ "$(id -u)" -ne 0 ]; then
		echo "1..0 # skip needs root"
		exit 1
	fi
	C25_INSIDE=1 exec unshare --mount --net --pid --fork --kill-child --mount-proc \
		--propagation private bash "$0" "$@"
fi

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CONN25=${CONN25:-$top/build/conn25}
case $CONN25 in /*) ;; *) CONN25=$top/$CONN25 ;; esac

mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/lock /run/tmp
export TMPDIR=/run/tmp # gone with the rest; /tmp may hold the checkout
mount -t bpf bpf /sys/fs/bpf
dir=$(mktemp -d)
ip link set lo up

# TAP.
n_tests=0 n_failed=0
ok() { # CLAIM
	n_tests=$((n_tests + 1))
	echo "ok $n_tests - $1"
}
not_ok() { # CLAIM [WHY]
	n_tests=$((n_tests + 1)) n_failed=$((n_failed + 1))
	echo "not ok $n_tests - $1"
	[ -n "${2:-}" ] && printf '%s\n' "$2" | sed 's/^/# /'
	return 0
}
skip() { # CLAIM WHY
	n_tests=$((n_tests + 1))
	echo "ok $n_tests - $1 # skip $2"
}
# check CLAIM COMMAND...: the command succeeds.
check() {
	local claim=$1 out
	shift
	if out=$("$@" 2>&1); then
		ok "$claim"
	else
		not_ok "$claim" "$* gave $?: $out"
	fi
}
# check_eq CLAIM EXPECTED ACTUAL
check_eq() {
	if [ "$2" = "$3" ]; then
		ok "$1"
	else
		not_ok "$1" "expected: $2
actual:   $3"
	fi
}
# check_match CLAIM REGEX TEXT
check_match() {
	if printf '%s' "$3" | grep -qE -- "$2"; then
		ok "$1"
	else
		not_ok "$1" "expected to match: $2
actual: $3"
	fi
}
finish() {
	if [ "$n_failed" -gt 0 ]; then
		for log in "$dir"/client*.log "$dir"/connector*.log "$dir"/nginx.log "$dir"/nsd.log; do
			[ -s "$log" ] || continue
			echo "# --- $(basename "$log")"
			tail -n 60 "$log" | sed 's/^/# /'
		done
	fi
	echo "1..$n_tests"
	[ "$n_failed" -eq 0 ]
	exit
}
fatal() {
	not_ok "$1" "${2:-}"
	finish
}

# How many times slower than hardware the machine is.
slow=${C25_SLOW:-1}

# wait_for SECONDS COMMAND...: polls until it succeeds.
wait_for() {
	local end=$(($(date +%s%N) + $1 * slow * 1000000000))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s%N)" -ge "$end" ] && return 1
		sleep 0.05
	done
}

# Hosts.
in_ns() { # NAME COMMAND...: unlike `ip netns exec` it leaves /sys/fs/bpf in sight
	local ns=$1
	shift
	nsenter --net="/run/netns/$ns" "$@"
}
host() { # NAME...
	local ns
	for ns in "$@"; do
		ip netns add "$ns"
		in_ns "$ns" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
			net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0
		ip -n "$ns" link set lo up
	done
}
cable() { # NS DEV NS DEV
	ip link add "$2" netns "$1" type veth peer name "$4" netns "$3"
	ip -n "$1" link set "$2" up
	ip -n "$3" link set "$4" up
}
addr() { # NS DEV ADDR...
	local ns=$1 dev=$2 a
	shift 2
	for a in "$@"; do
		case $a in
		*:*) ip -n "$ns" addr add "$a" dev "$dev" nodad ;;
		*) ip -n "$ns" addr add "$a" dev "$dev" ;;
		esac
	done
}

# One more host on the lan, 192.0.2.N.
lan_host() { # NS N
	host "$1"
	cable "$1" eth0 lan "to-$1"
	ip -n lan link set "to-$1" master br0
	addr "$1" eth0 "192.0.2.$2/24" "2001:db8:2::$2/64"
}

topology() {
	host client connector internet lan pod
	ip -n lan link add br0 type bridge
	ip -n lan link set br0 up
	local h
	for h in client connector internet; do
		cable "$h" eth0 lan "to-$h"
		ip -n lan link set "to-$h" master br0
	done
	addr client eth0 192.0.2.11/24 2001:db8:2::11/64
	addr connector eth0 192.0.2.19/24 2001:db8:2::19/64
	addr internet eth0 192.0.2.53/24 2001:db8:2::53/64

	cable connector wan0 internet wan0
	addr connector wan0 198.51.100.1/24 2001:db8:1::1/64
	addr internet wan0 198.51.100.254/24 2001:db8:1::fe/64
	ip -n connector route add default via 198.51.100.254
	ip -n connector route add default via 2001:db8:1::fe
	ip -n internet route add local 203.0.113.0/24 dev lo
	ip -n internet route add local 198.51.100.128/25 dev lo
	ip -n internet route add local 2001:db8:25::/64 dev lo

	cable client pod0 pod eth0
	addr client pod0 10.244.1.1/24 fd00:244:1::1/64
	addr pod eth0 10.244.1.2/24 fd00:244:1::2/64
	ip -n pod route add default via 10.244.1.1
	ip -n pod route add default via fd00:244:1::1
	in_ns client sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
	in_ns client conntrack -F >/dev/null 2>&1
}

# A second connector, seen on the wan as 10.2.0.2 and fd02::2.
second_connector() {
	lan_host connector2 20
	cable connector2 wan0 internet wan1
	addr connector2 wan0 10.2.0.2/24 fd02::2/64
	addr internet wan1 10.2.0.254/24 fd02::fe/64
	ip -n connector2 route add default via 10.2.0.254
	ip -n connector2 route add default via fd02::fe
}
# shellcheck disable=SC2034 # read by those who source this
two_connectors='.nodes += [{ id: "connector2", addresses: ["100.101.0.10", "fd25::10"], tags: ["tag:exit"],
	underlay: "192.0.2.20", connector: true }]'

# netmap [JQ-FILTER]: writes $dir/netmap.json.
netmap() {
	jq "${1:-.}" >"$dir/netmap.new" <<-'JSON'
		{
		  "nodes": [
		    { "id": "client", "addresses": ["100.101.0.1", "fd25::1"], "tags": ["tag:workers"],
		      "underlay": "192.0.2.11", "podCIDRs": ["10.244.1.0/24", "fd00:244:1::/64"] },
		    { "id": "connector", "addresses": ["100.101.0.9", "fd25::9"], "tags": ["tag:exit"],
		      "underlay": "192.0.2.19", "connector": true }
		  ],
		  "apps": [
		    { "name": "web", "domains": ["example.com", "*.example.net"],
		      "connectors": ["tag:exit"], "clients": ["tag:workers"] }
		  ],
		  "ipPools": {
		    "v4MagicIPPool": ["198.18.0.0/16"], "v4TransitIPPool": ["169.254.64.0-169.254.127.255"],
		    "v6MagicIPPool": ["fd25:a::/96"], "v6TransitIPPool": ["fd25:b::/96"]
		  }
		}
	JSON
	mv "$dir/netmap.new" "$dir/netmap.json"
}

# Servers. Each ends with the test.
zone() { # NAME: a zone's records on stdin
	cat >"$dir/$1.zone"
	cat >>"$dir/nsd.conf" <<-CONF
		zone:
		  name: "$1"
		  zonefile: "$dir/$1.zone"
	CONF
}
dns_server() { # zones were given before
	cat >"$dir/nsd.head" <<-CONF
		server:
		  ip-address: 192.0.2.53
		  ip-address: 2001:db8:2::53
		  username: ""
		  zonesdir: "$dir"
		  database: ""
		  pidfile: "$dir/nsd.pid"
		  xfrdfile: "$dir/xfrd.state"
		  xfrdir: "$dir"
		  zonelistfile: "$dir/zone.list"
		  logfile: "$dir/nsd.log"
		  server-count: 1
		  ipv4-edns-size: 4096
		  ipv6-edns-size: 4096
		remote-control:
		  control-enable: no
	CONF
	cat "$dir/nsd.head" "$dir/nsd.conf" >"$dir/nsd.all"
	in_ns internet nsd -d -c "$dir/nsd.all" >>"$dir/nsd.log" 2>&1 &
	wait_for 5 in_ns internet dig +time=1 +tries=1 @192.0.2.53 example.com SOA ||
		fatal "nsd starts" "$(cat "$dir/nsd.log")"
}
standard_zones() {
	{
		echo '$ORIGIN example.com.'
		echo '$TTL 300'
		echo '@ SOA ns hostmaster 1 3600 600 86400 60'
		echo '@ NS ns'
		echo 'ns A 192.0.2.53'
		echo '@ A 198.51.100.200'
		echo '@ AAAA 2001:db8:25::200'
		echo '@ MX 10 mail'
		echo '@ TXT "v=spf1 -all"'
	} | zone example.com
	{
		echo '$ORIGIN example.net.'
		echo '$TTL 300'
		echo '@ SOA ns hostmaster 1 3600 600 86400 60'
		echo '@ NS ns.example.com.'
		echo '@ A 198.51.100.201'
		echo '@ AAAA 2001:db8:25::201'
		echo 'www CNAME host'
		echo 'host A 203.0.113.9'
		echo 'host AAAA 2001:db8:25::9'
		echo 'twin A 203.0.113.9'
		echo 'v4only A 203.0.113.4'
		local i
		for i in $(seq 1 400); do
			echo "n$i A 203.0.113.$((i % 250 + 1))"
			echo "n$i AAAA 2001:db8:25::$((i % 5000 + 1000))"
		done
		for i in $(seq 1 30); do
			echo "many A 203.0.113.$((i + 50))"
		done
	} | zone example.net
	{
		echo '$ORIGIN example.org.'
		echo '$TTL 300'
		echo '@ SOA ns hostmaster 1 3600 600 86400 60'
		echo '@ NS ns.example.com.'
		echo '@ A 198.51.100.202'
	} | zone example.org
}
web_server() {
	mkdir -p "$dir/www"
	cat >"$dir/nginx.conf" <<-CONF
		daemon off;
		user root;
		worker_processes 1;
		pid $dir/nginx.pid;
		error_log $dir/nginx.log;
		events { worker_connections 1024; }
		http {
		  access_log $dir/access.log;
		  client_body_temp_path $dir/nginx-body;
		  proxy_temp_path $dir/nginx-proxy;
		  fastcgi_temp_path $dir/nginx-fastcgi;
		  uwsgi_temp_path $dir/nginx-uwsgi;
		  scgi_temp_path $dir/nginx-scgi;
		  server {
		    listen 80;
		    listen [::]:80;
		    location = / { return 200 "host \$host, seen from \$remote_addr, at \$server_addr\n"; }
		    location / { root $dir/www; }
		  }
		}
	CONF
	in_ns internet nginx -c "$dir/nginx.conf" -e "$dir/nginx.log" >>"$dir/nginx.log" 2>&1 &
	wait_for 5 in_ns internet curl -sf -o /dev/null http://198.51.100.254/ ||
		fatal "nginx starts" "$(cat "$dir/nginx.log")"
}

# conn25_start NODE [FLAGS...]: pid in pid_NODE, log in $dir/NODE.log. NODE is the namespace too.
netmap_file=$dir/netmap.json
client_flags=(--dns-listen 127.0.0.1:53 --dns-upstream 192.0.2.53)
conn25_start() {
	local node=$1 flags=()
	shift
	[[ $node == connector* ]] || flags+=("${client_flags[@]}")
	: >"$dir/$node.log"
	nsenter --net="/run/netns/$node" "$CONN25" run --netmap "$netmap_file" --node "$node" \
		--pin "/sys/fs/bpf/$node" --control "/run/$node.sock" "${flags[@]}" "$@" \
		2>>"$dir/$node.log" &
	printf -v "pid_$node" %s $!
	wait_for 10 grep -q ready "$dir/$node.log" ||
		fatal "conn25 starts on $node" "$(cat "$dir/$node.log")"
}
# conn25_stop NODE [SIGNAL]: its exit status.
conn25_stop() {
	local pid=pid_$1
	kill -"${2:-TERM}" "${!pid}"
	wait "${!pid}"
}
conn25() { # NODE COMMAND...
	local node=$1 command=$2
	shift 2
	case $command in
	status | explain | monitor) in_ns "$node" "$CONN25" "$command" "$@" --control "/run/$node.sock" ;;
	map | detach) in_ns "$node" "$CONN25" "$command" "$@" --pin "/sys/fs/bpf/$node" ;;
	*) in_ns "$node" "$CONN25" "$command" "$@" ;;
	esac
}
# netmap_reload NODES [JQ-FILTER]: returns when each of the nodes has it in force.
netmap_reload() {
	local node before=()
	for node in $1; do
		before+=("$(grep -c 'netmap reloaded' "$dir/$node.log")")
	done
	netmap "${2:-.}"
	for node in $1; do
		wait_for 3 eval "[ \"\$(grep -c 'netmap reloaded' '$dir/$node.log')\" -gt ${before[0]} ]" ||
			fatal "the netmap is in force on $node"
		before=("${before[@]:1}")
	done
}
lookup() { # NS NAME TYPE [SERVER]
	in_ns "$1" dig +short +time=3 +tries=1 "@${4:-127.0.0.1}" "$2" "$3"
}
reason() { # NODE NAME: packets counted
	conn25 "$1" status --json | jq ".reasons.$2.packets // 0"
}
listening() { # NS PORT
	in_ns "$1" ss -Htln "sport = :$2" | grep -q .
}
standard() { # its netmap through standard_filter, where that is set
	topology
	netmap "${standard_filter:-.}"
	standard_zones
	dns_server
	web_server
	conn25_start connector
	conn25_start client
}
