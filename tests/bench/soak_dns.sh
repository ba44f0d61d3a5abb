#!/usr/bin/env bash
# make soak-dns: every path of DNS under dnsperf for SECONDS (60), at its full speed, with every
# answer of a second client checked; then the daemon killed under it.
# shellcheck disable=SC2154,SC2317 # pid_client is set by name; functions are called by begin
# shellcheck source=tests/bench/dns_lib.sh
. "$(dirname "$0")/dns_lib.sh"
SECONDS_EACH=${SECONDS_EACH:-60}
DOMAINS=${DOMAINS:-1000}
real=203.0.113.0/24 magic=198.18.0.0/16

dns_netmap
dns_client --dns-intercept 'pod*' --dns-intercept-to 192.0.2.53
ask pod 10.244.1.1 53 "$DOMAINS" bench.test $magic >/dev/null || fatal "the names are leased"
seq -f 'd%05.0f.bench.test A' 0 $((DOMAINS - 1)) >"$dir/leased"
seq -f 'd%05.0f.other.test A' 0 $((DOMAINS - 1)) >"$dir/others"

perf_start() { # KEY SERVER NAMES SECONDS [OPTION...]
	local key=$1 server=$2 names=$3 seconds=$4
	shift 4
	in_ns pod dnsperf -s "$server" -d "$dir/$names" -l "$seconds" "$@" >"$dir/perf-$key" 2>&1 &
}
perf_value() { # KEY LABEL
	sed -n "s/^ *$2: *//p" "$dir/perf-$1"
}
perf_check() { # KEY CLAIM
	local sent
	sent=$(perf_value "$1" 'Queries sent')
	[ "${sent:-0}" -gt 1000 ]
	check_eq "$2: dnsperf asks (${sent:-none})" 0 $?
	check_eq "$2: nothing is lost" "0 (0.00%)" "$(perf_value "$1" 'Queries lost')"
	check_eq "$2: every answer is one" "NOERROR $sent (100.00%)" "$(perf_value "$1" 'Response codes')"
}
soak() { # KEY SERVER SUFFIX NET
	in_ns pod "$LOAD" soak "$2" 53 "$SECONDS_EACH" "$3" "$DOMAINS" "$4" \
		>"$dir/soak-$1" 2>&1 &
}
soak_check() { # KEY CLAIM
	check_match "$2: every answer is right" '^[0-9]+$' "$(cat "$dir/soak-$1")"
}
# Those that wait for answers; the daemons and servers go on.
wait_perf() {
	local job
	for job in "$@"; do wait "$job"; done
}

jobs_run=()
begin() {
	"$@"
	jobs_run+=($!)
}
begin perf_start forwarder 10.244.1.1 leased "$SECONDS_EACH"
begin perf_start tcp 10.244.1.1 leased "$SECONDS_EACH" -m tcp -c 8
begin perf_start taken 192.0.2.53 leased "$SECONDS_EACH"
begin perf_start other 192.0.2.53 others "$SECONDS_EACH"
begin soak forwarder 10.244.1.1 bench.test $magic
begin soak taken 192.0.2.53 bench.test $magic
begin soak other 192.0.2.53 other.test $real
taken=$(reason client dns_taken)
wait_perf "${jobs_run[@]}"
perf_check forwarder "asked as a forwarder"
soak_check forwarder "asked as a forwarder"
perf_check tcp "asked over TCP"
perf_check taken "taken on the way to another server"
soak_check taken "taken on the way to another server"
perf_check other "other names"
soak_check other "other names"
[ "$(reason client dns_taken)" -gt "$taken" ]
check_eq "those taken were" 0 $?

# The daemon dies and comes back; questions for other names go on all the while.
jobs_run=()
begin perf_start killed 192.0.2.53 others 12
if [ "$(reason client dns_answered)" -gt 0 ]; then
	begin perf_start killed-leased 192.0.2.53 leased 12
fi
sleep 3
kill -9 "$pid_client"
wait "$pid_client" 2>/dev/null
sleep 3
conn25_start client --overlay none --dev eth0 --dns-intercept 'pod*' --dns-intercept-to 192.0.2.53
wait_perf "${jobs_run[@]}"
perf_check killed "other names while the daemon is killed and started again"
if [ -f "$dir/perf-killed-leased" ]; then
	perf_check killed-leased "leased names while the daemon is killed and started again"
else
	skip "leased names while the daemon is killed" "they are not answered in the kernel"
fi
ask pod 192.0.2.53 53 "$DOMAINS" bench.test $magic >/dev/null
check_eq "leased names are taken again after it" 0 $?
finish
