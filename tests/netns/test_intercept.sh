#!/usr/bin/env bash
# DNS taken transparently: pods ask their resolver as ever; only configured names come to conn25.
# shellcheck source=tests/netns/lib.sh disable=SC2317,SC2154
. "$(dirname "$0")/lib.sh"
topology
netmap
name250=$(printf 'a%.0s' $(seq 1 63)).$(printf 'b%.0s' $(seq 1 63)).$(printf 'c%.0s' $(seq 1 63)).$(printf 'd%.0s' $(seq 1 46))
{ # the record of a name of 250 characters
	standard_zones
	echo "$name250 A 203.0.113.77" >>"$dir/example.net.zone"
	echo 'brief 4 A 203.0.113.88' >>"$dir/example.net.zone"
	echo "example.com A 198.51.100.203" >>"$dir/example.org.zone"
	seq -f 'x%g A 203.0.113.1' 1 20000 >>"$dir/example.org.zone"
	echo '  provide-xfr: 0.0.0.0/0 NOKEY' >>"$dir/nsd.conf"
}
# More servers than the daemon keeps at once.
{
	echo "server:"
	seq -f '  ip-address: 203.0.113.%g' 150 230
	printf '  ip-address: %s@5353\n' 192.0.2.53 2001:db8:2::53
} >>"$dir/nsd.conf"
dns_server
web_server
ip -n client route add 203.0.113.128/25 via 192.0.2.53
# The resolver's answers find their way back to the pods.
ip -n internet route add 10.244.0.0/16 via 192.0.2.11
ip -n internet route add fd00:244::/32 via 2001:db8:2::11

# As on a cluster's node: a service's addresses, which NAT translates.
service() { # FAMILY SERVICE SERVER: a chain's rules
	echo "$1 daddr $2 udp dport 53 dnat to $3; $1 daddr $2 tcp dport 53 dnat to $3;"
}
nat() { # FAMILY SERVICE SERVER
	printf 'table %s service {\n' "$1"
	printf 'chain in { type nat hook prerouting priority -100; %s\n}\n' "$(service "$@")"
	printf 'chain out { type nat hook output priority -100; %s\n}\n}\n' "$(service "$@")"
}
ip -n client route add 10.96.0.0/16 via 192.0.2.53
ip -n client route add fd00:96::/64 via 2001:db8:2::53
{
	nat ip 10.96.0.10 192.0.2.53:5353
	nat ip6 fd00:96::10 '[2001:db8:2::53]:5353'
} | in_ns client nft -f -

# Pods ask the resolver's own addresses, through their gateway.
ask() { # NAME TYPE [DIG-OPTION...]
	local name=$1 type=$2
	shift 2
	in_ns "${pod:-pod}" dig +time=2 +tries=1 "@${dns:-192.0.2.53}" "$name" "$type" "$@"
}
short() { ask "$@" +short; }
status() { ask "$@" | sed -n 's/.*status: \([A-Z]*\),.*/\1/p'; }
seen() { # questions given to the daemon, and connections
	echo $(($(reason client dns_taken) + $(reason client dns_tcp_taken)))
}
client_flags=(--dns-upstream 192.0.2.53 --dns-listen off)
start_client() {
	conn25_start client --dns-intercept 'pod*' --dns-intercept-to 192.0.2.53 \
		--dns-intercept-to 2001:db8:2::53 --dns-intercept-to 203.0.113.128/25 \
		--dns-intercept-to 10.96.0.10 --dns-intercept-to fd00:96::10 "$@"
}

check_eq "before, the pod gets the real address" 198.51.100.200 "$(short example.com A)"
conn25_start connector
start_client

check_match "a configured name has a magic address" '^198\.18\.' "$(short example.com A)"
magic4=$(short example.com A)
check_match "and an IPv6 one" '^fd25:a:' "$(short example.com AAAA)"
magic6=$(short example.com AAAA)
check_match "the answer comes from the address asked" 'SERVER: 192\.0\.2\.53#53' "$(ask example.com A)"
check_match "over TCP too" '^198\.18\.' "$(short example.com A +tcp)"
check_match "over IPv6" '^198\.18\.' "$(dns=2001:db8:2::53 short example.com A)"
check_match "over TCP and IPv6" '^fd25:a:' "$(dns=2001:db8:2::53 short example.com AAAA +tcp)"
cookies() { in_ns client sysctl -qw "net.ipv4.tcp_syncookies=$1"; }
cookies 2
check_match "over TCP with SYN cookies" '^198\.18\.' "$(short example.com A +tcp)"
check_match "over TCP and IPv6 with SYN cookies" '^fd25:a:' \
	"$(dns=2001:db8:2::53 short example.com AAAA +tcp)"
cookies 1
check_match "the address leads to the real server" 'at 198\.51\.100\.200' \
	"$(in_ns pod curl -sS --max-time 5 -H 'Host: example.com' "http://$magic4/")"
check_match "over IPv6 as well" 'at 2001:db8:25::200' \
	"$(in_ns pod curl -sS --max-time 5 -H 'Host: example.com' "http://[$magic6]/")"

check_match "a wildcard's name" '^198\.18\.' "$(short host.example.net A)"
check_match "the wildcard's own domain" '^198\.18\.' "$(short example.net A)"
check_match "in mixed case, which is kept" 'HoSt\.ExAmPlE\.nEt\..*198\.18\.' \
	"$(ask HoSt.ExAmPlE.nEt A +noall +answer)"
check_match "a name of 250 characters" '^198\.18\.' "$(short "$name250.example.net" A)"
check_match "without EDNS" '^198\.18\.' "$(short host.example.net A +noedns)"
check_eq "30 addresses over UDP" 30 "$(short many.example.net A +bufsize=4096 | grep -c '^198\.18\.')"
check_eq "30 addresses with a small buffer, by TCP" 30 \
	"$(short many.example.net A +bufsize=512 | grep -c '^198\.18\.')"
check_eq "what a configured name holds besides addresses" '10 mail.example.com.' "$(short example.com MX)"

# Names that are not configured.
daemon_saw=$(seen)
check_eq "another name keeps its real address" 198.51.100.202 "$(short example.org A)"
check_eq "a name that holds a configured one" 198.51.100.203 "$(short example.com.example.org A)"
check_eq "a name below an exact domain" 192.0.2.53 "$(short ns.example.com A)"
check_eq "another name over IPv6" 198.51.100.202 "$(dns=2001:db8:2::53 short example.org A)"
check_eq "none of these was seen by the daemon" "$daemon_saw" "$(seen)"
check_eq "another name over TCP passes through the daemon" 198.51.100.202 "$(short example.org A +tcp)"
check "which was given its connection" [ "$(seen)" -gt "$daemon_saw" ]

check_eq "a zone is transferred in as many messages as it takes" 20002 \
	"$(ask example.org AXFR +tcp +noall +answer | grep -c '\sA\s')"
check_eq "IXFR too" 20002 "$(ask example.org IXFR=0 +tcp +noall +answer | grep -c '\sA\s')"
check_eq "behind other questions of its connection" 20000 "$(in_ns pod dig +tcp +keepopen +noall +answer \
	@192.0.2.53 example.org A example.com A example.org AXFR | grep -c 'example\.org\..*\sA\s.*113\.1')"

wrong=0
for round in 1 2; do
	for i in $(seq 150 230); do
		[ "$(dns=203.0.113.$i short example.com A)" = "$magic4" ] || wrong=$((wrong + 1))
		[ $((i % 20)) -ne "$round" ] ||
			[ "$(dns=203.0.113.$i short example.com A +tcp)" = "$magic4" ] || wrong=$((wrong + 1))
	done
done
check_eq "each of 81 servers answers in its own name, twice" 0 $wrong

# A service's address, of which the host's NAT makes another.
for dns in 10.96.0.10 fd00:96::10; do
	check_match "a service is asked at $dns for a configured name" '^198\.18\.' "$(short twin.example.net A)"
	check_match "which answers in its own name" "SERVER: $dns#53" "$(ask n2.example.net A)"
	check_match "over TCP" '^198\.18\.' "$(short twin.example.net A +tcp)"
	check_eq "and for another name" 198.51.100.202 "$(short example.org A)"
	check_eq "over TCP" 198.51.100.202 "$(short example.org A +tcp)"
	answered=$(reason client dns_answered)
	check_match "a leased name" '^198\.18\.' "$(short twin.example.net A)"
	check "is answered by the kernel" [ "$(reason client dns_answered)" -gt "$answered" ]
done
dns=10.96.0.10 short n3.example.net A -b 10.244.1.2#5300 >/dev/null
check_eq "another name from the port of one that was taken" 198.51.100.202 \
	"$(dns=10.96.0.10 short example.org A -b 10.244.1.2#5300)"
check_match "and one that is taken again" '^198\.18\.' \
	"$(dns=10.96.0.10 short n4.example.net A -b 10.244.1.2#5300)"
unset dns

# Leased names: answered by the kernel.
short brief.example.net A >/dev/null
daemon_saw=$(seen)
answered=$(reason client dns_answered)
check_match "a leased name's answer" "HoSt\.eXample\.net\..*$(short host.example.net A)" \
	"$(ask HoSt.eXample.net A +noall +answer)"
check_eq "keeps its address with EDNS and without" "$(short host.example.net A)" \
	"$(short host.example.net A +noedns)"
check_match "has an OPT where the question has one" 'EDNS: version: 0, flags: do; udp: 1232' \
	"$(ask host.example.net A +dnssec)"
check_eq "has none where it has none" '' "$(ask host.example.net A +noedns | grep EDNS)"
runs_down() { [ "$(ask host.example.net A +noall +answer | awk '{ print $2 }')" -lt 299 ]; }
check "its time runs down" wait_for 5 runs_down
check_match "an AAAA record too" '^fd25:a:' "$(short example.com AAAA && short example.com AAAA)"
check "the kernel gave these answers" [ "$(reason client dns_answered)" -ge $((answered + 6)) ]
check "and the daemon saw little of it" [ "$(seen)" -le $((daemon_saw + 3)) ]
answered=$(reason client dns_answered)
check_eq "30 addresses are the daemon's to answer" 30 "$(short many.example.net A +bufsize=4096 | wc -l)"
short host.example.net TXT >/dev/null
short host.example.net A +tcp >/dev/null
check_eq "and what is no plain question for addresses" "$answered" "$(reason client dns_answered)"
wrong=0
daemon_saw=$(seen)
for _ in $(seq 1 60); do
	[[ $(short brief.example.net A) == 198.18.* ]] || wrong=$((wrong + 1))
	sleep 0.1
done
check_eq "an answer that is asked for is renewed before it ends" 0 $wrong
renewals=$(($(seen) - daemon_saw))
check "by few questions" [ "$renewals" -ge 1 -a "$renewals" -le 12 ]

# glibc's own resolver.
mkdir -p "$dir/etc"
printf 'nameserver 192.0.2.53\n' >"$dir/etc/resolv.conf"
libc() { # COMMAND...: with the pod's resolv.conf
	in_ns pod unshare --mount sh -c "mount --bind '$dir/etc/resolv.conf' /etc/resolv.conf && $*"
}
check_match "getaddrinfo() gives magic addresses" '198\.18\..*STREAM' "$(libc getent ahostsv4 example.com)"
check_match "of both families" 'fd25:a:.*STREAM' "$(libc getent ahosts example.com)"
check_eq "getaddrinfo() of 30 addresses" 30 \
	"$(libc getent ahostsv4 many.example.net | grep -c 'STREAM')"
check_match "getaddrinfo() of another name" '198\.51\.100\.202' "$(libc getent ahostsv4 example.org)"
printf 'nameserver 192.0.2.53\noptions use-vc\n' >"$dir/etc/resolv.conf"
check_match "getaddrinfo() over TCP" '198\.18\.' "$(libc getent ahostsv4 example.com)"
printf 'nameserver 2001:db8:2::53\n' >"$dir/etc/resolv.conf"
check_match "getaddrinfo() over IPv6" '198\.18\.' "$(libc getent ahostsv4 example.com)"

# A pod that comes later, behind a bridge whose port is taken.
host late
ip -n client link add vbr0 type bridge
ip -n client link set vbr0 up
addr client vbr0 10.244.2.1/24
cable client pod1 late eth0
ip -n client link set pod1 master vbr0
addr late eth0 10.244.2.2/24
ip -n late route add default via 10.244.2.1
netmap '.nodes[0].podCIDRs += ["10.244.2.0/24"]'
taken() { [[ $(pod=late short example.com A) == 198.18.* ]]; }
check "a device created later is taken, behind a bridge" wait_for 5 taken
check_match "over TCP" '^198\.18\.' "$(pod=late short example.com A +tcp)"
ip -n late neigh replace 10.244.2.1 lladdr 02:00:00:00:00:99 dev eth0
check_match "also in a frame that is for another of its ports" '^198\.18\.' \
	"$(pod=late short example.com A)"
check_match "over TCP as well" '^198\.18\.' "$(pod=late short example.com A +tcp)"
check_match "the device is named in the log" 'DNS on pod1: taken' "$(cat "$dir/client.log")"
ip -n late neigh del 10.244.2.1 dev eth0
# The same bridge by its own name, on a node whose NAT looks into bridges.
nat_in_bridges() { in_ns client sysctl -qw "net.bridge.bridge-nf-call-iptables=$1"; }
by_bridge() { pod=late dns=10.96.0.10 short "$@"; }
conn25_stop client
if nat_in_bridges 0; then
	for _ in 0 1; do
		conn25_start client --dns-intercept vbr0 --dns-intercept-to 10.96.0.10
		check_match "a bridge is taken by its own name" '^198\.18\.' "$(by_bridge example.com A)"
		check_match "over TCP" '^198\.18\.' "$(by_bridge example.com A +tcp)"
		check_eq "and another name goes on" 198.51.100.202 "$(by_bridge example.org A)"
		check_eq "over TCP" 198.51.100.202 "$(by_bridge example.org A +tcp)"
		conn25_stop client
		nat_in_bridges 1
	done
	nat_in_bridges 0
else
	skip "a bridge whose NAT looks into it" "no br_netfilter"
fi

start_client
ip -n client link del vbr0
ip -n client link del pod1
one_left() { [ "$(find /sys/fs/bpf/client/links -name 'dns_in_*' | wc -l)" = 1 ]; }
check "a device that went takes its pin along" wait_for 5 one_left

# A pod's own server that keeps silent, four times for one question.
in_ns internet nft 'add table ip dead; add chain ip dead in { type filter hook input priority 0; }
	add rule ip dead in ip daddr 203.0.113.140 drop'
check_eq "a server that keeps silent" SERVFAIL "$(dns=203.0.113.140 status n5.example.net A +time=8)"
check_eq "is no fault of the daemon's own" '' "$(grep 'does not answer' "$dir/client.log")"

# Another device with the index of one that went, which the daemon does not see go.
pod_index=$(ip -n client -j link show pod0 | jq '.[].ifindex')
kill -STOP "$pid_client"
ip -n client link del pod0
ip -n client link add pod0 index "$pod_index" type veth peer name eth0 netns pod
ip -n client link set pod0 up
ip -n pod link set eth0 up
addr client pod0 10.244.1.1/24 fd00:244:1::1/64
addr pod eth0 10.244.1.2/24 fd00:244:1::2/64
ip -n pod route add default via 10.244.1.1
ip -n pod route add default via fd00:244:1::1
kill -CONT "$pid_client"
again() { [[ $(short example.com A) == 198.18.* ]]; }
check "a device with the index of one that went is taken" wait_for 5 again

# A new netmap.
netmap '.apps[0].domains += ["example.org"]'
added() { [[ $(short example.org A) == 198.18.* ]]; }
check "a domain added is taken" wait_for 5 added
netmap
removed() { [ "$(short example.org A)" = 198.51.100.202 ]; }
check "a domain removed is let go" wait_for 5 removed

# A connector that does not answer.
short example.com A >/dev/null
conn25_stop connector KILL 2>/dev/null
check "the client notices" wait_for 10 grep -q 'connector does not answer' "$dir/client.log"
answered=$(reason client dns_answered)
check_eq "the kernel gives no address behind a connector that is down" SERVFAIL \
	"$(status example.com A)"
check_eq "none at all" "$answered" "$(reason client dns_answered)"
conn25_start connector
back() { [ "$(short example.com A)" = "$magic4" ] && [ "$(reason client dns_answered)" -gt "$answered" ]; }
check "when it is back it does again" wait_for 10 back

# The daemon dies.
short example.com A >/dev/null
brief=$(short brief.example.net A)
conn25_stop client KILL 2>/dev/null
sleep 5
check_eq "with the daemon killed other names go on" 198.51.100.202 "$(short example.org A)"
check_eq "over TCP too" 198.51.100.202 "$(short example.org A +tcp)"
check_eq "a configured name that was not asked for is refused" REFUSED "$(status n1.example.net A)"
check_eq "over IPv6 too" REFUSED "$(dns=2001:db8:2::53 status n1.example.net A)"
check_eq "a service goes on" 198.51.100.202 "$(dns=10.96.0.10 short example.org A)"
check_eq "over TCP too" 198.51.100.202 "$(dns=10.96.0.10 short example.org A +tcp)"
check_eq "without EDNS" REFUSED "$(status n1.example.net A +noedns)"
check_eq "a leased name goes on being answered" "$magic4" "$(short example.com A)"
check_eq "beyond its time as well, for a while" "$brief" "$(short brief.example.net A)"
check_eq "with a name of odd length" REFUSED "$(status oddly.example.net A)"
tcp_refused() { # SERVER
	out=$(dns=$1 ask n1.example.net A +tcp +time=5 2>&1)
	printf '%s' "$out" | grep -qE 'connection reset|end of file' && ! [[ $out == *'timed out'* ]]
}
check "over TCP its connection is reset" tcp_refused 192.0.2.53
check "over TCP and IPv6 too" tcp_refused 2001:db8:2::53
check_match "traffic to its address goes on" 'at 198\.51\.100\.200' \
	"$(in_ns pod curl -sS --max-time 5 -H 'Host: example.com' "http://$magic4/")"
start_client
check "what was answered beyond its time was counted" [ "$(reason client dns_stale)" -ge 1 ]
check_eq "after a restart the name has its address again" "$magic4" "$(short example.com A)"
check_eq "over TCP as well" "$magic4" "$(short example.com A +tcp)"

conn25_stop client KILL 2>/dev/null
start_client --dns-fail open
conn25_stop client KILL 2>/dev/null
check_eq "with --dns-fail open the question goes on" 203.0.113.2 "$(short n1.example.net A)"
check_eq "over TCP too" 198.51.100.200 "$(short example.com A +tcp)"

# Without --dns-intercept-to all servers are meant but the upstreams.
conn25_start client --dns-intercept 'pod*'
check_match "another server's questions are taken" '^198\.18\.' "$(dns=203.0.113.150 short example.com A)"
check_eq "the upstream's are not" 198.51.100.200 "$(short example.com A)"
link_local=$(ip -n client -j addr show dev pod0 | jq -r '.[].addr_info[] | select(.scope == "link").local')
check_match "nor those of a server on its link" 'refused' "$(dns=$link_local%eth0 ask example.com A)"
check_match "over TCP" 'refused' "$(dns=$link_local%eth0 ask example.com A +tcp)"
conn25_stop client
conn25_start client
check_eq "a daemon that takes no DNS any more leaves none of it behind" 198.51.100.200 \
	"$(dns=203.0.113.150 short example.com A)"
conn25_stop client

start_client
out=$(in_ns client timeout 10 "$CONN25" run --netmap "$dir/netmap.json" --node client \
	--pin /sys/fs/bpf/other --control /run/other.sock --dns-listen 192.0.2.11:53 \
	--dns-upstream 192.0.2.53 --dns-intercept 'pod*' --dns-intercept-to 192.0.2.0/24 --dev other0 2>&1)
check_eq "a daemon that would ask itself does not start" 1 $?
check_match "and says why" 'ask itself' "$out"
out=$(in_ns client timeout 10 "$CONN25" run --netmap "$dir/netmap.json" --node client \
	--pin /sys/fs/bpf/other --control /run/other.sock --dns-listen 0.0.0.0:53 \
	--dns-upstream 192.0.2.53 --dns-intercept 'pod*' --dev other0 2>&1)
check_match "nor one that listens everywhere and takes everything" 'ask itself' "$out"
out=$(in_ns client "$CONN25" run --dns-intercept lo 2>&1)
check_eq "the loopback device is no pod's" 2 $?
check_eq "none of them left a device" '' "$(ip -n client -br link show dev other0 2>/dev/null)"

conn25_stop client
conn25 client detach >/dev/null
check_eq "detach leaves no rule" '' "$(ip -n client rule | grep 2553; ip -n client -6 rule | grep 2553)"
check_eq "and no route" '' "$(ip -n client route show table 2553 2>/dev/null; ip -n client -6 route show table 2553 2>/dev/null)"
check_eq "and no table of nftables" '' "$(in_ns client nft list tables | grep conn25)"
check_eq "and no pins" '' "$(ls /sys/fs/bpf/client 2>/dev/null)"
check_eq "and the pod gets the real address" 198.51.100.200 "$(short example.com A)"
finish
