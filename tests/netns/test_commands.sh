#!/usr/bin/env bash
# What the commands say to whoever uses them wrongly, or for the first time.
# shellcheck source=tests/netns/lib.sh
. "$(dirname "$0")/lib.sh"
topology
netmap
standard_zones
dns_server

out=$("$CONN25" 2>&1)
check_eq "no command is wrong usage" 2 $?
check_match "and lists them" 'run  .*daemon' "$out"
out=$("$CONN25" rnu 2>&1)
check_eq "an unknown command is wrong usage" 2 $?
check_match "and named" 'unknown command "rnu"' "$out"
for command in run check status map monitor explain detach version; do
	out=$("$CONN25" "$command" --help 2>&1)
	check_eq "$command --help ends with 0" 0 $?
	check_match "$command --help begins with its usage" "^Usage: conn25 $command" "$out"
	out=$("$CONN25" "$command" --nope 2>&1)
	check_eq "an unknown option of $command is wrong usage" 2 $?
	check_eq "and told in one line" \
		"conn25 $command: unknown option --nope; see conn25 $command --help" "$out"
done

conn25_start connector
conn25_start client
check_match "a client answers with magic addresses" '^198\.18\.' "$(lookup client example.com A)"

out=$(conn25 client explain 2>&1)
check_eq "explain without a name is wrong usage" 2 $?
out=$(conn25 client map connector 2>&1)
check_eq "map of a role that the node lacks ends with 1" 1 $?
check_match "and says so" 'this node is no connector' "$out"
out=$("$CONN25" map --pin /sys/fs/bpf/nothing 2>&1)
check_eq "map without pins ends with 1" 1 $?
check_match "and says what to do" 'start .conn25 run.*--pin' "$out"
finish
