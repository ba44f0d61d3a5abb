#!/usr/bin/env bash
# Every input kept, through its target: those that crashed once do so no more.
set -u
cd "$(dirname "$0")/../.." || exit 1
build=${BUILD:-build}
n=0 failed=0
for corpus in tests/fuzz/corpus_*; do
	for input in "$corpus"/*; do
		n=$((n + 1))
		if out=$("$build/fuzz/replay_${corpus#*corpus_}" "$input" 2>&1); then
			echo "ok $n - ${input#tests/fuzz/corpus_}"
		else
			failed=$((failed + 1))
			echo "not ok $n - ${input#tests/fuzz/corpus_}"
			printf '%s\n' "$out" | sed 's/^/# /'
		fi
	done
done
echo "1..$n"
[ "$failed" -eq 0 ]
