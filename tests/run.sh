#!/usr/bin/env bash
# Runs test programs one after another and ends with "N passed, N failed[, N skipped]".
#
# A program is a Criterion binary or a script that writes TAP. Its exit code is trusted over its
# words: one that fails without naming a failed test counts as one failure. One that does not end
# in TEST_SECONDS (600) is ended: by SIGKILL, which alone reaches the first process of a PID namespace.
set -u

passed=0 failed=0 skipped=0
out=$(mktemp)
child=
cleanup() {
	rm -f "$out"
}
interrupted() {
	trap - INT TERM
	[ -n "$child" ] && kill -TERM "$child" 2>/dev/null && wait "$child"
	cleanup
	exit 130
}
trap cleanup EXIT
trap interrupted INT TERM

for test in "$@"; do
	started=$(date +%s)
	case $test in
	*.sh) timeout -k 2 "${TEST_SECONDS:-600}" bash "$test" >"$out" 2>&1 & ;;
	*) timeout -k 2 "${TEST_SECONDS:-600}" "$test" --tap=- -j2 >"$out" 2>&1 & ;;
	esac
	child=$!
	wait "$child"
	code=$?
	child=
	ok=$(grep -cE '^ok .*' "$out")
	skip=$(grep -ciE '^ok .*# *skip' "$out")
	bad=$(grep -cE '^not ok ' "$out")
	if [ "$code" -ne 0 ] && [ "$bad" -eq 0 ]; then
		bad=1
	fi
	if [ "$code" -eq 0 ] && [ $((ok + bad)) -eq 0 ]; then
		echo "$test: ran no test" >>"$out"
		bad=1
	fi
	passed=$((passed + ok - skip)) failed=$((failed + bad)) skipped=$((skipped + skip))
	printf '%-36s %4d passed %3d failed %3d skipped  %3d s\n' "$(basename "$test")" \
		$((ok - skip)) "$bad" "$skip" $(($(date +%s) - started))
	[ "$skip" -gt 0 ] && grep -iE '^ok .*# *skip' "$out" | sed 's/^/    /'
	if [ "$bad" -gt 0 ]; then
		echo "    exit code $code"
		sed 's/^/    /' "$out"
	fi
done

if [ "$skipped" -gt 0 ]; then
	echo "$passed passed, $failed failed, $skipped skipped"
else
	echo "$passed passed, $failed failed"
fi
[ "$failed" -eq 0 ]
