#!/usr/bin/env bash
# What runs out: pools, tables, descriptors, the disk of the log. Each is answered, counted, and over
# when the need is.
# shellcheck disable=SC2016,SC2128,SC2154,SC2178,SC2317 # jq's and eval's own; variables that lib.sh sets by name
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
standard_zones
dns_server
web_server

# Ten addresses of a pool, eight mappings on the connector.
small='.ipPools.v4MagicIPPool = ["198.18.0.0-198.18.0.9"]'
netmap "$small"
conn25_start connector --max-mappings 8
conn25_start client
rcode() { in_ns client dig +time=3 +tries=1 @127.0.0.1 "$1" "${2:-A}" | sed -n 's/.*status: \([A-Z]*\).*/\1/p'; }
works() { [[ $(lookup client "$1" A) == 198.18.* ]]; }
client_status() { conn25 client status --json | jq -r "$1"; }
connector_status() { conn25 connector status --json | jq -r "$1"; }

for i in $(seq 1 8); do lookup client "n$i.example.net" A >/dev/null; done
check_eq "eight names fill the connector's table" 8 "$(conn25 connector map connector --json | jq '.connector | length')"
check_eq "a ninth is SERVFAIL" SERVFAIL "$(rcode n9.example.net)"
check_eq "the connector counts the refusal" 1 "$(connector_status '.connector.registrations["1"]')"
check_eq "so does the client" 1 "$(client_status '.client.registrations["1"]')"
check_eq "those there go on" 198.18.0.0 "$(lookup client n1.example.net A)"
check "and carry traffic" in_ns client curl -sS --max-time 2 -o /dev/null http://198.18.0.0/
check "the client warns of its pool at 80 %" wait_for 3 \
	grep -q 'warn: of 10 addresses of v4MagicIPPool, [89] are lent and [0-9] rest' "$dir/client.log"
# The connector's table empties: one client's app goes.
netmap_reload "client connector" "$small | .apps[0].domains = [\"example.com\"]"
check "what was freed is of use at once" wait_for 3 works example.com

# The pool: eight addresses rest, one is lent.
netmap_reload "client connector" "$small"
dry() { [ "$(client_status .client.poolDry)" -gt 0 ]; }
for i in $(seq 21 22); do rcode "n$i.example.net" >/dev/null; done
check_eq "a name beyond the pool is SERVFAIL" SERVFAIL "$(rcode n23.example.net)"
check "and counted" dry
check_eq "the other family is not touched" NOERROR "$(rcode n24.example.net AAAA)"
check_eq "names without an app are not touched" 198.51.100.202 "$(lookup client example.org A)"
was_magic=198.18.0.3
check_match "addresses that rest answer with an error, not with another name's traffic" 'filtered|prohibited' \
	"$(in_ns client ping -n -c 1 -W 1 $was_magic 2>&1)"
check_match "and the packets are counted" '^[1-9]' "$(reason client no_magic)"
netmap_reload "client connector"
check "a larger pool is taken up at once" wait_for 3 works n25.example.net
conn25_stop client
conn25 client detach >/dev/null 2>&1
conn25_stop connector
conn25 connector detach >/dev/null 2>&1

# The client's own table.
conn25_start connector
conn25_start client --max-mappings 4
for i in $(seq 1 4); do lookup client "n$i.example.net" A >/dev/null; done
check_eq "a lease beyond --max-mappings is SERVFAIL" SERVFAIL "$(rcode n5.example.net)"
check "and counted" dry
check "the client warned of it" wait_for 3 grep -q 'warn: 4 of at most 4 leases live (--max-mappings)' "$dir/client.log"
netmap_reload "client connector" '.apps[0].domains = ["example.com"]'
check "room that was freed is used" wait_for 3 works example.com
netmap_reload "client connector"
conn25_stop client
conn25 client detach >/dev/null 2>&1

# Descriptors.
: >"$dir/client.log"
(ulimit -n 96 && exec nsenter --net=/run/netns/client "$CONN25" run --netmap "$netmap_file" --node client \
	--pin /sys/fs/bpf/client --control /run/client.sock "${client_flags[@]}" 2>>"$dir/client.log") &
pid_client=$!
wait_for 10 grep -q ready "$dir/client.log" || fatal "conn25 starts with few descriptors" "$(cat "$dir/client.log")"
check "with few descriptors a name works" works n1.example.net
nsenter --net=/run/netns/client bash -c 'for i in $(seq 1 200); do
	eval "exec $((i + 20))<>/dev/tcp/127.0.0.1/53" 2>/dev/null
done; echo held; exec sleep 30' >"$dir/held" 2>/dev/null &
holder=$!
wait_for 10 grep -q held "$dir/held"
check "all of them taken by idle TCP clients, the daemon lives" kill -0 "$pid_client"
kill $holder
wait $holder 2>/dev/null
check "once they are gone UDP works" wait_for 10 works n2.example.net
tcp_works() { [[ $(in_ns client dig +tcp +short +time=2 +tries=1 @127.0.0.1 n3.example.net A) == 198.18.* ]]; }
check "and TCP" wait_for 10 tcp_works
check "and the control socket" wait_for 5 conn25 client status
conn25_stop client
conn25_start client

# A role that a new netmap gives and that cannot start is tried again.
conn25_stop connector
conn25_start connector --dns-listen 127.0.0.1:53 --dns-upstream 192.0.2.53
netmap_reload "client connector"
bpftool map create /sys/fs/bpf/connector/maps/c25_kept type hash key 4 value 4 entries 1 name c25_kept
netmap_reload "client connector" '.nodes[0].connector = true
	| .apps += [{ name: "org", domains: ["example.org"], connectors: ["client"], clients: ["connector"] }]'
check "it is told why" wait_for 2 grep -q 'error: pinned map c25_kept' "$dir/connector.log"
check "the other role goes on" works n7.example.net
rm /sys/fs/bpf/connector/maps/c25_kept
check "and starts once nothing is in its way" wait_for 10 grep -q 'role taken up: node connector is now client connector' "$dir/connector.log"
check_eq "its forwarder serves" 198.51.100.200 "$(lookup connector example.com A)"
conn25_stop client

# The log: on a full disk, and to a reader that does not read.
start_logging_to() { # FILE
	nsenter --net=/run/netns/client "$CONN25" run --netmap "$netmap_file" --node client \
		--pin /sys/fs/bpf/client --control /run/client.sock --log-level debug "${client_flags[@]}" 2>"$1" &
	pid_client=$!
}
start_logging_to /dev/full
check "with its log on a full disk the daemon starts and serves" wait_for 10 works n4.example.net
lost() { [ "$(client_status '.logDropped')" -gt 0 ]; }
check "and counts the lines that were lost" lost
conn25_stop client
mkfifo "$dir/fifo"
exec 7<>"$dir/fifo"
dd if=/dev/zero of="$dir/fifo" bs=1M count=1 oflag=nonblock 2>/dev/null
start_logging_to "$dir/fifo"
check "with a log that nobody reads it starts and serves" wait_for 10 works n6.example.net
check "and counts the lines that were lost" lost
dd if="$dir/fifo" of=/dev/null bs=64K iflag=nonblock 2>/dev/null
kill -HUP "$pid_client"
check "once it is read again lines come" wait_for 3 eval "timeout 1 cat '$dir/fifo' | grep -q 'netmap reloaded'"
exec 7<&-

finish
