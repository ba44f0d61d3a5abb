#!/usr/bin/env bash
# The peer API as any peer sees it: codes, statuses, and whose packets a mapping carries.
# shellcheck disable=SC2016,SC2128,SC2154,SC2178,SC2317 # jq's and eval's own; variables that lib.sh sets by name
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
apps='.apps = [
	{ name: "web", domains: ["example.com", "*.example.net"], connectors: ["tag:exit"], clients: ["tag:workers"] },
	{ name: "secret", domains: ["secret.test"], connectors: ["tag:exit"], clients: ["elsewhere"] },
	{ name: "far", domains: ["far.test"], connectors: ["elsewhere"], clients: ["tag:workers"] } ]
	| .nodes += [
	{ id: "plain", addresses: ["100.101.0.2", "fd25::2"], tags: ["tag:workers"], underlay: "192.0.2.12",
	  podCIDRs: ["10.99.0.0/24"] },
	{ id: "elsewhere", addresses: ["100.101.0.3"], underlay: "192.0.2.13" } ]'
netmap "$apps"
standard_zones
dns_server
web_server

# A peer without conn25: a VXLAN device of the kernel's own, and whatever it likes to send.
lan_host plain 12
ip -n plain link add vx0 type vxlan id 25 dstport 8925 local 192.0.2.12 remote 192.0.2.19
ip -n plain link set vx0 arp off mtu 1400 up
in_ns plain nft 'add table netdev in
	add chain netdev in vx0 { type filter hook ingress device vx0 priority 0; }
	add rule netdev in vx0 meta pkttype set host'
addr plain vx0 100.101.0.2/32 fd25::2/128
ip -n plain route add 100.101.0.9 dev vx0 src 100.101.0.2
ip -n plain route add 169.254.64.0/18 dev vx0 src 100.101.0.2
ip -n plain -6 route add fd25::9 dev vx0 src fd25::2
ip -n plain -6 route add fd25:b::/96 dev vx0 src fd25::2

conn25_start connector
conn25_start client

api=http://100.101.0.9:8025
path=/v0/connector/transit-ip
http() { # NS [CURL-ARGS...]: status, then what the body says
	local ns=$1
	shift
	in_ns "$ns" curl -sS --max-time 5 -o "$dir/body" -w '%{http_code}' "$@" && echo " $(head -c 200 "$dir/body")"
}
post() { http "${from:-client}" --data-binary @- "$api$path"; }
item() { printf '{"transitIP":"%s","destinationIP":"%s","app":"%s"}' "$1" "$2" "${3:-web}"; }
request() { # ITEM...: the answer's body
	local IFS=,
	printf '{"transitIPs":[%s]}' "$*" |
		in_ns "${from:-client}" curl -sS --max-time 5 --data-binary @- "$api$path"
}
codes() { request "$@" | jq -c '[.transitIPs[].code]'; }
message() { request "$@" | jq -r '.transitIPs[-1].message'; }
mapped() { # CLIENT TRANSIT: what it means
	conn25 connector map connector --json >"$dir/map.json"
	jq -r --arg c "$1" --arg t "$2" \
		'.. | objects | select(.clientIP? == $c and .transitIP? == $t) | .destinationIP' <"$dir/map.json"
}
T=169.254.100
T6=fd25:b::100

# Statuses, in their order.
check_match "an empty list is answered" '^200 \{"transitIPs":\[\],"epoch":"[^"]+"\}' "$(echo '{"transitIPs":[]}' | post)"
check_match "so is none at all" '^200 ' "$(echo '{}' | post)"
check_match "the node itself is no peer" '^403' "$(http connector -d '{}' "$api$path")"
ip -n internet route add 100.101.0.9 via 192.0.2.19
check_match "a source that is no peer's is 403" '^403' "$(http internet -d '{}' "$api$path")"
check_match "whatever it asks for" '^403' "$(http internet "$api/nothing")"
check_match "an unknown path is 404" '^404' "$(http client -d '{}' "$api/nothing")"
check_match "a path with more behind it is one" '^404' "$(http client -d '{}' "$api$path/")"
check_match "GET is 405" '^405 Method should be POST' "$(http client "$api$path")"
check_match "PUT is 405" '^405 Method should be POST' "$(http client -X PUT -d '{}' "$api$path")"
for bad in '' '{' '[]' 'null' '{"transitIPs":{}}' '{"transitIPs":[5]}' '{"transitIPs":[]} x' \
	"{\"transitIPs\":[$(item 5.5.5 203.0.113.9)]}" \
	"{\"transitIPs\":[$(item "$T.1" "203.0.113.9 ")]}" \
	"{\"transitIPs\":[$(item "$T.1" "203.0.113.9/32")]}" \
	"{\"transitIPs\":[$(item "$T.1" '203.0.113.9\u0000')]}" \
	"{\"transitIPs\":[$(item "$T.1" 203.0.113.9),$(item "$T.2" name.test)]}" \
	'{"transitIPs":[{"transitIP":1,"destinationIP":"203.0.113.9","app":"web"}]}' \
	'{"release":["x"]}' '{"release":"169.254.100.1"}'; do
	check_match "400: $bad" '^400 Error decoding JSON' "$(printf %s "$bad" | post)"
done
check_eq "a request refused whole maps nothing" "" "$(mapped 100.101.0.1 "$T.1")"
pad() { # LENGTH
	printf '%-*s' "$1" "{\"transitIPs\":[$(item "$T.1" 203.0.113.9)]}"
}
check_match "1 MiB is taken" '^200 ' "$(pad 1048576 | post)"
check_match "a byte more is 400" '^400 Error decoding JSON' "$(pad 1048577 | post)"
check_match "also in chunks" '^400 Error decoding JSON' \
	"$(pad 1048577 | http client -H 'Transfer-Encoding: chunked' -H Expect: --data-binary @- "$api$path")"
check_match "the API goes on" '^200 ' "$(echo '{}' | post)"
check_match "it listens on IPv6 too" '^200 ' "$(http client -d '{}' "http://[fd25::9]:8025$path")"

# Codes.
check_eq "code 0: mapped" '[0]' "$(codes "$(item $T.1 203.0.113.9)")"
check_eq "the map has it" 203.0.113.9 "$(mapped 100.101.0.1 $T.1)"
check_eq "code 0: mapped anew over the old" '[0]' "$(codes "$(item $T.1 203.0.113.8)")"
check_eq "the map has the new one" 203.0.113.8 "$(mapped 100.101.0.1 $T.1)"
check_eq "no message with code 0" "" "$(request "$(item $T.1 203.0.113.8)" | jq -r '.transitIPs[0].message // ""')"
check_eq "both families in one request, in order" '[0,0]' \
	"$(codes "$(item $T6 2001:db8:25::9)" "$(item $T.1 203.0.113.8)")"
check_eq "IPv6 is kept by the peer's IPv6 address" 2001:db8:25::9 "$(mapped fd25::1 $T6)"
check_eq "code 2: a duplicate" '[0,2]' "$(codes "$(item $T.1 203.0.113.9)" "$(item $T.1 203.0.113.7)")"
check_eq "its message" 'Duplicate transit address in ConnectorTransitIPRequest' \
	"$(message "$(item $T.1 203.0.113.9)" "$(item $T.1 203.0.113.7)")"
check_eq "the first one counts" 203.0.113.9 "$(mapped 100.101.0.1 $T.1)"
check_eq "code 6: not permitted" '[6]' "$(codes "$(item $T.2 203.0.113.9 secret)")"
check_eq "its message" 'You do not have permission to use this App' "$(message "$(item $T.2 203.0.113.9 secret)")"
check_eq "code 6: no such app" '[6]' "$(codes "$(item $T.2 203.0.113.9 nothing)")"
check_eq "code 5: no connector for it" '[5]' "$(codes "$(item $T.2 203.0.113.9 far)")"
check_eq "its message" 'The App name in the request does not match a configured App' \
	"$(message "$(item $T.2 203.0.113.9 far)")"
check_eq "code 4: families differ" '[4,4]' "$(codes "$(item $T.2 2001:db8:25::9)" "$(item $T6 203.0.113.9)")"
check_eq "its message" 'Transit and Destination addresses must have matching IP family' \
	"$(message "$(item $T.2 2001:db8:25::9)")"
check_eq "an element refused by permission is no earlier one" '[6,5,0]' \
	"$(codes "$(item $T.3 203.0.113.9 secret)" "$(item $T.3 203.0.113.9 far)" "$(item $T.3 203.0.113.9)")"
check_eq "one refused for its family is" '[4,2]' \
	"$(codes "$(item $T.4 2001:db8:25::9)" "$(item $T.4 203.0.113.9)")"
check_eq "a duplicate is one before its permission is asked" '[0,2]' \
	"$(codes "$(item $T.3 203.0.113.9)" "$(item $T.3 203.0.113.9 secret)")"
check_eq "permission goes before families" '[6]' "$(codes "$(item $T.4 2001:db8:25::9 secret)")"
for denied in 127.0.0.1 169.254.169.254 224.0.0.1 0.0.0.0 255.255.255.255 100.101.0.1 100.101.0.9 198.18.0.1 $T.9; do
	check_eq "code 1: $denied is never reached" '[1]' "$(codes "$(item "$T.5" "$denied")")"
done
for denied in ::1 fe80::1 ff02::1 :: fd25::1 fd25:a::1 fd25:b::1 ::ffff:203.0.113.9; do
	check_eq "code 1: $denied is never reached" '[1]' "$(codes "$(item "$T6" "$denied")")"
done
check_eq "code 1: transit address outside the pools" '[1]' "$(codes "$(item 169.254.1.1 203.0.113.9)")"
check_eq "code 1: not reachable through an uplink" '[1]' "$(codes "$(item $T.5 192.0.2.53)")"
check_match "a message says which" '[a-z]' "$(message "$(item $T.5 192.0.2.53)")"
check_eq "a refused element never spoils the others" '[6,0,1,4,0]' \
	"$(codes "$(item $T.10 203.0.113.9 secret)" "$(item $T.11 203.0.113.9)" "$(item $T.12 127.0.0.1)" \
		"$(item $T.13 ::1)" "$(item $T.14 203.0.113.9)")"

# Release.
echo "{\"release\":[\"$T.11\",\"$T.200\",\"$T6\"]}" | post >/dev/null
check_eq "what is released is gone at once" "" "$(mapped 100.101.0.1 $T.11)$(mapped fd25::1 $T6)"
check_eq "and nothing else" 203.0.113.9 "$(mapped 100.101.0.1 $T.14)"
from=plain
check_match "releasing another peer's mapping" '^200 ' "$(echo "{\"release\":[\"$T.14\"]}" | post)"
check_eq "leaves it" 203.0.113.9 "$(mapped 100.101.0.1 $T.14)"

# Whose packets.
ping4() { in_ns plain ping -n -c 1 -W 1 "$@"; }
count_of() { reason connector "$1"; }
was=$(count_of no_mapping)
check_match "another peer's mapping does not match: ICMP code 13 from the overlay address" \
	'From 100\.101\.0\.9 .*Packet filtered' "$(ping4 $T.14)"
check_match "over IPv6 code 1" 'From fd25::9 .*dministratively prohibited' "$(in_ns plain ping -n -c 1 -W 1 fd25:b::7)"
check_eq "both are counted" $((was + 2)) "$(count_of no_mapping)"
check_eq "with a mapping of its own" '[0,0]' "$(codes "$(item $T.14 203.0.113.4)" "$(item $T6 2001:db8:25::4)")"
check "its packets go through" ping4 $T.14
check "also over IPv6" ping4 $T6
check_eq "each peer's mapping is its own" "203.0.113.9 203.0.113.4" \
	"$(mapped 100.101.0.1 $T.14) $(mapped 100.101.0.2 $T.14)"
addr plain vx0 10.99.0.7/32 10.66.0.7/32 100.101.0.1/32 fd66::1/128 fd25::1/128
check "an address of its podCIDRs may send" ping4 -I 10.99.0.7 $T.14
spoof() { # CLAIM REASON SOURCE TARGET
	local was
	was=$(count_of "$2")
	in_ns plain ping -n -c 1 -W 0.2 -I "$3" "$4" >/dev/null 2>&1
	check_eq "$1" $((was + 1)) "$(count_of "$2")"
}
spoof "a source that is nobody's is dropped" spoofed_inner 10.66.0.7 $T.14
spoof "also over IPv6" spoofed_inner fd66::1 $T6
spoof "also towards the node itself" spoofed_inner 10.66.0.7 100.101.0.9
spoof "a source that is another peer's is dropped" spoofed_outer 100.101.0.1 $T.14
spoof "also over IPv6" spoofed_outer fd25::1 $T6
spoof "also towards the node itself" spoofed_outer 100.101.0.1 100.101.0.9
spoof "a pod's address does not speak to the node" forwarded 10.99.0.7 100.101.0.9
for a in 10.99.0.7/32 10.66.0.7/32 100.101.0.1/32 fd66::1/128 fd25::1/128; do
	ip -n plain addr del "$a" dev vx0
done
ip -n plain addr add 192.0.2.14/24 dev eth0
ip -n plain link set vx0 type vxlan id 25 local 192.0.2.14 remote 192.0.2.19
spoof "a tunnel from an address that is not the peer's is dropped" spoofed_outer 100.101.0.2 $T.14
ip -n plain link set vx0 type vxlan id 25 local 192.0.2.12 remote 192.0.2.19
check "and the right one works again" ping4 $T.14
from=client

# Pods speak to no overlay address.
was=$(reason client forwarded)
in_ns pod curl -s --max-time 1 -o /dev/null "$api$path"
check_match "a pod does not reach the peer API" '^(7|28)$' $?
[ "$(reason client forwarded)" -gt "$was" ]
check_eq "and is counted" 0 $?

# Heartbeats, epoch, and what is lost.
magic4=$(lookup client host.example.net A)
magic6=$(lookup client host.example.net AAAA)
fetch() { in_ns client curl -sS --max-time 3 "http://$magic4/" "http://[$magic6]/"; }
check "traffic flows" fetch
segments() { in_ns connector nstat -asz TcpInSegs | awk '/Tcp/ { print $2 }'; }
was=$(segments)
check "a client with mappings sends heartbeats" wait_for 3 eval '[ "$(segments)" -gt "$was" ]'
epoch() { request | jq -r .epoch; }
before=$(epoch)
conn25_stop connector
conn25_start connector
check_eq "a restart keeps the epoch" "$before" "$(epoch)"
check_eq "and the mappings" 203.0.113.9 "$(mapped 100.101.0.1 $T.14)"

nsenter --net=/run/netns/client ping -n -i 0.02 -w 20 "$magic4" >"$dir/ping4" 2>&1 &
ping4=$!
nsenter --net=/run/netns/client ping -n -i 0.02 -w 20 "$magic6" >"$dir/ping6" 2>&1 &
ping6=$!
wait_for 3 grep -q 'icmp_seq=5 ' "$dir/ping6"
conn25_stop connector
conn25 connector detach >/dev/null 2>&1
answered4=$(grep -c 'bytes from' "$dir/ping4") answered6=$(grep -c 'bytes from' "$dir/ping6")
conn25_start connector
more() { [ "$(grep -c 'bytes from' "$dir/ping$1")" -gt "$2" ]; }
check "mappings that the connector lost come back by themselves" wait_for 3 more 4 "$answered4"
check "also over IPv6" wait_for 3 more 6 "$answered6"
kill -INT $ping4 $ping6
wait $ping4 $ping6
check_eq "the application saw no error" "" "$(grep -hiE '^From|filtered|prohibited|unreachable' "$dir/ping4" "$dir/ping6" | head -3)"
[ "$(reason client unmapped_held)" -gt 0 ]
check_eq "the connector's errors were kept back" 0 $?
[ "$(epoch)" != "$before" ]
check_eq "the epoch is another" 0 $?
check_eq "what nobody told again is lost" "" "$(mapped 100.101.0.1 $T.14)"
check "traffic flows" fetch

# Netmaps.
netmap_reload "client connector" "$apps | .nodes[0].addresses = [\"100.101.0.1\"]"
check_eq "code 3: the peer has no address of that family" '[3,0]' \
	"$(codes "$(item $T6 2001:db8:25::9)" "$(item $T.20 203.0.113.9)")"
check_eq "its message" 'No peer IP found with matching IP family' "$(message "$(item $T6 2001:db8:25::9)")"
netmap_reload "client connector" "$apps | .nodes |= map(select(.id != \"plain\"))"
from=plain
check_eq "a node that left the netmap is not answered" 28 "$(echo '{}' | post >/dev/null 2>&1; echo $?)"
from=client
netmap_reload "client connector" ".apps = []"
check_match "503 where no app is configured" '^503 ' "$(echo '{}' | post)"
check_match "503 goes before 405" '^503 ' "$(http client "$api$path")"
check_match "404 before 503" '^404 ' "$(http client "$api/nothing")"
check_match "403 before all" '^403 ' "$(http internet "$api/nothing")"
finish
