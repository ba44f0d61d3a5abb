#!/usr/bin/env bash
# --peerapi-tls-*: who is let in with which certificate, to whom a client speaks, and renewal.
# shellcheck disable=SC2016,SC2154,SC2317 # variables that lib.sh sets by name; functions that check calls
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
apps='.apps = [
	{ name: "web", domains: ["example.com", "*.example.net"], connectors: ["tag:exit"], clients: ["tag:workers"] },
	{ name: "doh", domains: ["*.example.org"], connectors: ["tag:exit"], clients: ["tag:workers"], resolve: "connector" } ]
	| .nodes += [{ id: "other", addresses: ["100.101.0.3"], underlay: "192.0.2.13" }]'
netmap "$apps"
standard_zones
dns_server
web_server

# Certificates.
ca() { # NAME
	certtool --generate-privkey --ecc --outfile "$dir/$1.key" >/dev/null 2>&1
	printf 'cn = "%s"\nca\ncert_signing_key\nexpiration_days = 10\n' "$1" >"$dir/template"
	certtool --generate-self-signed --load-privkey "$dir/$1.key" --template "$dir/template" \
		--outfile "$dir/$1.pem" >/dev/null 2>&1
}
# leaf CA NAME LINE...: $dir/NAME.pem and .key
leaf() {
	local ca=$1 name=$2
	shift 2
	certtool --generate-privkey --ecc --outfile "$dir/$name.key" >/dev/null 2>&1
	printf '%s\n' "cn = \"$name\"" signing_key tls_www_client tls_www_server "$@" >"$dir/template"
	certtool --generate-certificate --load-privkey "$dir/$name.key" --template "$dir/template" \
		--load-ca-certificate "$dir/$ca.pem" --load-ca-privkey "$dir/$ca.key" \
		--outfile "$dir/$name.pem" >/dev/null 2>&1 || fatal "certtool makes $name"
}
ca ca
ca foreign
leaf ca client 'dns_name = "client"'
leaf ca client-ip 'ip_address = "100.101.0.1"'
leaf ca client-ip6 'ip_address = "fd25::1"'
leaf ca other 'dns_name = "other"' 'ip_address = "100.101.0.3"'
leaf ca wildcard 'dns_name = "*"' 'dns_name = "cl*"'
leaf ca nameless
leaf ca connector 'dns_name = "connector"'
leaf foreign foreign-client 'dns_name = "client"'
leaf foreign foreign-connector 'dns_name = "connector"'
leaf ca expired 'dns_name = "client"' 'activation_date = "2020-01-01 00:00:00"' \
	'expiration_date = "2020-02-01 00:00:00"'
printf '%s\n' 'cn = "client"' signing_key tls_www_server 'dns_name = "client"' >"$dir/template"
certtool --generate-certificate --load-privkey "$dir/client.key" --template "$dir/template" \
	--load-ca-certificate "$dir/ca.pem" --load-ca-privkey "$dir/ca.key" --outfile "$dir/server-only.pem" 2>/dev/null
cp "$dir/client.key" "$dir/server-only.key"

# As Kubernetes mounts a secret: files are links through ..data, which is swapped.
generation=0
mount_secret() { # NODE CERT [CA]
	local at=$dir/secret-$1 to
	generation=$((generation + 1)) to=..$generation
	mkdir -p "$at/$to"
	cp "$dir/$2.pem" "$at/$to/tls.crt"
	cp "$dir/$2.key" "$at/$to/tls.key"
	cat "$dir/${3:-ca}.pem" >"$at/$to/ca.crt"
	ln -sfn "$to" "$at/..new"
	mv -T "$at/..new" "$at/..data"
	for f in tls.crt tls.key ca.crt; do
		[ -L "$at/$f" ] || ln -s "..data/$f" "$at/$f"
	done
}
tls_flags() { # NODE
	flags=(--peerapi-tls-cert "$dir/secret-$1/tls.crt" --peerapi-tls-key "$dir/secret-$1/tls.key"
		--peerapi-tls-ca "$dir/secret-$1/ca.crt")
}
mount_secret connector connector
mount_secret client client
tls_flags connector
conn25_start connector "${flags[@]}" --dns-upstream 192.0.2.53 --log-level debug --metrics-listen 127.0.0.1:9925
tls_flags client
conn25_start client "${flags[@]}" --log-level debug

api=100.101.0.9:8025/v0/connector/transit-ip
# ask CERT [CURL-ARGS...]: status, "000" where the handshake fails
ask() {
	local cert=$1
	shift
	in_ns client curl -sS --max-time 5 -o "$dir/body" -w '%{http_code}' --cacert "$dir/ca.pem" \
		--resolve connector:8025:100.101.0.9 --cert "$dir/$cert.pem" --key "$dir/$cert.key" \
		-d '{}' "$@" "https://connector:8025/v0/connector/transit-ip" 2>"$dir/curl.err"
}

# The server.
check_eq "a peer with a certificate of its id is answered" 200 "$(ask client)"
check_eq "so is one with its IPv4 address in it" 200 "$(ask client-ip)"
check_eq "or its IPv6 address" 200 "$(ask client-ip6)"
check_eq "another peer's certificate is 403" 403 "$(ask other)"
check_eq "whatever it asks for" 403 "$(ask other --request-target /nothing)"
check_eq "also for names" 403 "$(ask other --request-target '/dns-query?app=doh' -H 'Content-Type: application/dns-message')"
check_eq "a wildcard is nobody's" 403 "$(ask wildcard)"
check_eq "so is a certificate with a common name alone" 403 "$(ask nameless)"
check_eq "a CA that is not ours is refused in the handshake" 000 "$(ask foreign-client)"
check_eq "so is an expired certificate" 000 "$(ask expired)"
check_eq "one that is for servers alone" 000 "$(ask server-only)"
none=$(in_ns client curl -sS --max-time 5 -o /dev/null -w '%{http_code}' --cacert "$dir/ca.pem" \
	--resolve connector:8025:100.101.0.9 -d '{}' https://connector:8025/v0/connector/transit-ip 2>/dev/null)
check_eq "and none at all" 000 "$none"
plain=$(in_ns client curl -sS --max-time 5 -o /dev/null -w '%{http_code}' -d '{}' "http://$api" 2>/dev/null)
check_eq "plain HTTP is not answered" 000 "$plain"
check_eq "TLS before 1.2 is not spoken" 000 "$(ask client --tls-max 1.1 --ciphers 'ALL:@SECLEVEL=0')"
ip -n internet route add 100.101.0.9 via 192.0.2.19
stranger=$(in_ns internet curl -sS --max-time 5 -o /dev/null -w '%{http_code}' --cacert "$dir/ca.pem" \
	--resolve connector:8025:100.101.0.9 --cert "$dir/client.pem" --key "$dir/client.key" -d '{}' \
	https://connector:8025/v0/connector/transit-ip 2>/dev/null)
check_eq "a good certificate from an address that is no peer's is 403" 403 "$stranger"

# The client.
works() { [[ $(lookup client "n$((next += 1)).example.net" A) == 198.18.* ]]; }
next=0
check_match "a name is registered over TLS" '^198\.18\.' "$(lookup client host.example.net A)"
check "and carries traffic" in_ns client curl -sS --max-time 3 -o /dev/null "http://$(lookup client host.example.net A)/"
check_match "names resolve at the connector over TLS" '^198\.18\.' "$(lookup client example.org A)"
check_match "explain shows https by itself" 'connector at https://100\.101\.0\.9:8025, healthy' "$(conn25 client explain example.com)"
sockets() { in_ns client ss -Htn state established dport = :8025 | awk '{ print $3 }' | sort; }
had=$(sockets)
for _ in 1 2 3 4 5; do works; done
check_eq "connections are kept" "$had" "$(sockets)"
check_eq "no key is logged" "" "$(grep -l 'PRIVATE KEY' "$dir"/*.log)"

# Renewal.
renewed() { [ "$(grep -c 'taken up anew' "$dir/$1.log")" -ge "$2" ]; }
leaf ca connector2 'ip_address = "100.101.0.9"'
mount_secret connector connector2
check "a renewed certificate is taken up without a restart" wait_for 3 renewed connector 1
shown() {
	in_ns client openssl s_client -connect 100.101.0.9:8025 -CAfile "$dir/ca.pem" \
		-cert "$dir/client.pem" -key "$dir/client.key" </dev/null 2>/dev/null | openssl x509 -noout -subject
}
check_match "and is what peers are shown" 'connector2' "$(shown)"
check "one with the connector's address is as good for the client" works
gone() { [ -z "$(comm -12 <(echo "$had") <(sockets))" ]; }
check "connections of before end" wait_for 4 gone
mount_secret client client-ip
check "the client's own too" wait_for 3 renewed client 1
check "and it goes on" works

# What does not fit stays out.
cp "$dir/client.key" "$dir/mismatch.key"
cp "$dir/other.pem" "$dir/mismatch.pem"
mount_secret connector mismatch
check "a key of another certificate is refused" wait_for 3 grep -q \
	'is not the key of the certificate in .*the certificate before stays in force' "$dir/connector.log"
check "and the one before goes on" works
check_match "it is counted" '^conn25_peerapi_tls_reloads_total\{outcome="refused"\} [1-9]' \
	"$(in_ns connector curl -sS http://127.0.0.1:9925/metrics | grep '^conn25_peerapi_tls_reloads_total{outcome="refused"')"
ends=$(date -d "$(openssl x509 -noout -enddate -in "$dir/connector2.pem" | cut -d= -f2)" +%s)
check_eq "when the one in use ends is told" "$ends" \
	"$(in_ns connector curl -sS http://127.0.0.1:9925/metrics | awk '/^conn25_peerapi_tls_certificate_expiry/ { printf "%d", $2 }')"

# The connector that is another's, or of another CA.
silent() { ! works; }
leaf ca impostor 'dns_name = "other"' 'dns_name = "*"'
mount_secret connector impostor
check "a certificate of another node is taken up" wait_for 3 renewed connector 2
check "its own node is warned" wait_for 3 grep -q 'is not this node.s: peers refuse it' "$dir/connector.log"
check "a client does not speak to a connector with another's certificate" wait_for 5 silent
check "and says why" wait_for 3 grep -q \
	'connector connector does not answer (its certificate is not that node.s' "$dir/client.log"
mount_secret connector connector
check "the right one works again" wait_for 8 works
mount --bind "$(mktemp -d)" /etc/ssl/certs
cp "$dir/foreign.pem" "/etc/ssl/certs/$(openssl x509 -noout -hash -in "$dir/foreign.pem").0"
mount_secret connector foreign-connector foreign
check "a connector of another CA is left, also where the host trusts that CA" wait_for 8 silent
check "and the log says that the certificate cannot be verified" wait_for 3 grep -qiE \
	'connector connector does not answer \(.*(certificate|alert)' "$dir/client.log"
cat "$dir/ca.pem" "$dir/foreign.pem" >"$dir/both.pem"
mount_secret connector connector both
mount_secret client client both
check "with both CAs on both ends all is well" wait_for 8 works
check_eq "the foreign one is let in now" 200 "$(ask foreign-client)"
mount_secret connector connector ca
check "a CA that is taken out" wait_for 3 eval '[ "$(ask foreign-client)" = 000 ]'

# A netmap that gives the address to another node: its certificate counts, on kept connections too.
mount_secret client client
works
id='.nodes |= map(if .id == "connector" then .id = "renamed" else . end)'
netmap_reload client "$apps | $id"
check "a kept connection is no way around the netmap" wait_for 8 silent
netmap_reload client "$apps"
check "with the id of its certificate it is the connector again" wait_for 8 works

# Plain where the netmap says so.
netmap_reload client "$apps | .nodes[1].peerAPI = \"http://100.101.0.9:8025\""
check "plain HTTP in spite of certificates is warned of" grep -q \
	'/nodes/1/peerAPI: http://100\.101\.0\.9:8025 is plain HTTP in spite of --peerapi-tls-cert' "$dir/client.log"
check "and a connector with TLS does not answer it" wait_for 8 silent
netmap_reload client "$apps"
check "the default is https" wait_for 8 works

# Wrong use.
run_client() {
	in_ns client timeout 5 "$CONN25" run --netmap "$netmap_file" --node client --pin /sys/fs/bpf/x \
		--control /run/x.sock --dns-listen off --dns-upstream 192.0.2.53 "$@" 2>&1
}
out=$(run_client --peerapi-tls-cert "$dir/client.pem")
check_eq "one of the three alone is wrong usage" 2 $?
check_match "and told" 'peerapi-tls-cert, --peerapi-tls-key and --peerapi-tls-ca go together' "$out"
try() { # CLAIM REGEX CERT KEY CA
	out=$(run_client --peerapi-tls-cert "$3" --peerapi-tls-key "$4" --peerapi-tls-ca "$5")
	check_eq "$1 ends the start with 1" 1 $?
	check_match "and is told" "$2" "$out"
}
echo nothing >"$dir/nothing"
try "a key that is not there" "peerapi-tls-key $dir/none: No such file" "$dir/client.pem" "$dir/none" "$dir/ca.pem"
try "a key of another certificate" 'is not the key of the certificate in' "$dir/client.pem" "$dir/other.key" "$dir/ca.pem"
try "a file that is no key" 'no private key in PEM' "$dir/client.pem" "$dir/nothing" "$dir/ca.pem"
try "a file that is no certificate" 'peerapi-tls-cert .*no certificate in PEM' "$dir/nothing" "$dir/client.key" "$dir/ca.pem"
try "a file that is no CA" 'peerapi-tls-ca .*no certificate in PEM' "$dir/client.pem" "$dir/client.key" "$dir/nothing"
conn25_stop client
check_eq "the client ends in order" 0 $?
conn25 client detach >/dev/null 2>&1
conn25_start client --peerapi-tls-cert "$dir/expired.pem" --peerapi-tls-key "$dir/expired.key" --peerapi-tls-ca "$dir/foreign.pem"
check "an expired certificate is told of, and what to do" grep -q \
	'error: .*expired.pem has expired on 2020-02-01T00:00:00Z: peers refuse it; put a valid one there' "$dir/client.log"
check "so is one that the CA did not sign" grep -q 'warn: .*is not signed by a CA of' "$dir/client.log"
conn25_stop connector
check_eq "the connector ends in order" 0 $?
finish
