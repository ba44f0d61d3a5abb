#!/usr/bin/env bash
# Wrong flags, files, rights and neighbours: one clear line, the right exit status, nothing lost.
# shellcheck disable=SC2016,SC2128,SC2154,SC2178,SC2317 # jq's and eval's own; variables that lib.sh sets by name
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
netmap
standard_zones
dns_server

run() { # [FLAGS...]: status, then what was said
	in_ns client timeout 10 "$CONN25" run --netmap "$dir/netmap.json" --node client \
		--pin /sys/fs/bpf/client --control /run/client.sock --dns-listen 127.0.0.1:53 \
		--dns-upstream 192.0.2.53 "$@" >"$dir/out" 2>&1
	echo "$? $(cat "$dir/out")"
}
usage() { # CLAIM REGEX COMMAND...
	local claim=$1 regex=$2 out code
	shift 2
	out=$("$CONN25" "$@" 2>&1 >/dev/null)
	code=$?
	check_match "$claim" "^2 1 conn25( [a-z]+)?: .*$regex" "$code $(printf '%s\n' "$out" | wc -l) $out"
}

block() { # another's server on the DNS port
	nsenter --net=/run/netns/client socat -u UDP4-RECV:53,bind=127.0.0.1 /dev/null &
	blocker=$!
	wait_for 3 eval 'in_ns client ss -Huln "sport = :53" | grep -q .'
}
unblock() {
	kill $blocker
	wait $blocker
}

# Usage.
usage "an unknown command" 'unknown command "walk"' walk
usage "an unknown option" '--nonsense' run --nonsense
usage "an option of one letter" '-v' run -v
usage "an argument too many" '"extra"' run extra
usage "a value that is missing" '--netmap.*FILE' run --netmap
usage "an option given twice" '--node was given twice' run --node a --node b
usage "a switch with a value" '--log-json' run --log-json=yes
usage "a port that is none" '--vxlan-port: "70000"' run --vxlan-port 70000
usage "an address that is none" '--dns-listen: "53"' run --dns-listen 53
usage "a range turned round" '--nat-ports: "5-4"' run --nat-ports 5-4
usage "a time that is none" '--answer-timeout: "1s"' run --answer-timeout 1s
usage "a relative pin" '--pin: "pins"' run --pin pins
usage "a level that is none" '--log-level: "loud"' run --log-level loud
usage "a device's name too long" '--dev: "abcdefghijklmnop"' run --dev abcdefghijklmnop
usage "an overlay that is none" '--overlay: "ipsec"' run --overlay ipsec
usage "off and an address" '--dns-listen' run --dns-listen off --dns-listen 127.0.0.1:53
usage "explain without a name" '.' explain
usage "map of what there is none" 'walls' map walls
"$CONN25" >/dev/null 2>&1
check_eq "no command at all ends with 2" 2 $?
for one in cert key ca; do
	usage "--peerapi-tls-$one alone" 'go together' run "--peerapi-tls-$one" a
done
usage "a port alone for scrapes" '--metrics-listen: "9"' run --metrics-listen 9
usage "two addresses for scrapes" '--metrics-listen was given twice' \
	run --metrics-listen 127.0.0.1:9 --metrics-listen 127.0.0.1:10
for command in run check status map monitor explain detach version; do
	"$CONN25" "$command" --help >"$dir/out" 2>&1
	check_match "$command --help ends with 0 and tells usage" "^0 [Uu]sage: conn25 $command" "$? $(head -1 "$dir/out")"
done
check "help" "$CONN25" help
check "version" "$CONN25" version
for said in version help "run --help" "check --netmap $dir/netmap.json"; do
	# shellcheck disable=SC2086
	"$CONN25" $said >/dev/full 2>"$dir/out"
	check_match "$said that cannot be written ends with 1, and says so" '^1 .*cannot write' "$? $(cat "$dir/out")"
done
usage "a relative pin of detach" '--pin: "pins"' detach --pin pins

# Netmaps.
check_match "a missing netmap" '^1 .*nothing\.json.*No such file' \
	"$("$CONN25" run --netmap "$dir/nothing.json" 2>&1 >/dev/null | sed 's/^/1 /')"
fault() { # CLAIM JQ-FILTER REGEX
	jq "$2" "$dir/netmap.json" >"$dir/bad.json"
	"$CONN25" check --netmap "$dir/bad.json" --node client >"$dir/out" 2>"$dir/err"
	check_match "check: $1" "^1 0 1 (conn25: )?$dir/bad.json: $3" \
		"$? $(wc -c <"$dir/out") $(wc -l <"$dir/err") $(cat "$dir/err")"
	in_ns client timeout 10 "$CONN25" run --netmap "$dir/bad.json" --node client >"$dir/out" 2>&1
	check_match "run: $1" "^1 .*$dir/bad.json: $3" "$? $(cat "$dir/out")"
}
fault "a domain that is none" '.apps[0].domains[0] = "exa mple.com"' '/apps/0/domains/0: "exa mple.com" is not a domain name'
fault "a wrong type" '.nodes[0].addresses = "x"' '/nodes/0/addresses: '
fault "an id twice" '.nodes[1].id = "client"' '/nodes/1/id: '
fault "pools that overlap" '.ipPools.v4TransitIPPool = ["198.18.0.0/24"]' '/ipPools/v4TransitIPPool/0: '
fault "an app without domains" 'del(.apps[0].domains)' '/apps/0(/domains)?: '
printf '{"nodes": [' >"$dir/bad.json"
"$CONN25" check --netmap "$dir/bad.json" >"$dir/out" 2>&1
check_match "JSON cut short" "^1 .*$dir/bad.json: " "$? $(cat "$dir/out")"
"$CONN25" check --netmap "$dir/netmap.json" --node stranger >"$dir/out" 2>&1
check_match "a node that is not in it" '^1 .*stranger' "$? $(cat "$dir/out")"
check_match "also to run" '^1 .*stranger' "$(in_ns client timeout 10 "$CONN25" run --netmap "$dir/netmap.json" \
	--node stranger 2>&1 | tail -1 | sed 's/^/1 /')"

# Rights.
chmod 755 "$dir"
cp "$CONN25" "$dir/conn25"
in_ns client setpriv --reuid=65534 --regid=65534 --clear-groups "$dir/conn25" run --netmap "$dir/netmap.json" \
	--node client --control "$dir/nobody.sock" >"$dir/out" 2>&1
check_match "without root: one line that says so" '^1 .*(root|CAP_|ermi)' "$? $(cat "$dir/out")"
mkdir -m 777 "$dir/open"
in_ns client setpriv --reuid=65534 --regid=65534 --clear-groups "$dir/conn25" run --netmap "$dir/netmap.json" \
	--node client --control "$dir/open/nobody.sock" >"$dir/out" 2>&1
check_match "also where the control socket could be made" '^1 .*(root|CAP_)' "$? $(cat "$dir/out")"
in_ns client setpriv --reuid=65534 --regid=65534 --clear-groups "$dir/conn25" map >"$dir/out" 2>&1
check_match "map without root" '^1 ' "$? $(cat "$dir/out")"
check_eq "nothing was made" "" "$(in_ns client ip -br link show dev conn25 2>/dev/null; find /sys/fs/bpf -mindepth 1 -maxdepth 1 ! -name '*.debug')"

# What is in the way.
block
check_match "a DNS port in use" '127\.0\.0\.1:53 .*--dns-listen.*in use' "$(run)"
unblock
conn25 client detach >/dev/null 2>&1
ip -n client link add other type vxlan dstport 8925 external
ip -n client link set other up
check_match "a VXLAN port in use names the way out" '8925.*--vxlan-port' "$(run)"
check "the other device is left alone" ip -n client link show other
ip -n client link del other
ip -n client link add conn25 type bridge
check_match "a device of that name that is not ours" 'conn25.*--dev' "$(run)"
check_match "is left alone" 'bridge' "$(ip -n client -d link show conn25)"
conn25 client detach >/dev/null 2>&1
check_match "also by detach" 'bridge' "$(ip -n client -d link show conn25)"
ip -n client link del conn25
check_match "an overlay device that does not exist" '^1 .*nothing0' "$(run --overlay none --dev nothing0)"
in_ns client "$CONN25" detach --pin /sys/fs/bpf/client >/dev/null 2>&1

# A start that failed has left nothing that hinders the next; logs as JSON; variables; readiness.
socat -u "UNIX-RECV:$dir/notify.sock" "OPEN:$dir/notified,creat" &
wait_for 3 test -S "$dir/notify.sock"
export NOTIFY_SOCKET=$dir/notify.sock CONN25_DNS_LISTEN="127.0.0.1:5300, 127.0.0.1:5301" CONN25_LOG_JSON=true
export CONN25_DNS_UPSTREAM=192.0.2.77 CONN25_ANSWER_TIMEOUT=500
client_flags=(--dns-upstream 192.0.2.53)
conn25_start client
unset NOTIFY_SOCKET
check "READY=1 is told" wait_for 2 grep -q 'READY=1' "$dir/notified"
check_eq "every log line is a JSON object" "$(wc -l <"$dir/client.log")" \
	"$(jq -c 'select(type == "object")' "$dir/client.log" | wc -l)"
check_match "with its level and text" '"level":"info".*ready' "$(jq -c . "$dir/client.log")"
for port in 5300 5301; do
	check_eq "a variable that may be repeated is a list: $port" 198.51.100.202 \
		"$(in_ns client dig +short +time=3 +tries=1 -p $port @127.0.0.1 example.org)"
done
check_eq "a flag wins over its variable" "" "$(in_ns client ss -Huln 'sport = :53')"
conn25_stop client
check_eq "the end is clean" 0 $?
check_match "and told" 'STOPPING=1' "$(cat "$dir/notified")"
export CONN25_VXLAN_PORT=none
usage "a bad variable" 'CONN25_VXLAN_PORT: "none"' run
check "a flag hides a bad variable" eval '"$CONN25" run --vxlan-port 8925 --netmap /nothing 2>&1 | grep -q /nothing'
unset CONN25_VXLAN_PORT CONN25_DNS_LISTEN CONN25_LOG_JSON CONN25_DNS_UPSTREAM CONN25_ANSWER_TIMEOUT

# Not ready, nothing told.
rm -f "$dir/notified"
socat -u "UNIX-RECV:$dir/notify2.sock" "OPEN:$dir/notified,creat" &
wait_for 3 test -S "$dir/notify2.sock"
block
out=$(NOTIFY_SOCKET=$dir/notify2.sock run)
check_match "a start that fails" '^1 ' "$out"
check_eq "does not tell READY" 0 "$(grep -c READY "$dir/notified")"
check_eq "nor logs it" 0 "$(printf %s "$out" | grep -cw ready)"
unblock
finish
