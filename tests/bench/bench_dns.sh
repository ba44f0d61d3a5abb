#!/usr/bin/env bash
# make bench-dns: what a DNS question costs, against a forwarder that does nothing but forward,
# dnsdist and dnsmasq; what an answer from the kernel costs against dnsdist's packet cache; and what
# other names pay for conn25's matching in the kernel.
#
# One core, never idle. A daemon's cost is its CPU time: the system calls are in it, with the
# delivery of what they send. Where the kernel does the work it is the CPU time of who asks and
# who answers, in whose calls it runs. A kernel's answer is what the asker pays beyond what it pays
# to ask dnsdist, which takes the question as far as a socket. dnsdist reads and writes in batches,
# its fastest. Rounds are interleaved in SLICES; ratios are formed round by round.
#
# Other names are forwarded by hosts with rp_filter=2, systemd's default, and by hosts with 0: there
# the kernel checks sources less, until there is any routing rule, and conn25 has some. So they are
# forwarded a third time, without conn25 by a host with one rule of its own, as policy routing and
# many CNIs make: what conn25 costs more than that is its matcher's own.
#
# ROUNDS (9), QUERIES (100000 in each round), SLICES (5) and DOMAINS (10000) may be set.
# shellcheck source=tests/bench/dns_lib.sh
. "$(dirname "$0")/dns_lib.sh"
ROUNDS=${ROUNDS:-9}
QUERIES=${QUERIES:-100000}
SLICES=${SLICES:-5}
slice=$((QUERIES / SLICES))
fatal() {
	echo "bench-dns: $1 ${2:-}" >&2
	exit 1
}
real=203.0.113.0/24 magic=198.18.0.0/16

# Beside conn25: each on a port of its own, one thread for questions, no cache.
in_client() { # PORT COMMAND...: its pid is in `started`
	local port=$1
	shift
	nsenter --net=/run/netns/client taskset -c "$CORE" "$@" >>"$dir/forwarders.log" 2>&1 &
	started=$!
	wait_for 10 udp_bound client "$port" || fatal "$1 starts" "$(cat "$dir/forwarders.log")"
}
dnsdist_conf() { # PORT [MORE]
	cat >"$dir/dnsdist-$1.conf" <<-LUA
		setLocal("10.244.1.1:$1")
		setACL("0.0.0.0/0")
		setSecurityPollSuffix("")
		setUDPMultipleMessagesVectorSize(64)
		newServer({address = "192.0.2.53:53", healthCheckMode = "up"})
		${2:-}
	LUA
}
forwarders() {
	in_client 5301 "$LOAD" forward 10.244.1.1 5301 192.0.2.53 53
	pid_floor=$started
	dnsdist_conf 5302
	in_client 5302 dnsdist --supervised --disable-syslog -C "$dir/dnsdist-5302.conf"
	pid_dnsdist=$started
	{
		echo 'domains = newSuffixMatchNode()'
		seq -f 'domains:add(newDNSName("d%05.0f.bench.test."))' 0 $((DOMAINS - 1))
		echo 'addAction(SuffixMatchNodeRule(domains), PoolAction("ours"))'
		echo 'newServer({address = "192.0.2.53:53", healthCheckMode = "up", pool = "ours"})'
	} >"$dir/suffixes.lua"
	dnsdist_conf 5303 "dofile(\"$dir/suffixes.lua\")"
	in_client 5303 dnsdist --supervised --disable-syslog -C "$dir/dnsdist-5303.conf"
	pid_suffixes=$started
	in_client 5304 dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts \
		--cache-size=0 --dns-forward-max=10000 --user=root --pid-file= --port=5304 \
		--listen-address=10.244.1.1 --bind-interfaces --server=192.0.2.53 \
		--alias=203.0.113.0,198.18.0.0,255.255.255.0
	pid_dnsmasq=$started
	dnsdist_conf 5305 'getPool(""):setCache(newPacketCache(100000))'
	in_client 5305 dnsdist --supervised --disable-syslog -C "$dir/dnsdist-5305.conf"
	pid_cache=$started
}

rp_filter() { # VALUE, of the hosts that other names pass
	local ns
	for ns in plain ruled other; do in_ns "$ns" sysctl -qw net.ipv4.conf.all.rp_filter="$1"; done
}
run() { # VARIANT [QUESTIONS]: asker, server, daemon in all, daemon in user mode; ns per question
	local n=${2:-$slice}
	case $1 in
	*0) rp_filter 0 ;;
	plain | ruled | other) rp_filter 2 ;;
	esac
	# shellcheck disable=SC2154 # server_... are set by name
	case $1 in
	floor) ask pod 10.244.1.1 5301 "$n" bench.test $real "$server_client" "$pid_floor" ;;
	conn25) ask pod 10.244.1.1 53 "$n" bench.test $magic "$server_client" "$pid_client" ;;
	dnsdist) ask pod 10.244.1.1 5302 "$n" bench.test $real "$server_client" "$pid_dnsdist" ;;
	suffixes) ask pod 10.244.1.1 5303 "$n" bench.test $real "$server_client" "$pid_suffixes" ;;
	dnsmasq) ask pod 10.244.1.1 5304 "$n" bench.test $magic "$server_client" "$pid_dnsmasq" ;;
	cache) ask pod 10.244.1.1 5305 "$n" bench.test $real "$server_client" "$pid_cache" ;;
	kernel) ask podkernel 192.0.2.53 53 "$n" bench.test $magic "$server_client" "$pid_client" ;;
	plain | plain0) ask podplain 192.0.2.53 53 "$n" other.test $real "$server_plain" "$server_plain" ;;
	ruled | ruled0) ask podruled 192.0.2.53 53 "$n" other.test $real "$server_ruled" "$server_ruled" ;;
	other | other0) ask podother 192.0.2.53 53 "$n" other.test $real "$server_other" "$pid_other" ;;
	esac >"$dir/run" || fatal "$1 failed" "$(tail -n 3 "$dir/forwarders.log" "$dir"/*.log)"
	awk '{ print $2, $3, $5, $6 }' "$dir/run"
}

dns_netmap
dns_client --dns-intercept 'kpod*' --dns-intercept-to 192.0.2.53
dns_chain podplain plain netplain
dns_chain podruled ruled netruled
ip -n ruled rule add to 198.51.100.0/24 lookup 100
dns_interceptor
forwarders
variants=(floor conn25 dnsdist suffixes dnsmasq cache kernel plain ruled other plain0 ruled0 other0)
# Leases are made, caches filled.
warm=$((2 * DOMAINS))
for v in "${variants[@]}"; do run "$v" $warm >/dev/null || exit 1; done
answered=$(reason client dns_answered)

seen=$(reason other dns_taken)
for ((round = 0; round < ROUNDS; round++)); do
	n=${#variants[@]}
	for ((k = 0; k < n * SLICES; k++)); do # who goes first changes from slice to slice
		v=${variants[(k + k / n + round) % n]}
		figures=$(run "$v") || exit 1
		echo "$round $v $figures"
	done
	echo "round $((round + 1)) of $ROUNDS" >&2
done >"$dir/slices"
# A round's figures are those of its slices together.
awk '{ n[$1 " " $2]++; for (i = 3; i < 7; i++) sum[$1 " " $2, i] += $i }
	END { for (k in n) print k, sum[k, 3] / n[k], sum[k, 4] / n[k], sum[k, 5] / n[k], sum[k, 6] / n[k] }' \
	"$dir/slices" >"$dir/results"
[ $(($(reason client dns_answered) - answered)) -ge $((ROUNDS * slice * SLICES * 99 / 100)) ] ||
	fatal "the kernel left questions for leased names to the daemon"
[ "$(reason other dns_taken)" = "$seen" ] || fatal "the daemon was given questions for other names"

# stat VARIANT WHAT [OTHER [FORMAT]]: median (min - max) over the rounds.
stat() {
	awk -v x="$1" -v y="${3:-$1}" -v e="$2" -v f="${4:-%.2f}" '
		$2 == x { a[$1] = $3; s[$1] = $4; d[$1] = $5; u[$1] = $6 }
		$2 == y { A[$1] = $3; S[$1] = $4; D[$1] = $5 }
		END {
			for (r in a) {
				if (e == "daemon") print d[r] / 1000
				if (e == "kernel") print 100 * (d[r] - u[r]) / d[r]
				if (e == "whole") print (a[r] + s[r] + d[r]) / 1000
				if (e == "daemons") print d[r] / D[r]
				if (e == "wholes") print (a[r] + s[r] + d[r]) / (A[r] + S[r] + D[r])
				if (e == "path") print a[r] + s[r]
				if (e == "answer") print (a[r] - A[r] + d[r]) / 1000
				if (e == "answers") print (a[r] - A[r] + d[r]) / D[r]
				if (e == "more") print a[r] + s[r] - A[r] - S[r]
			}
		}' "$dir/results" | sort -n | awk -v f="${4:-%.2f}" '
		{ v[NR] = $1 }
		END { m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
		      printf f " (" f " - " f ")", m, v[1], v[NR] }'
}
printf '%s rounds of %s questions, one core, %s domains; median (minimum - maximum)\n\n' \
	"$ROUNDS" "$QUERIES" "$DOMAINS"
printf '%-39s %-21s %-15s %-21s %-20s %s\n' "CPU us of a forwarded question" "the daemon's" \
	"kernel, %" "conn25 to it" "with asker, server" "conn25 to it"
row() { # TEXT VARIANT
	printf '%-39s %-21s %-15s %-21s %-20s %s\n' "$1" "$(stat "$2" daemon)" \
		"$(stat "$2" kernel "" %.0f)" "$(stat conn25 daemons "$2")" "$(stat "$2" whole)" \
		"$(stat conn25 wholes "$2")"
}
row "conn25, all names leased and rewritten" conn25
row "a forwarder that only forwards" floor
row "dnsdist" dnsdist
row "dnsdist, the domains in a suffix rule" suffixes
row "dnsmasq, rewriting by alias" dnsmasq
echo
printf '%-42s %-21s %s\n' "CPU us of an answer" "the answerer's" "with asker"
printf '%-42s %-21s %s\n' "leased names, from the kernel" "$(stat kernel answer cache)" "$(stat kernel whole)"
printf '%-42s %-21s %s\n' "dnsdist, from its warm packet cache" "$(stat cache daemon)" "$(stat cache whole)"
printf '%-42s %-21s %s\n' "the kernel to it" "$(stat kernel answers cache)" "$(stat kernel wholes cache)"
others() { # SUFFIX TEXT
	printf '%-42s %s\n' "other names past the matcher, ns$2" "$(stat "other$1" path "" %.0f)"
	printf '%-42s %s\n' "without conn25, ns" "$(stat "plain$1" path "" %.0f)"
	printf '%-42s %s\n' "without conn25, with one ip rule, ns" "$(stat "ruled$1" path "" %.0f)"
	printf '%-42s %s\n' "more with conn25, ns" "$(stat "other$1" more "plain$1" %.0f)"
	printf '%-42s %s\n' "of these for having any ip rule, ns" "$(stat "ruled$1" more "plain$1" %.0f)"
	printf '%-42s %s\n' "and the matcher's own, ns" "$(stat "other$1" more "ruled$1" %.0f)"
	printf '%-42s %s\n' "CPU of the daemon meanwhile, us" "$(stat "other$1" daemon "" %.4f)"
}
echo
others "" ""
echo
others 0 ", rp_filter=0"
