#!/usr/bin/env bash
# The commit before this one is upgraded to this one and back, under traffic, without losing a
# packet; what cannot be loaded, or does not fit the pins, leaves the old datapath as it was.
# shellcheck disable=SC2154,SC2034,SC2317 # variables and functions that are used by name
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
load=$(dirname "$CONN25")/chaos
new=$CONN25
previous=$(dirname "$CONN25")/previous
why=$(cat "$previous/why" 2>/dev/null)
old=$previous/conn25
[ -x "$old" ] || old=$new
layout() { sed -n 's/^#define C25_LAYOUT //p' "$1/include/c25_abi.h"; }
fits=yes
[ "$old" = "$new" ] || [ "$(layout "$previous/src")" = "$(layout "$top")" ] || fits=no

topology
netmap
standard_zones
dns_server
in_ns internet "$load/echo" >"$dir/echo.out" 2>&1 &
wait_for 5 listening internet 7 || fatal "the echo server starts"
CONN25=$old
conn25_start connector
conn25_start client
magic=()
for i in 1 2 3 4; do magic+=("$(lookup client "n$i.example.net" A)"); done
[[ ${magic[3]} == 198.18.* ]] || fatal "names have magic addresses"
nsenter --net=/run/netns/client "$load/udp" 1000 "${magic[@]}" >"$dir/udp.out" &
udp=$!
nsenter --net=/run/netns/client "$load/tcp" 8 "${magic[@]}" >"$dir/tcp.out" &
tcp=$!
sleep 1 # of traffic before

programs() { # NODE: which programs are attached
	local link
	for link in "/sys/fs/bpf/$1/links/"*; do bpftool -j link show pinned "$link" | jq .prog_id; done | sort
}
links() { # NODE
	local link
	for link in "/sys/fs/bpf/$1/links/"*; do bpftool -j link show pinned "$link" | jq .id; done | sort
}
# The daemon NODE is to end at once, with 1 and a line that matches: start_fails BINARY NODE REGEX [FLAG...]
start_fails() {
	local binary=$1 node=$2 regex=$3 before flags=() out status
	shift 3
	[ "$node" = client ] && flags=("${client_flags[@]}")
	before=$(programs "$node") maps=$(ls "/sys/fs/bpf/$node/maps")
	out=$(nsenter --net="/run/netns/$node" timeout 20 "$binary" run --netmap "$netmap_file" \
		--node "$node" --pin "/sys/fs/bpf/$node" --control "/run/$node.sock" "${flags[@]}" "$@" 2>&1)
	status=$?
	check_eq "$node: it ends with 1" 1 $status
	check_match "$node: it says why" "$regex" "$out"
	check_eq "$node: the programs attached are the old ones" "$before" "$(programs "$node")"
	check_eq "$node: the maps pinned are the old ones" "$maps" "$(ls "/sys/fs/bpf/$node/maps")"
}

# Programs that the kernel refuses: without their license they may not call what they call. Of
# this one, or where the pins are not for it to read, of the one that made them.
own=$new
[ "$fits" = yes ] || own=$old
LC_ALL=C sed 's|Dual BSD/GPL|None at all.|' "$own" >"$dir/broken"
chmod +x "$dir/broken"
conn25_stop client
conn25_stop connector
for node in client connector; do
	start_fails "$dir/broken" "$node" 'refused the BPF programs'
	start_fails "$own" "$node" '--max-mappings 65536, or .*detach --pin /sys/fs/bpf/'"$node" --max-mappings 1000
done

# This one takes over, then the one before again, then this one.
swap() { # BINARY STOP-FIRST CLAIM
	local node progs pinned
	CONN25=$1
	for node in connector client; do
		progs=$(programs "$node") pinned=$(links "$node")
		[ -z "${2:-}" ] || conn25_stop "$node"
		conn25_start "$node"
		check_eq "$node: $3, every program was swapped" 0 \
			"$(programs "$node" | grep -cxF "$progs")"
		check_eq "$node: $3, every link stayed" "$pinned" "$(links "$node")"
		check_match "$node: $3, in place" 'taken over' "$(cat "$dir/$node.log")"
	done
	check_eq "$3: the name keeps its address" "${magic[0]}" "$(lookup client n1.example.net A)"
	check_match "$3: new names work" '^198\.18\.' "$(lookup client "n$((++fresh)).example.net" A)"
}
fresh=100
claim="the commit before is upgraded to this one under traffic"
if [ "$fits" = no ]; then
	for node in client connector; do
		start_fails "$new" "$node" 'are of layout .*detach --pin /sys/fs/bpf/'"$node"
	done
	CONN25=$old
	conn25_start connector
	conn25_start client
	skip "$claim" "its maps are of another layout, which this one refused"
elif [ "$old" = "$new" ]; then
	swap "$new" '' "a program that takes over from itself"
	skip "$claim" "$why"
else
	swap "$new" '' "upgraded"
	swap "$old" again "and back"
	swap "$new" again "upgraded once more"
	ok "$claim"
fi

# Pins of a later layout.
conn25_stop client
meta=/sys/fs/bpf/client/maps/c25_meta
value=$(bpftool -j map lookup pinned "$meta" key 0 0 0 0 | jq -r '.value | map(ltrimstr("0x")) | join(" ")')
# shellcheck disable=SC2086 # bytes
bpftool map update pinned "$meta" key 0 0 0 0 value hex 63 ${value#?? }
start_fails "$new" client 'of layout 99, .*this one has layout.*detach --pin /sys/fs/bpf/client'
# shellcheck disable=SC2086 # bytes
bpftool map update pinned "$meta" key 0 0 0 0 value hex $value
CONN25=$own
conn25_start client

sleep 1 # of traffic after
kill -TERM $udp $tcp
wait $udp $tcp
check_eq "no datagram of $(awk '$1 == "udp-total" { print $2 }' "$dir/udp.out") was lost" 0 \
	"$(awk '$1 == "udp-total" { print $3 }' "$dir/udp.out")"
check_eq "none of $(awk '$1 == "tcp-total" { print $2 }' "$dir/tcp.out") streams broke" 0 \
	"$(awk '$1 == "tcp-total" { print $3 }' "$dir/tcp.out")"
finish
