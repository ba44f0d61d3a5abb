#!/usr/bin/env bash
# DNS answers: what is rewritten, what passes, what is refused.
# shellcheck disable=SC2016,SC2128,SC2154,SC2178,SC2317 # jq's and eval's own; variables that lib.sh sets by name
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
apps='.apps = [{ name: "lab", domains: ["exact.test", "*.lab.test"], connectors: ["tag:exit"],
	clients: ["tag:workers"] }]'
netmap "$apps"

label() { printf "%s%.0s" "$1" $(seq 1 60); }
name250=$(label k).$(label l).$(label m).yyyyyyyyy.$(label n).lab # 250 characters with .test
{
	cat <<-'ZONE'
		$ORIGIN test.
		$TTL 300
		@ SOA ns hostmaster 1 3600 600 86400 60
		@ NS ns
		ns A 192.0.2.53
		exact A 198.51.100.210
		sub.exact A 198.51.100.211
		xlab A 198.51.100.213
		lab A 198.51.100.212
		lab AAAA 2001:db8:25::212
		a.lab 77 A 198.51.100.220
		twice.lab A 198.51.100.221
		twice.lab A 203.0.113.21
		both.lab A 198.51.100.222
		both.lab A 203.0.113.22
		other.lab A 198.51.100.223
		meta.lab A 169.254.169.254
		v4only.lab A 203.0.113.4
		v6only.lab AAAA 2001:db8:25::6
		chain.lab CNAME two.lab
		two.lab CNAME three.other
		three.other A 203.0.113.3
		dangling.lab CNAME nowhere.other
		text.lab TXT "some text"
		text.lab MX 10 mail.lab
		text.lab CAA 0 issue "ca.example"
		_s._tcp.lab SRV 1 2 443 mail.lab
		mail.lab A 203.0.113.25
		odd.lab TYPE65280 \# 4 01020304
		svc.lab HTTPS 1 . alpn="h2,h3" port=8443 ipv4hint=203.0.113.20,203.0.113.21 ipv6hint=2001:db8:25::20
		svc.lab SVCB 1 cdn.other.test. alpn="h2" ipv4hint=203.0.113.20
		alias.lab HTTPS 0 svc.lab
		mand.lab HTTPS 1 . mandatory=alpn,ipv6hint alpn="h2" ipv6hint=2001:db8:25::20
		signed.lab A 203.0.113.40
		@ RRSIG SOA 8 1 300 20360101000000 20200101000000 1 test. AAAA
		@ RRSIG DNSKEY 8 1 300 20360101000000 20200101000000 1 test. AAAA
		signed.lab RRSIG A 8 3 300 20360101000000 20200101000000 1 test. AAAA
		signed.lab TXT "signed text"
		signed.lab RRSIG TXT 8 3 300 20360101000000 20200101000000 1 test. AAAA
		signed.other A 203.0.113.41
		signed.other RRSIG A 8 3 300 20360101000000 20200101000000 1 test. AAAA
	ZONE
	echo "long.lab CNAME $(label b).$(label c).$(label d).other"
	echo "$(label b).$(label c).$(label d).other CNAME $(label e).$(label f).$(label g).other"
	echo "$(label e).$(label f).$(label g).other CNAME $(label h).$(label i).$(label j).other"
	echo "$(label h).$(label i).$(label j).other A 203.0.113.5"
	echo "$name250 A 203.0.113.6"
	for i in $(seq 1 30); do
		echo "thirty-addresses.lab A 203.0.113.$((i + 100))"
	done
	for i in $(seq 1 60); do
		echo "n$i.lab A 203.0.113.$((i + 50))"
	done
} | zone test
dns_server
conn25_start connector
client_flags=(--dns-listen 127.0.0.1:53 --dns-listen "[::1]:53" --dns-upstream 192.0.2.53)
conn25_start client

q() { in_ns client dig +time=3 +tries=1 +nocookie @127.0.0.1 "$@"; }
direct() { in_ns client dig +time=3 +tries=1 +nocookie @192.0.2.53 "$@"; }
records() { q +noall "+${section:-answer}" "$@" | tr -s '\t ' ' '; }
status() { q "$@" | sed -n 's/.*status: \([A-Z]*\).*/\1/p'; }
flags() { q "$@" | sed -n 's/^;; flags: \([a-z ]*\);.*/\1/p'; }
count() { q "$@" | sed -n 's/^;; flags:.*ANSWER: \([0-9]*\),.*/\1/p'; }
counts() { q "$@" | sed -n 's/^;; flags:.*QUERY: \(.*\)/\1/p'; }
outcome() { echo "$(status "$@") $(count "$@")"; }

# Which names.
check_match "an exact domain is ours" '^198\.18\.' "$(q +short exact.test)"
check_eq "what is below an exact domain is not" 198.51.100.211 "$(q +short sub.exact.test)"
check_match "a wildcard covers what is below" '^198\.18\.' "$(q +short a.lab.test)"
check_match "a wildcard covers its own domain" '^198\.18\.' "$(q +short lab.test)"
check_eq "a wildcard goes by whole labels" 198.51.100.213 "$(q +short xlab.test)"
check_match "the case of the question is kept, its record owned by it" \
	'^A\.lAb\.tEsT\. [0-9]+ IN A 198\.18\.' "$(records A.lAb.tEsT)"
check_eq "case makes no other lease" "$(q +short a.lab.test)" "$(q +short A.LAB.TEST)"

# Addresses.
check_match "the TTL is as upstream gave it" '^a\.lab\.test\. 77 IN A 198\.18\.[0-9.]+$' "$(records a.lab.test)"
check_match "a CNAME chain is one record owned by the question" \
	'^chain\.lab\.test\. 300 IN A 198\.18\.[0-9.]+$' "$(records chain.lab.test)"
check_eq "its CNAMEs are not shown" 1 "$(count chain.lab.test)"
check_eq "two addresses are two magic ones" 2 "$(q +short twice.lab.test | sort -u | grep -c '^198\.18\.')"
[ "$(q +short svc.lab.test HTTPS | grep -oE '198\.18\.[0-9.]+' | sort -u | wc -l)" = 2 ]
check_eq "hints are magic addresses of their own" 0 $?

# HTTPS and SVCB.
https=$(records svc.lab.test HTTPS)
check_match "an HTTPS record keeps its ALPN and port" 'HTTPS 1 \. alpn="h2,h3" port=8443' "$https"
check_match "its hints are magic addresses" \
	'ipv4hint=198\.18\.[0-9.]+,198\.18\.[0-9.]+ ipv6hint=fd25:a::[0-9a-f]*$' "$https"
check_match "an SVCB record's target becomes this name" 'SVCB 1 \. alpn="h2" ipv4hint=198\.18\.' \
	"$(records svc.lab.test SVCB)"
check_eq "an AliasMode record is left out" "NOERROR 0" "$(outcome alias.lab.test HTTPS)"
check_match "mandatory stands while its hint does" 'mandatory=alpn,ipv6hint' "$(records mand.lab.test HTTPS)"

# What passes.
check_match "TXT passes" 'TXT "some text"' "$(records text.lab.test TXT)"
check_match "MX passes" 'MX 10 mail\.lab\.test\.' "$(records text.lab.test MX)"
check_match "CAA passes" 'CAA 0 issue "ca\.example"' "$(records text.lab.test CAA)"
check_match "SRV passes" 'SRV 1 2 443 mail\.lab\.test\.' "$(records _s._tcp.lab.test SRV)"
check_match "SOA passes in the authority of another's NODATA" 'test\. 60 IN SOA' \
	"$(section=authority records lab.test SOA)"
check_eq "NS passes as NODATA" "NOERROR 0" "$(outcome lab.test NS)"
check_eq "NXDOMAIN passes" NXDOMAIN "$(status nothing.lab.test)"
check_match "with its authority" 'IN SOA' "$(section=authority records nothing.lab.test)"
check_eq "NODATA passes" "NOERROR 0" "$(outcome v4only.lab.test AAAA)"
check_match "with its authority" 'IN SOA' "$(section=authority records v4only.lab.test AAAA)"
check_match "a dangling chain passes with its CNAME" 'NXDOMAIN 1' "$(outcome dangling.lab.test)"
check_eq "ANY is empty" "NOERROR 0" "$(outcome +tcp a.lab.test ANY)"
check_eq "an unknown type is empty" "NOERROR 0" "$(outcome odd.lab.test TYPE65280)"
check_match "which upstream does have" '01020304' "$(direct +short odd.lab.test TYPE65280)"

# What is left of an answer.
check_match "upstream tells addresses in the additional section" 'mail\.lab\.test\.' \
	"$(direct +noall +additional text.lab.test MX)"
check_eq "only OPT survives of it" "" "$(section=additional records text.lab.test MX)"
check_match "OPT does, where asked with one" 'ADDITIONAL: 1' "$(counts text.lab.test MX)"
check_match "and not where asked without" 'ADDITIONAL: 0' "$(counts +noedns text.lab.test MX)"
check_match "without EDNS addresses come too" '^198\.18\.' "$(q +noedns +short a.lab.test)"
check_match "upstream signs" 'RRSIG' "$(direct +dnssec +noall +answer signed.lab.test)"
check_match "signatures are left out of a rewritten answer" '^signed\.lab\.test\. 300 IN A 198\.18\.[0-9.]+$' \
	"$(records +dnssec signed.lab.test)"
check_match "and of one that passes" '^signed\.lab\.test\. 300 IN TXT "signed text"$' \
	"$(records +dnssec signed.lab.test TXT)"
check_match "but not of names that are not configured" RRSIG "$(records +dnssec signed.other.test)"
check_eq "AD is not set" 0 "$(flags +adflag a.lab.test | grep -cw ad)"

# Sizes.
check_match "30 addresses without EDNS over UDP are truncated" '\btc\b' "$(flags +noedns +ignore thirty-addresses.lab.test)"
check_eq "and all come over TCP" 30 "$(q +tcp +short thirty-addresses.lab.test | grep -c '^198\.18\.')"
check_eq "dig gets there by itself" 30 "$(q +noedns +short thirty-addresses.lab.test | sort -u | grep -c '^198\.18\.')"
check_eq "30 fit an EDNS size of 1232" 30 "$(q +bufsize=1232 +ignore +short thirty-addresses.lab.test | grep -c '^198\.18\.')"
check_match "and not one of 512" '\btc\b' "$(flags +bufsize=512 +ignore thirty-addresses.lab.test)"
check_match "upstream cuts a long chain short" '\btc\b' "$(direct +noedns +ignore long.lab.test | grep flags)"
tcp_segments() { in_ns internet nstat -asz TcpInSegs | awk '/Tcp/ { print $2 }'; }
before=$(tcp_segments)
check_match "conn25 asks again over TCP, and its short answer comes over UDP" '^198\.18\.' \
	"$(q +noedns +ignore +short long.lab.test)"
[ "$(tcp_segments)" -gt "$before" ]
check_eq "upstream was asked over TCP" 0 $?

# Transports.
check_match "the forwarder answers over IPv6" '^198\.18\.' \
	"$(in_ns client dig +short +time=3 +tries=1 @::1 a.lab.test)"
check_match "and over IPv6 TCP" '^198\.18\.' \
	"$(in_ns client dig +tcp +short +time=3 +tries=1 @::1 a.lab.test)"
check_match "the forwarder's answers come from the address asked" '^198\.18\.' \
	"$(in_ns client dig +short +time=3 +tries=1 -b 127.0.0.2 @127.0.0.1 a.lab.test)"

for server in 127.0.0.1 ::1; do
	for how in +notcp +tcp; do
		check_match "a name of 250 characters, from $server $how" '^198\.18\.' \
			"$(in_ns client dig "$how" +short +time=3 +tries=1 "@$server" "$name250.test")"
	done
done

# glibc's own resolver.
libc() { # RESOLV-CONF NAME: its IPv4 addresses
	printf "%b" "$1" >"$dir/resolv.conf"
	in_ns client unshare --mount sh -c \
		"mount --bind '$dir/resolv.conf' /etc/resolv.conf && getent ahostsv4 '$2'" | grep STREAM
}
for conf in 'nameserver 127.0.0.1\n' 'nameserver ::1\n' 'nameserver 127.0.0.1\noptions use-vc\n' \
	'nameserver ::1\noptions use-vc\n' 'nameserver 127.0.0.1\noptions edns0\n'; do
	check_eq "getaddrinfo() gives all 30 addresses, $conf" 30 \
		"$(libc "$conf" thirty-addresses.lab.test | grep -c '^198\.18\.')"
	check_match "and that of a name of 250 characters" '^198\.18\.' "$(libc "$conf" "$name250.test")"
	check_match "and one in mixed case" '^198\.18\.' "$(libc "$conf" A.lAb.tESt)"
done

# Byte for byte.
query() { # NAME TYPE [EXTRA-HEX ARCOUNT]
	printf 'c25a0100000100000000%04x' "${4:-0}"
	local l
	for l in ${1//./ }; do
		printf '%02x' ${#l}
		printf %s "$l" | xxd -p | tr -d '\n'
	done
	printf '00%04x0001%s' "$2" "${3:-}"
}
raw() { # SERVER HEX
	printf %s "$2" | xxd -r -p | in_ns client socat -t 0.3 - "UDP4:$1:53" | xxd -p | tr -d '\n'
}
same() { # CLAIM HEX
	local want got
	want=$(raw 192.0.2.53 "$2") got=$(raw 127.0.0.1 "$2")
	if [ -n "$want" ]; then
		check_eq "$1" "$want" "$got"
	else
		not_ok "$1" "upstream gave no answer"
	fi
}
same "an answer for a name not configured is passed byte for byte" "$(query sub.exact.test 1)"
same "also with EDNS, DO and an option unknown to us" \
	"$(query signed.other.test 1 0000291000000080000008fde90004c0ffee00 1)"
same "also an NXDOMAIN" "$(query nowhere.other.test 28)"
same "also a question of class CH" "c25a01000001000000000000""05""7465737431""00""00100003"
same "also one of a configured name in class CH" \
	"$(query a.lab.test 1 | sed 's/0001$/0003/')"
same "also two questions in one" \
	"c25a01000002000000000000""016103""6c6162""0474657374""0000010001""016103""6c6162""0474657374""0000010001"

# Hostile and broken clients.
head -c 200000 /dev/urandom | in_ns client socat -b 1400 -u - UDP4:127.0.0.1:53
for i in $(seq 1 20); do
	head -c "$i" /dev/urandom | in_ns client socat -u - UDP4:127.0.0.1:53
	query a.lab.test 1 | head -c $((2 * i)) | xxd -r -p | in_ns client socat -u - UDP4:127.0.0.1:53
done
head -c 100000 /dev/urandom | in_ns client socat -T 1 -t 0.1 - TCP4:127.0.0.1:53 >/dev/null 2>&1
printf '\0\0\0\0\0\1x' | in_ns client socat -T 1 -t 0.1 - TCP4:127.0.0.1:53 >/dev/null 2>&1
printf '\377\377abc' | in_ns client socat -t 0.1 - TCP4:127.0.0.1:53 >/dev/null 2>&1
check_match "garbage over UDP and TCP does not hurt" '^198\.18\.' "$(q +short n1.lab.test)"
check_eq "the daemon is the same" 1 "$(grep -c ready "$dir/client.log")"
two=$(
	{
		printf '%04x%s' 29 "$(query n2.lab.test 1)"
		printf '%04x%s' 29 "$(query n3.lab.test 1)"
	} | xxd -r -p | in_ns client socat -t 0.5 - TCP4:127.0.0.1:53 | xxd -p | tr -d '\n' | grep -o c612 | wc -l
)
check_eq "two questions in one TCP segment get two answers" 2 "$two"

# A family that cannot be carried, and addresses the connector refuses.
netmap_reload "client connector" "$apps | del(.ipPools.v6MagicIPPool, .ipPools.v6TransitIPPool)"
check_eq "a family without pool is empty" "NOERROR 0" "$(outcome v6only.lab.test AAAA)"
check_match "the other family works" '^198\.18\.' "$(q +short lab.test)"
https=$(records svc.lab.test HTTPS)
check_match "a hint of a family without pool is dropped" 'port=8443 ipv4hint=198\.18\.[0-9.,]+$' "$https"
check_match "and mandatory is mended" 'HTTPS 1 \. mandatory=alpn alpn="h2"$' "$(records mand.lab.test HTTPS)"

netmap_reload "client connector" "$apps | .apps[0].routes = [\"203.0.113.0/24\"]"
check_match "an address the connector refuses is left out" '^198\.18\.[0-9.]+$' "$(q +short both.lab.test)"
check_eq "while the other remains" 1 "$(count both.lab.test)"
check_eq "all refused is SERVFAIL" "SERVFAIL 0" "$(outcome other.lab.test)"
check_eq "an answer whose family no route carries is SERVFAIL" "SERVFAIL 0" "$(outcome v6only.lab.test AAAA)"
netmap_reload "client connector" "$apps"
check_eq "the cloud's metadata address is refused" SERVFAIL "$(status meta.lab.test)"
check_match "what was refused works once it is permitted" '^198\.18\.' "$(q +short other.lab.test)"

netmap_reload "client connector" "$apps | .nodes[0].addresses = [\"100.101.0.1\"]"
check_eq "a family the connector answers with code 3 is empty" "NOERROR 0" "$(outcome n9.lab.test AAAA)"
check_eq "also where upstream has addresses of it" "NOERROR 0" "$(outcome v6only.lab.test AAAA)"
check_match "the other family works" '^198\.18\.' "$(q +short n9.lab.test)"

# A pool run dry.
netmap_reload "client connector" "$apps | .ipPools.v4MagicIPPool = [\"198.19.0.0/31\"]"
check_eq "two addresses of two work" 2 "$(q +short twice.lab.test | grep -c '^198\.1[89]\.')"
for i in $(seq 10 14); do
	status "n$i.lab.test"
done >"$dir/dry"
check_match "a pool run dry is SERVFAIL" SERVFAIL "$(cat "$dir/dry")"
check_eq "its header says answer, authoritative" "qr aa rd ra" "$(flags n15.lab.test)"
check_match "and holds no records" '^1, ANSWER: 0, AUTHORITY: 0, ADDITIONAL: [01]$' "$(counts n15.lab.test)"
check_match "other families still work" '^fd25:a::' "$(q +short lab.test AAAA)"

# Not for us.
netmap_reload "client connector" "$apps | .nodes[0].connector = true | .apps[0].connectors = [\"*\"]"
check_eq "a name through this node itself passes" 203.0.113.70 "$(q +short n20.lab.test)"
same "byte for byte" "$(query n20.lab.test 1)"
netmap_reload "client connector" "$apps | .apps[0].clients = [\"connector\"]"
check_eq "a name that this node may not use passes" 203.0.113.70 "$(q +short n20.lab.test)"
same "byte for byte" "$(query chain.lab.test 1)"
netmap_reload "client connector" "$apps"
check_match "and becomes ours when it may" '^198\.18\.' "$(q +short n20.lab.test)"

# No connector.
conn25_stop connector
started=$(date +%s%N)
check_eq "no connector is SERVFAIL" SERVFAIL "$(status n30.lab.test)"
took=$((($(date +%s%N) - started) / 1000000))
[ $took -lt 1300 ]
check_eq "within the answer timeout ($took ms)" 0 $?
ip -n connector link set eth0 down
started=$(date +%s%N)
check_eq "a silent connector is SERVFAIL" SERVFAIL "$(status n31.lab.test)"
took=$((($(date +%s%N) - started) / 1000000))
[ $took -lt 1300 ]
check_eq "within the answer timeout ($took ms)" 0 $?
check_eq "other names do not mind" 198.51.100.211 "$(q +short sub.exact.test)"
ip -n connector link set eth0 up
ip -n connector route replace default via 198.51.100.254
conn25_start connector
check "names come back with the connector" wait_for 5 eval '[[ $(q +short n32.lab.test) == 198.18.* ]]'

# Upstreams.
conn25_stop client
in_ns internet nft 'add table ip dead; add chain ip dead in { type filter hook input priority 0; }; add rule ip dead in udp dport 5301 drop'
client_flags=(--dns-listen 127.0.0.1:53 --dns-upstream 192.0.2.53:5301 --dns-upstream 192.0.2.53:5302
	--dns-upstream "[2001:db8:2::53]:53")
conn25_start client
for name in n40.lab.test sub.exact.test; do
	check_eq "a silent upstream, then a closed one, then one that works: $name" NOERROR \
		"$(in_ns client dig +time=5 +tries=1 @127.0.0.1 "$name" | sed -n 's/.*status: \([A-Z]*\).*/\1/p')"
done
started=$(date +%s%N)
q +short n41.lab.test >/dev/null
took=$((($(date +%s%N) - started) / 1000000))
[ $took -lt 1000 ]
check_eq "a dead upstream does not cost each question ($took ms)" 0 $?
finish
