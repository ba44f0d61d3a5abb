#!/usr/bin/env bash
# Installs what build and tests need from Debian's packages; returns at once where all is there.
# `deps.sh build` installs what the build alone needs, `deps.sh bench` what the benches compare with,
# `deps.sh kernels` what boots other kernels.
set -euo pipefail

packages=(
	gcc make pkgconf clang llvm bpftool libc6-dev libbpf-dev libelf-dev zlib1g-dev
	libcurl4-openssl-dev libcjson-dev libuv1-dev libmnl-dev libmicrohttpd-dev libgnutls28-dev
	uthash-dev
)
[ "${1:-}" = build ] || packages+=(
	# tests
	libcriterion-dev libldns-dev iproute2 iputils-ping bind9-dnsutils nsd nginx-light
	curl socat ethtool conntrack nftables iptables jq procps bsdextrautils xxd tcpdump
	iperf3 iputils-tracepath netsniff-ng wireguard-go wireguard-tools
	gnutls-bin openssl prometheus
	# container
	buildah podman runc mmdebstrap yq
	# lint
	clang-format clang-tidy shellcheck
)
[ "${1:-}" != bench ] || packages+=(dnsdist dnsmasq-base dnsperf)
[ "${1:-}" != kernels ] || packages+=(qemu-system-x86 cpio kmod xz-utils)

missing=()
for p in "${packages[@]}"; do
	status=$(dpkg-query -W -f='${db:Status-Status}' "$p" 2>/dev/null || true)
	[ "$status" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "missing packages: ${missing[*]}; run: sudo make deps" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=600 "${missing[@]}"
