#!/usr/bin/env bash
# The netmap changes while the daemons run.
# shellcheck disable=SC2016,SC2128,SC2154,SC2178,SC2317 # jq's and eval's own; variables that lib.sh sets by name
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
standard_zones
dns_server
web_server

# The connector reads a file of its own, so that the two may disagree for once.
netmap
cp "$dir/netmap.json" "$dir/connector.json"
netmap_file=$dir/connector.json
conn25_start connector

# The client's is laid out as a ConfigMap's volume is.
swaps=0
configmap() { # FILE
	swaps=$((swaps + 1))
	mkdir -p "$dir/cm/..v$swaps"
	cp "$1" "$dir/cm/..v$swaps/netmap.json"
	ln -sfn "..v$swaps" "$dir/cm/..data_tmp"
	mv -T "$dir/cm/..data_tmp" "$dir/cm/..data"
	[ -L "$dir/cm/netmap.json" ] || ln -s ..data/netmap.json "$dir/cm/netmap.json"
	rm -rf "$dir/cm/..v$((swaps - 1))"
}
configmap "$dir/netmap.json"
netmap_file=$dir/cm/netmap.json
conn25_start client
both() { # JQ-FILTER
	netmap "$1"
	cp "$dir/netmap.json" "$dir/connector.new"
	mv "$dir/connector.new" "$dir/connector.json"
	configmap "$dir/netmap.json"
}
is_magic() { [[ $(lookup client "$1" A) == ${2:-198.18}.* ]]; }
fetch() { in_ns client curl -sS --max-time 1 "http://$magic/"; }
fetch6() { in_ns client curl -sS --max-time 1 "http://[$magic6]/"; }
gone() { ! fetch; }
reloads() { grep -c 'netmap reloaded' "$dir/$1.log"; }

check_eq "a name is not configured" 198.51.100.202 "$(lookup client example.org A)"
both '.apps[0].domains += ["example.org"]'
check "a symlink swap configures it within a second" wait_for 1 is_magic example.org
check "the file before is gone" eval '[ ! -e "$dir/cm/..v1" ]'
magic=$(lookup client example.org A)
check "it carries traffic" fetch
both '.'
check "another takes it away within a second" wait_for 1 eval '[ "$(lookup client example.org A)" = 198.51.100.202 ]'
check "its mapping is cut off within a second" wait_for 1 gone
check "the connector is told to forget it" wait_for 3 eval '! conn25 connector map connector | grep -q 198.51.100.202'

# SIGHUP reads again what no event told of.
was=$(reloads client)
kill -HUP "$pid_client"
check "SIGHUP reads the file again" wait_for 1 eval '[ "$(reloads client)" -gt '"$was"' ]'
# An edit in place, as an editor without rename does.
was=$(reloads connector)
jq -c . "$dir/netmap.json" | tee "$dir/connector.json" >/dev/null
check "an edit in place is seen" wait_for 1 eval '[ "$(reloads connector)" -gt '"$was"' ]'

# A bad file is refused whole.
magic=$(lookup client example.com A)
magic6=$(lookup client example.com AAAA)
check "traffic flows" fetch
for bad in '{' '[]' '{}' '{"nodes":[],"apps":[],"ipPools":{}}' ''; do
	printf %s "$bad" >"$dir/bad.json"
	was=$(grep -c 'was refused' "$dir/client.log")
	configmap "$dir/bad.json"
	check "refused: ${bad:-nothing}" wait_for 1 eval '[ "$(grep -c "was refused" "$dir/client.log")" -gt '"$was"' ]'
done
jq '.apps[0].domains = ["exa mple.com"] | .nodes[0].id = "client"' "$dir/netmap.json" >"$dir/bad.json"
configmap "$dir/bad.json"
check "the fault is named with its path" wait_for 1 \
	grep -q 'netmap.json: /apps/0/domains/0: "exa mple.com"' "$dir/client.log"
rm "$dir/cm/..data"
check "the old one stays in force" fetch
check "for new names too" is_magic n1.example.net
both '.apps[0].domains += ["example.org"]'
check "a good one is taken again" wait_for 1 is_magic example.org

# A client that loses its permission at the connector is cut off, whatever it believes.
nsenter --net=/run/netns/client ping -n -i 0.05 -w 20 "$magic" >"$dir/ping" 2>&1 &
ping=$!
check "packets go" wait_for 2 grep -q 'bytes from' "$dir/ping"
jq '.apps[0].clients = ["nobody"]' "$dir/netmap.json" >"$dir/connector.new"
mv "$dir/connector.new" "$dir/connector.json"
refused() { in_ns client ping -n -c 1 -W 1 "$magic" | grep -qiE 'filtered|prohibited'; }
check "a client without permission is cut off within a second" wait_for 1 gone
check "it sees why" wait_for 3 refused
check "its sender is told" wait_for 2 grep -q filtered "$dir/ping"
answered=$(grep -c 'bytes from' "$dir/ping")
kill -INT $ping 2>/dev/null
wait $ping
check_eq "a flow that was going has ended" "$answered" "$(grep -c 'bytes from' "$dir/ping")"
check_eq "a new name is refused" SERVFAIL \
	"$(in_ns client dig +time=3 +tries=1 @127.0.0.1 n2.example.net | sed -n 's/.*status: \([A-Z]*\).*/\1/p')"
cp "$dir/netmap.json" "$dir/connector.json"
works() { is_magic example.com && fetch; }
check "with permission it works again" wait_for 5 works

# A route taken from the app cuts its destinations off.
routed_name() { [[ $(lookup client n3.example.net A) == 198.18.* ]]; }
check "a name has a lease that no packet uses" is_magic example.net
both '.apps[0].routes = ["203.0.113.0/24", "::/0"]'
check "a destination without route is cut off within a second" wait_for 1 gone
check "others are not" wait_for 1 is_magic n3.example.net
servfail() { in_ns client dig +time=3 +tries=1 @127.0.0.1 "$1" A | grep -q SERVFAIL; }
check "its name is refused, though no packet told" wait_for 3 servfail example.net
check "other names go on" routed_name
both '.'
check "it comes back with the route" wait_for 5 works

# Pools.
was=$magic
reloaded=$(reloads client)
both '.ipPools.v4MagicIPPool = ["198.19.0.0/16"]'
check "another pool is taken up" wait_for 1 eval '[ "$(reloads client)" -gt '"$reloaded"' ]'
check "new names take the new pool's addresses" wait_for 1 is_magic n10.example.net 198.19
magic=$was
check "what the old one lent goes on" fetch
check_eq "also for the name" "$magic" "$(lookup client example.com A)"
conn25_stop client
conn25_start client
check "also after a restart" fetch
check_eq "with the same address" "$magic" "$(lookup client example.com A)"
both '.ipPools.v4TransitIPPool = ["169.254.128.0/18"]'
check "another transit pool is taken up" wait_for 2 eval 'next=$((${next:-20} + 1)) && lookup client n$next.example.net A >/dev/null && conn25 client map client | grep -q 169.254.1'
magic=$was
check "new flows of what the old one lent go on" fetch
conn25_stop client
conn25_start client
check "also once told again" fetch
check_eq "under the same address" "$magic" "$(lookup client example.com A)"
lower='["198.19.0.0/17"]' upper='["198.19.128.0/17"]'
half() { # NAME: which its magic address is in
	[[ $(lookup client "$1" A) =~ ^198\.19\.([0-9]+)\. ]] || return
	if [ "${BASH_REMATCH[1]}" -lt 128 ]; then echo lower; else echo upper; fi
}
pools() { # MAGIC TRANSIT: in force on both
	local client connector
	client=$(reloads client) connector=$(reloads connector)
	both ".ipPools.v4MagicIPPool = $1 | .ipPools.v4TransitIPPool = $2"
	wait_for 1 eval '[ "$(reloads client)" -gt '"$client"' ] && [ "$(reloads connector)" -gt '"$connector"' ]'
}
check "two pools of one prefix are taken up" pools "$lower" "$upper"
check_eq "new names are in the first" lower "$(half n40.example.net)"
swapped=$(lookup client n40.example.net A)
check "they are swapped" pools "$upper" "$lower"
check_eq "new names are in the second" upper "$(half n41.example.net)"
for magic in "$swapped" "$(lookup client n41.example.net A)"; do
	check "$magic carries traffic" fetch
done
conn25 client map client --json | jq -r '.client[] | .magicIP, .transitIP' | grep '^198\.19' | sort >"$dir/addresses"
check "no address is lent as both" eval '[ -s "$dir/addresses" ] && [ -z "$(uniq -d "$dir/addresses")" ]'
leases=$(conn25 client map client --json | jq '[.client[] | select((.magicIP | contains(".")) and .state != "quarantine")] | length')
check_eq "as many are counted as are lent" "$leases $leases" "$(conn25 client status --json |
	jq -r '.client.ipPoolStats | "\(.ipv4MagicIPsInUse) \(.ipv4TransitIPsInUse)"')"
magic=$was
both 'del(.ipPools.v6MagicIPPool, .ipPools.v6TransitIPPool)'
check "a family taken out is empty for new names" wait_for 1 eval 'next=$((${next:-10} + 1)); [ -z "$(lookup client n$next.example.net AAAA)" ]'

# Clients.
both '.apps[0].clients = ["nobody"]'
check "a client that may not use the app any more is told the real address" \
	wait_for 1 eval '[ "$(lookup client example.com A)" = 198.51.100.200 ]'
check "its traffic is cut off within a second" wait_for 1 gone
both '.'
check "and back" wait_for 1 is_magic example.com
finish
