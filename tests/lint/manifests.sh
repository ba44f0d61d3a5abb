#!/usr/bin/env bash
# deploy/ as its readers read it: kubectl, systemd and conn25 itself. TAP; no cluster, no root.
# shellcheck disable=SC2317 # functions are called by check
set -u
cd "$(dirname "$0")/../.." || exit 1
CONN25=${CONN25:-build/conn25}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
n=0 failed=0

check() { # CLAIM COMMAND...
	local claim=$1
	shift
	n=$((n + 1))
	if "$@" >"$dir/out" 2>&1; then
		echo "ok $n - $claim"
	else
		failed=1
		echo "not ok $n - $claim"
		sed 's/^/# /' "$dir/out"
	fi
}
skip() { # CLAIM WHY
	n=$((n + 1))
	echo "ok $n - $1 # skip $2"
}

netmap_of_every_node() {
	local node
	for node in $(jq -r '.nodes[].id' deploy/kubernetes/netmap.json); do
		"$CONN25" check --netmap deploy/kubernetes/netmap.json --node "$node" || return
	done
}
if [ -x "$CONN25" ]; then
	check "the example netmap is valid on each of its nodes" netmap_of_every_node
else
	skip "the example netmap is valid on each of its nodes" "$CONN25 is not built"
fi

# kubectl drops what the API does not know when it reads an object by its type: what is then gone
# was misspelt.
known_fields() {
	kubectl annotate --local -f "$dir/daemonset.yaml" -o json a=b >"$dir/given.json" &&
		kubectl set env --local -f "$dir/daemonset.yaml" -o json A=b >"$dir/known.json" || return
	jq -n --slurpfile given "$dir/given.json" --slurpfile known "$dir/known.json" -r '
		def fields: [paths | map(tostring) | join("/")];
		($given[0] | del(.metadata) | fields) - ($known[0] | fields) | .[]' >"$dir/unknown"
	cat "$dir/unknown"
	[ ! -s "$dir/unknown" ]
}
# Variables of the DaemonSet are flags of the program.
known_flags() {
	local name
	"$CONN25" run --help >"$dir/help" || return
	for name in $(jq -r '.spec.template.spec.containers[].env[].name' "$dir/given.json"); do
		name=${name#CONN25_} name=${name//_/-}
		grep -q -- "--${name,,} " "$dir/help" && continue
		echo "no flag --${name,,}"
		return 1
	done
}
if command -v kubectl >/dev/null; then
	check "kustomize builds the manifests" kubectl kustomize deploy/kubernetes -o "$dir/all.yaml"
	check "it names the image and the namespace" grep -q 'image: registry.example.com/conn25:' \
		"$dir/all.yaml"
	awk -v RS='---\n' '/kind: DaemonSet/' "$dir/all.yaml" >"$dir/daemonset.yaml"
	check "the DaemonSet has only fields that the API knows" known_fields
	[ ! -x "$CONN25" ] || check "its variables are flags" known_flags
else
	skip "the manifests" "kubectl is not installed (Debian's package: kubernetes-client)"
fi

# systemd wants the program and the manual page in place.
unit() {
	sed -e 's,^ExecStart=[^ ]*,ExecStart=/bin/true,' -e '/^Documentation=/d' \
		deploy/systemd/conn25.service >"$dir/conn25.service"
	# An unknown setting is only said, not failed on.
	systemd-analyze verify "$dir/conn25.service" 2>&1 | tee "$dir/said"
	[ ! -s "$dir/said" ]
}
exposure() {
	systemd-analyze security --offline=yes --threshold=30 "$dir/conn25.service"
}
if command -v systemd-analyze >/dev/null; then
	check "systemd reads the unit without a warning" unit
	check "the unit's exposure is at most 3.0" exposure
else
	skip "the unit" "systemd-analyze is not installed (Debian's package: systemd)"
fi
echo "1..$n"
exit $failed
