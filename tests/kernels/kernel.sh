#!/usr/bin/env bash
# kernel.sh VERSION DIR: Debian's kernel of that series for cloud machines, as DIR/vmlinuz and
# DIR/modules.cpio. What is there of the newest package is not fetched again.
set -euo pipefail
version=$1 dir=$(realpath -m "$2")

# The package that the series' own package depends on, or else the newest: its name has the ABI's
# number.
newest() {
	local name="^linux-image-${version//./\\.}\.[0-9].*-cloud-amd64$"
	{
		apt-cache depends "linux-image-$version-cloud-amd64" linux-image-cloud-amd64 2>/dev/null |
			sed -n 's/^ *Depends: //p' | grep -E "$name" ||
			apt-cache pkgnames "linux-image-$version." | grep -E "$name" | sort -V | tail -n 1
	} | head -n 1
}

package=$(newest) || true
if [ -z "$package" ]; then
	[ "$(id -u)" -eq 0 ] && apt-get update -q >&2
	package=$(newest) || true
fi
# Without lists of packages, as where there is no network: what an earlier run has fetched.
if [ -z "$package" ]; then
	[ -s "$dir/package" ] && exit 0
	echo "apt-cache knows no Linux $version for cloud machines" >&2
	exit 1
fi
[ "$(cat "$dir/package" 2>/dev/null)" = "$package" ] && exit 0

rm -rf "$dir"
mkdir -p "$dir/deb" "$dir/root/usr/lib/modules"
echo "fetching $package" >&2
(cd "$dir" && apt-get download -q -o APT::Sandbox::User=root "$package" >&2)
dpkg-deb -x "$dir"/linux-image-*.deb "$dir/deb"
cp "$dir"/deb/boot/vmlinuz-* "$dir/vmlinuz"
release=$(ls "$dir/deb/lib/modules")
from=$dir/deb/lib/modules/$release
to=$dir/root/usr/lib/modules/$release
mkdir "$to"
cp "$from"/modules.builtin* "$from/modules.order" "$to"
for part in net lib crypto arch/x86/crypto drivers/net/{dummy,tun,veth}.ko drivers/net/{vxlan,wireguard}; do
	(cd "$from" && cp -r --parents "kernel/$part"* "$to")
done
find "$to" -name '*.xz' -exec xz -d {} +
ln -s usr/lib "$dir/root/lib"
depmod -b "$dir/root" "$release"
rm "$dir/root/lib"
(cd "$dir/root" && find . | cpio -o -H newc --quiet) >"$dir/modules.cpio"
rm -rf "$dir/root" "$dir/deb" "$dir"/linux-image-*.deb
echo "$package" >"$dir/package"
