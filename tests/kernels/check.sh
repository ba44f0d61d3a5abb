#!/usr/bin/env bash
# Loads the programs and runs packet tests and network tests on each of $KERNELS: a series of
# Debian's kernels, booted in QEMU without KVM, or `running`, which is this host's. Then shows how
# much of each program the verifiers followed, against the budget.
#
#   check.sh BUILD TEST...     TEST as tests/run.sh takes it
#
# Without KVM loading the programs takes most of a minute, which most tests do many times: only those
# that `tests` names are run, unless $TESTS is `all`.
set -u
build=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
cd "$top" || exit
kernels=${KERNELS:-6.1 6.12 running}
limit=1800 # seconds that a guest may take; what hangs is stopped
[ "${TESTS:-}" = all ] && limit=36000
dir=$build/kernels
passed=0 failed=0 skipped=0
guest='' work=''
interrupted() {
	trap - INT TERM
	[ -n "$guest" ] && kill "$guest" && wait "$guest"
	[ -n "$work" ] && rm -rf "$work"
	exit 130
}
trap interrupted INT TERM
declare -A counts # "KERNEL PROGRAM": instructions, or `refused`

fail() { # WHY
	echo "not ok - $1"
	kernel_failed=$((kernel_failed + 1))
}

# Lines of the tests pass through; counts and results are kept from them.
read_results() { # KERNEL
	local line word rest ended=
	while IFS= read -r line; do
		line=${line%$'\r'}
		read -r word rest <<<"$line"
		case $word in
		kernel) echo "$rest" ;;
		verified) counts["$1 ${rest% *}"]=${rest##* } ;;
		ended) ended=$rest ;;
		*)
			if [[ $line =~ ^([0-9]+)' passed, '([0-9]+)' failed'(, ([0-9]+) skipped)?$ ]]; then
				kernel_passed=$((kernel_passed + BASH_REMATCH[1]))
				kernel_failed=$((kernel_failed + BASH_REMATCH[2]))
				kernel_skipped=$((kernel_skipped + ${BASH_REMATCH[4]:-0}))
			else
				printf '%s\n' "$line"
			fi
			;;
		esac
	done
	[ -n "$ended" ]
}

on_running() { # TEST...
	read_results running < <(
		echo "kernel $(uname -r)"
		"$dir/verified" | sed 's/^/verified /'
		CONN25=$build/conn25 CONN25_SAN=$build/san/conn25 tests/run.sh "$@" 2>&1
		echo "ended $?"
	)
}

on_guest() { # VERSION TEST...
	local version=$1 kernel=$dir/$1
	shift
	"$here/kernel.sh" "$version" "$kernel" || {
		fail "no kernel $version to boot"
		return
	}
	work=$(mktemp -d "$dir/run.XXXXXX")
	mkdir "$work/conn25"
	printf "%s\n" "${@/#"$build/"/build/}" >"$work/conn25/words"
	(cd "$work" && find conn25 | cpio -o -H newc --quiet) >"$work/words.cpio"
	cat "$dir/image.cpio" "$kernel/modules.cpio" "$work/words.cpio" >"$work/initrd"
	mkfifo "$work/lines"
	timeout "$limit" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 3072 \
		-nodefaults -no-user-config -display none -nic none -no-reboot \
		-kernel "$kernel/vmlinuz" -initrd "$work/initrd" \
		-append "console=ttyS0 loglevel=5 panic=-1 oops=panic" \
		-serial "file:$work/console" -serial stdio </dev/null >"$work/lines" &
	guest=$!
	read_results "$version" <"$work/lines" || {
		fail "Linux $version came to its end before the tests did; the end of its console:"
		tail -n 40 "$work/console" | sed 's/^/    /'
	}
	if grep -qE 'WARNING: |BUG: (unable|KASAN|kernel|sleeping|scheduling)|Oops|general protection' \
		"$work/console"; then
		fail "Linux $version complains:"
		grep -E -A 20 'WARNING: |BUG: |Oops|general protection' "$work/console" |
			head -n 60 | sed 's/^/    /'
	fi
	wait "$guest"
	guest=
	rm -rf "$work"
}

# summary PASSED FAILED SKIPPED
summary() {
	echo "$1 passed, $2 failed, $3 skipped"
}

# A program's counts, one to a kernel, next to what it may have.
budget_row() { # PROGRAM MOST
	local program=$1 most=$2 over='' count kernel
	printf '%-20s' "$program"
	for kernel in $kernels; do
		count=${counts["$kernel $program"]:-none}
		printf ' %9s' "$count"
		if [[ $count =~ ^[0-9]+$ ]] && [ "$count" -le "$most" ]; then
			passed=$((passed + 1))
		else
			failed=$((failed + 1))
			over=" OVER on $kernel"
		fi
	done
	printf ' %9s%s\n' "$most" "$over"
}
budget_table() {
	local program most
	printf '\n%-20s' "instructions"
	# shellcheck disable=SC2086 # a list
	printf ' %9s' $kernels
	printf ' %9s\n' "at most"
	while read -r program most; do
		[[ $program == \#* ]] || budget_row "$program" "$most"
	done <"$here/budget"
	for program in "${!counts[@]}"; do
		grep -q "^${program#* } " "$here/budget" || {
			echo "not ok - ${program#* } stands in no budget"
			failed=$((failed + 1))
		}
	done
}

to_run() { # NAME
	grep -q "^$1 " "$here/skip" && return 1
	[ "${TESTS:-}" = all ] || grep -qxF "$1" "$here/tests"
}
tests=() left=()
for test; do
	if to_run "${test##*/}"; then
		tests+=("$test")
	else
		left+=("${test##*/}")
	fi
done
"$here/image.sh" "$build" "$dir/image.cpio" || exit
for kernel in $kernels; do
	kernel_passed=0 kernel_failed=0 kernel_skipped=${#left[@]}
	started=$(date +%s)
	printf '\n== Linux %s\n' "$kernel"
	if [ "$kernel" = running ]; then
		on_running "${tests[@]}"
	else
		on_guest "$kernel" "${tests[@]}"
	fi
	[ ${#left[@]} -eq 0 ] || echo "skipped: ${left[*]}" | fold -s -w 100
	echo "Linux $kernel: $(summary $kernel_passed $kernel_failed "$kernel_skipped") ($(($(date +%s) - started)) s)"
	passed=$((passed + kernel_passed)) failed=$((failed + kernel_failed))
	skipped=$((skipped + kernel_skipped))
done
budget_table
echo
summary $passed $failed $skipped
[ $failed -eq 0 ]
