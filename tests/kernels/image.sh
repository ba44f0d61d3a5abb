#!/usr/bin/env bash
# image.sh BUILD OUT: the guest's root as an archive: this host's tools with their libraries, the
# tests, and what is under test.
set -euo pipefail
build=$1 out=$2
top=$(cd "$(dirname "$0")/../.." && pwd)
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

copy() { # FILE...: to where it is here
	local f
	for f; do
		[ -e "$root$f" ] && continue
		mkdir -p "$root$(dirname "$f")"
		cp -L "$f" "$root$f"
	done
}
libraries() { # PROGRAM...
	local f libs
	for f; do
		mapfile -t libs < <(ldd "$f" 2>/dev/null | grep -oE '/[^ ]+' || true)
		copy "${libs[@]}"
	done
}

mkdir -p "$root"/{usr/{bin,sbin,lib,lib64},etc,proc,sys,dev,run,tmp,root,var/lib/nginx,var/log/nginx}
for d in bin sbin lib lib64; do
	ln -s usr/$d "$root/$d"
done
ln -s ../run "$root/var/run"
while read -r -a tools; do
	for tool in "${tools[@]}"; do
		path=$(type -P "$tool") || {
			echo "no $tool here: run: sudo tests/deps.sh kernels" >&2
			exit 1
		}
		copy "$path"
		libraries "$path"
	done
done <"$top/tests/kernels/tools"
copy /etc/{protocols,services,nsswitch.conf} "$(ldconfig -p | sed -n 's/.*libgcc_s.so.1.* => //p' | head -n 1)"
[ -d /etc/iproute2 ] && cp -rL /etc/iproute2 "$root/etc"
echo root:x:0:0:root:/root:/bin/bash >"$root/etc/passwd"
echo root:x:0: >"$root/etc/group"
echo 127.0.0.1 localhost >"$root/etc/hosts"
echo nameserver 192.0.2.53 >"$root/etc/resolv.conf"

to=$root/conn25
mkdir -p "$to/build/san" "$to/build/tests" "$to/build/kernels"
cp -r "$top/tests" "$to"
cp "$build/conn25" "$to/build"
cp "$build/san/conn25" "$to/build/san"
cp "$build"/tests/bpf_* "$to/build/tests"
cp "$build/kernels/verified" "$to/build/kernels"
libraries "$build/conn25" "$build/san/conn25" "$build"/tests/bpf_* "$build/kernels/verified"
cp "$top/tests/kernels/guest.sh" "$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$out"
