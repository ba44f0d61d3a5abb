#!/usr/bin/env bash
# The main path: names, addresses, real servers, both families.
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
standard

magic4=$(lookup client example.com A)
magic6=$(lookup client example.com AAAA)
check_match "an A question of a configured name gets a magic address" '^198\.18\.' "$magic4"
check_match "an AAAA question of a configured name gets a magic address" '^fd25:a::' "$magic6"
check_eq "a name that is not configured passes" 198.51.100.202 "$(lookup client example.org A)"
check_eq "the same name keeps its magic address" "$magic4" "$(lookup client example.com A)"

fetch() { # NS ADDR HOST
	in_ns "$1" curl -sS --max-time 5 --resolve "$3:80:$2" "http://$3/"
}
check_match "a page comes over IPv4, from the connector's uplink address" \
	'seen from 198\.51\.100\.1, at 198\.51\.100\.200' "$(fetch client "$magic4" example.com)"
check_match "a page comes over IPv6, from the connector's uplink address" \
	'seen from 2001:db8:1::1, at 2001:db8:25::200' "$(fetch client "[$magic6]" example.com)"
check_match "a pod behind the client reaches it over IPv4 with its own address" \
	'seen from 198\.51\.100\.1' "$(fetch pod "$magic4" example.com)"
check_match "a pod behind the client reaches it over IPv6 with its own address" \
	'seen from 2001:db8:1::1' "$(fetch pod "[$magic6]" example.com)"
check "ping answers over IPv4" in_ns client ping -c 3 -i 0.2 -W 2 "$magic4"
check "ping answers over IPv6" in_ns client ping -c 3 -i 0.2 -W 2 "$magic6"
check_eq "packets went by named reasons only: client out" true \
	"$(conn25 client status --json | jq '.reasons.client_out.packets > 10')"
finish
