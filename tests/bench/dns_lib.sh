# shellcheck shell=bash
# dns_lib.sh: the hosts of the DNS benches.
#
#   pod -------- client -------- internet      conn25's forwarder on 10.244.1.1, port 53, and
#   10.244.1.2   10.244.1.1      192.0.2.53    beside it those it is compared with
#                 |    |
#      podkernel -+  connector                 its questions to 192.0.2.53 are taken; the connector
#      10.244.2.2                              is there for the leases alone
#
#   podK ------- node K -------- netK          the same with questions sent to 192.0.2.53 itself:
#   10.244.1.2   10.244.1.1      192.0.2.53    forwarded by the kernel, taken by conn25, or not
# shellcheck source=tests/netns/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../netns/lib.sh"
LOAD=$top/build/bench/dns_load
DOMAINS=${DOMAINS:-10000}
CORE=$(($(nproc) - 1))
on_core() { taskset -c "$CORE" "$@"; }

# dns_chain POD NODE NET: the server's pid is in server_NODE.
dns_chain() {
	host "$1" "$2" "$3"
	cable "$1" eth0 "$2" pod0
	cable "$2" dns0 "$3" dns0
	addr "$1" eth0 10.244.1.2/24
	addr "$2" pod0 10.244.1.1/24
	addr "$2" dns0 192.0.2.11/24
	addr "$3" dns0 192.0.2.53/24
	ip -n "$1" route add default via 10.244.1.1
	ip -n "$3" route add default via 192.0.2.11
	in_ns "$2" sysctl -qw net.ipv4.ip_forward=1
	nsenter --net="/run/netns/$3" taskset -c "$CORE" "$LOAD" serve 192.0.2.53 53 &
	printf -v "server_$2" %s $!
	wait_for 5 udp_bound "$3" 53 || fatal "dns_load serve starts"
}
udp_bound() { in_ns "$1" ss -Hulpn "sport = :$2" | grep -q .; }

# A netmap of $DOMAINS exact domains, with the connector and one more client, `other`.
dns_netmap() {
	netmap ".apps[0].domains = [range($DOMAINS) | \"d\" + (\"0000\\(.)\")[-5:] + \".bench.test\"] |
		.nodes += [{ id: \"other\", addresses: [\"100.101.0.2\", \"fd25::2\"], tags: [\"tag:workers\"] }]"
}

# conn25 in `client`, with a connector that grants what it asks for.
dns_client() { # [FLAG...]
	dns_chain pod client internet
	host connector podkernel
	cable podkernel eth0 client kpod0
	addr podkernel eth0 10.244.2.2/24
	addr client kpod0 10.244.2.1/24
	ip -n podkernel route add default via 10.244.2.1
	cable client eth0 connector eth0
	cable connector wan0 internet wan0
	addr client eth0 100.101.0.1/24 fd25::1/64
	addr connector eth0 100.101.0.9/24 fd25::9/64
	addr connector wan0 198.51.100.1/24
	addr internet wan0 198.51.100.254/24
	ip -n connector route add default via 198.51.100.254
	conn25_start connector --overlay none --dev eth0 --uplink wan0
	client_flags=(--dns-listen 10.244.1.1:53 --dns-upstream 192.0.2.53)
	conn25_start client --overlay none --dev eth0 "$@"
	# shellcheck disable=SC2154 # set by name
	taskset -pc "$CORE" "$pid_client" >/dev/null
}

# conn25 in `other`, taking the questions of its pod.
dns_interceptor() {
	dns_chain podother other netother
	cable other eth0 netother lan0
	addr other eth0 100.101.0.2/24 fd25::2/64
	client_flags=(--dns-listen off --dns-upstream 192.0.2.53)
	conn25_start other --overlay none --dev eth0 --dns-intercept 'pod*' --dns-intercept-to 192.0.2.53
	# shellcheck disable=SC2154 # set by name
	taskset -pc "$CORE" "$pid_other" >/dev/null
}

ask() { # NS ADDR PORT N SUFFIX NET [PID...]
	local ns=$1 to=$2 port=$3 n=$4 suffix=$5 net=$6
	shift 6
	in_ns "$ns" taskset -c "$CORE" "$LOAD" ask "$to" "$port" "$n" "$suffix" "$DOMAINS" "$net" "$@"
}
