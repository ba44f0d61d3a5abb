#!/usr/bin/env bash
# What deploy/ holds: the image, built from the checkout, run as the DaemonSet runs it and replaced
# under traffic; the unit, run by systemd with all its restrictions.
#
# Packages come over the host's network, so the image is built outside of the hosts that lib.sh
# makes: first a shell that owns the storage and removes it, then one in a mount and a PID namespace
# that builds, then the test.
# shellcheck disable=SC2016,SC2317 # jq's variables; functions called by trap, check and wait_for
set -u
top=$(cd "$(dirname "$0")/../.." && pwd)

# The containers' cgroups bear the name of the storage: the kernel keeps them when all else is gone.
# After an interruption processes may still be on their way out.
remove_store() {
	local cgroup
	cgroup=$(basename "$C25_STORE")
	for _ in 1 2 3 4 5; do
		rm -rf --one-file-system "$C25_STORE" &&
			find /sys/fs/cgroup -depth -type d -path "*/$cgroup*" -exec rmdir {} + && return
		sleep 1
	done
}
if [ -z "${C25_STORE:-}" ] && [ "$(id -u)" -eq 0 ]; then
	C25_STORE=$(mktemp -d /var/tmp/conn25-image.XXXXXX)
	export C25_STORE
	trap remove_store EXIT
	mkdir /var/lib/containers 2>/dev/null && trap 'remove_store; rmdir /var/lib/containers' EXIT
	unshare --mount --pid --fork --kill-child --mount-proc --propagation private \
		bash "$0" "$@" &
	child=$!
	trap 'kill -KILL "$child"; wait "$child"; exit 130' INT TERM
	wait "$child"
	exit
fi

image=localhost/conn25
if [ -z "${C25_INSIDE:-}" ] && [ "$(id -u)" -eq 0 ]; then
	# What engines keep beside their storage is not for the host to see.
	mount -t tmpfs tmpfs /var/lib/containers
	mount -t tmpfs tmpfs /dev/shm
	# vfs works everywhere, but copies the whole image for each container.
	mkdir "$C25_STORE"/{lower,upper,work,merged}
	C25_DRIVER=vfs
	mount -t overlay overlay "$C25_STORE/merged" -o \
		"lowerdir=$C25_STORE/lower,upperdir=$C25_STORE/upper,workdir=$C25_STORE/work" \
		2>/dev/null && C25_DRIVER=overlay
	export C25_DRIVER
fi
storage=(--root "${C25_STORE:-}/root" --runroot "${C25_STORE:-}/run"
	--storage-driver "${C25_DRIVER:-}")

# The base is what docker.io/library/debian:bookworm-slim is: minbase without documentation.
make_base() {
	local path excludes=()
	for path in doc locale man; do
		excludes+=("--dpkgopt=path-exclude=/usr/share/$path/*")
	done
	TMPDIR=$C25_STORE mmdebstrap --quiet --variant=minbase --dpkgopt=force-unsafe-io \
		"${excludes[@]}" bookworm "$C25_STORE/base.tar"
}
import_base() {
	local c
	c=$(buildah "${storage[@]}" from scratch) &&
		buildah "${storage[@]}" add -q "$c" "$C25_STORE/base.tar" / &&
		buildah "${storage[@]}" commit -q "$c" base &&
		buildah "${storage[@]}" rm "$c"
}
build_image() {
	TMPDIR=$C25_STORE buildah "${storage[@]}" build --isolation chroot \
		--build-arg BASE=localhost/base -f "$top/deploy/Containerfile" -t "$image" "$top"
}
# A machine with systemd and the unit.
build_machine() {
	TMPDIR=$C25_STORE buildah "${storage[@]}" build --isolation chroot -t machine -f - \
		"$top/deploy/systemd" <<-CONTAINERFILE
			FROM $image
			RUN apt-get update -q && apt-get install -q -y --no-install-recommends systemd
			COPY conn25.service /etc/systemd/system/
			ENTRYPOINT ["/lib/systemd/systemd"]
			CMD ["--unit=conn25.service", "--show-status=no"]
		CONTAINERFILE
}
# The words of the file `skip` are why nothing can be tested here.
prepare() {
	local tool
	for tool in buildah podman runc mmdebstrap yq; do
		command -v "$tool" >/dev/null && continue
		echo "$tool is not installed" >"$C25_STORE/skip"
		return
	done
	if ! make_base; then
		echo "no base: mmdebstrap gets no Debian packages here" >"$C25_STORE/skip"
	elif ! import_base; then
		echo "buildah cannot make an image here" >"$C25_STORE/skip"
	elif build_image && build_machine; then
		touch "$C25_STORE/built"
	fi
}
if [ -z "${C25_INSIDE:-}" ] && [ "$(id -u)" -eq 0 ]; then
	prepare >"$C25_STORE/build.log" 2>&1
fi

# shellcheck source=tests/netns/lib.sh
. "$top/tests/netns/lib.sh"

if [ -e "$C25_STORE/skip" ]; then
	tail -n 5 "$C25_STORE/build.log" | sed 's/^/# /'
	skip "the image builds and runs" "$(cat "$C25_STORE/skip")"
	finish
fi
[ -e "$C25_STORE/built" ] ||
	fatal "the image builds from the checkout" "$(tail -n 40 "$C25_STORE/build.log")"
ok "the image builds from the checkout"

# The flags are what no machine's cgroup layout or limits stand against; --network=host is the
# network namespace of the calling host.
engine=(podman "${storage[@]}" --cgroup-manager cgroupfs --runtime runc --events-backend none)
flags=(--cgroup-parent "/$(basename "$C25_STORE")" --log-driver k8s-file
	--ulimit nofile=4096:4096 --ulimit nproc=1024:1024)

# Two nodes share one kernel here, so each has a /sys/fs/bpf of its own. The client's is an empty
# directory at first.
bpf_of() { # NODE
	[ "$1" = client ] && echo /run/client-bpf || echo "/sys/fs/bpf/$1"
}
# daemonset NODE: what the DaemonSet says of its container, as flags in `pod`, with directories of
# the node. A cluster's nodes have their resolvers in /etc/resolv.conf.
daemonset() {
	mapfile -t pod < <(yq -r --arg node "$1" --arg bpf "$(bpf_of "$1")" --arg netmap "$dir/config" '
		{ netmap: $netmap, bpf: $bpf, run: "/run/\($node)" } as $source |
		.spec.template.spec as $pod | $pod.containers[0] |
		(if $pod.hostNetwork then "--network=host" else empty end),
		(if .securityContext.privileged then "--privileged" else empty end),
		(if .securityContext.readOnlyRootFilesystem then
			"--read-only", "--read-only-tmpfs=false" else empty end),
		(.env[] | "--env=\(.name)=\(.value // $node)"),
		(.volumeMounts[] | "--volume=\($source[.name]):\(.mountPath):" +
			if .readOnly then "ro" else "rw" end +
			if .mountPropagation == "Bidirectional" then ",rshared" else "" end)
		' "$top/deploy/kubernetes/daemonset.yaml")
	pod+=(--env=CONN25_DNS_UPSTREAM=192.0.2.53)
}
# As the kubelet asks: the node's address, the named port.
probe=$(yq -r '.spec.template.spec.containers[0] | .readinessProbe.httpGet as $get |
	"http://127.0.0.1:\(.ports[] | select(.name == $get.port) | .containerPort)\($get.path)"' \
	"$top/deploy/kubernetes/daemonset.yaml")
container_ready() { # NODE
	"${engine[@]}" logs "$1" >"$dir/$1.log" 2>&1
	grep -q ready "$dir/$1.log" && in_ns "$1" curl -sf -o /dev/null --max-time 5 "$probe"
}
container_start() { # NODE [PODMAN-FLAG...]
	local pod
	daemonset "$1"
	in_ns "$1" "${engine[@]}" run -d --name "$1" "${flags[@]}" "${pod[@]}" "${@:2}" "$image" \
		>"$dir/podman.log" 2>&1 ||
		fatal "the container starts on $1" "$(cat "$dir/podman.log")"
	wait_for 15 container_ready "$1" ||
		fatal "the daemon is ready in the container of $1" "$(cat "$dir/$1.log")"
}
# As the kubelet does: SIGTERM, then a container that knows nothing of the one before.
container_stop() { # NODE
	"${engine[@]}" stop -t 10 "$1" >/dev/null
	"${engine[@]}" inspect --format '{{.State.ExitCode}}' "$1" >"$dir/exit-$1"
	"${engine[@]}" rm -f "$1" >/dev/null
}
once() { # COMMAND...: in a container without any privilege
	"${engine[@]}" run --rm --network=none "${flags[@]}" --cap-drop=all \
		-v "$dir/config:/etc/conn25:ro" "$image" "$@"
}

topology
for node in client connector; do
	mkdir -p "/run/$node" "$(bpf_of "$node")"
done
mount --bind /run/client-bpf /run/client-bpf
mount --make-shared /run/client-bpf
mount --make-shared /sys/fs/bpf
netmap
standard_zones
dns_server
web_server

# A ConfigMap's volume: the file is a link through ..data, which is swapped as a whole.
config_swap() { # DIRECTORY
	mkdir -p "$dir/config/$1"
	cp "$dir/netmap.json" "$dir/config/$1/"
	ln -sfn "$1" "$dir/config/..new"
	mv -T "$dir/config/..new" "$dir/config/..data"
}
config_swap ..1
ln -s ..data/netmap.json "$dir/config/netmap.json"

check_eq "conn25 version is the checkout's" "$("$CONN25" version)" "$(once version)"
check_eq "conn25 check reads the mounted netmap" \
	"$("$CONN25" check --netmap "$dir/netmap.json" --node client)" \
	"$(once check --netmap /etc/conn25/netmap.json --node client)"
check "the image holds licence and man page" "${engine[@]}" run --rm --network=none "${flags[@]}" \
	--entrypoint ls "$image" /usr/share/doc/conn25/copyright /usr/share/man/man8/conn25.8
check_match "the image holds nothing to build with" 'none' \
	"$("${engine[@]}" run --rm --network=none "${flags[@]}" --entrypoint sh "$image" -c \
		'command -v gcc clang make bpftool || echo none')"

container_start connector
container_start client
ok "both daemons are ready, and the readiness probe says so"
magic4=$(lookup client example.com A)
magic6=$(lookup client example.com AAAA)
fetch() { in_ns "$1" curl -sS --max-time 5 "http://$magic4/" "http://[$magic6]/"; }
check_match "a page comes over IPv4 and IPv6 through both containers" \
	'198\.51\.100\.1,.*2001:db8:1::1,' "$(fetch client | tr '\n' ' ')"
check_match "also for a pod behind the client" 'seen from 198\.51\.100\.1,' "$(fetch pod)"

netmap '.apps[0].domains += ["example.org"]'
config_swap ..2
check "a ConfigMap's swap is in force" wait_for 5 eval \
	'lookup client example.org A | grep -q ^198.18.'

# A new container takes the datapath over while a stream goes on.
head -c 50000000 /dev/urandom >"$dir/www/blob"
in_ns client curl -s --limit-rate 4M --max-time 60 "http://$magic4/blob" | sha256sum >"$dir/sum" &
stream=$!
wait_for 5 grep -q GET "$dir/access.log"
for node in client connector; do
	container_stop "$node"
	container_start "$node"
done
check "the stream still goes on after both containers were replaced" kill -0 "$stream"
check_match "the new client takes the leases up" '[1-9][0-9]* leases taken up' \
	"$(cat "$dir/client.log")"
check_match "the new connector takes the mappings up" '[1-9][0-9]* mappings taken up' \
	"$(cat "$dir/connector.log")"
wait "$stream"
check_eq "and arrives whole" "$(sha256sum <"$dir/www/blob")" "$(cat "$dir/sum")"
check_eq "SIGTERM ended both daemons with 0" "0 0" "$(cat "$dir/exit-client" "$dir/exit-connector" |
	xargs)"
check_eq "the name keeps its magic address" "$magic4" "$(lookup client example.com A)"

# Off the nodes: by the pods themselves, as the DaemonSet's comment says, or by hand.
check "a BPF file system that the daemon had to mount outlives the container" \
	mountpoint -q /run/client-bpf
gone() { # NODE
	[ ! -e "$(bpf_of "$1")/conn25" ] && ! ip -n "$1" link show dev conn25
}
container_stop connector
check "the datapath stays without a container" test -e "$(bpf_of connector)/conn25/links"
daemonset connector
check "conn25 detach in a container ends with 0" in_ns connector "${engine[@]}" run --rm \
	"${flags[@]}" "${pod[@]}" "$image" detach
check "and leaves no pin and no device" gone connector
container_stop client
container_start client -e CONN25_DETACH_ON_EXIT=true
container_stop client
check "with CONN25_DETACH_ON_EXIT a pod that ends leaves no pin and no device" gone client

# The unit, under a systemd of its own.
machine_start() { # NODE
	echo "CONN25_NODE=$1" >"$dir/default-$1"
	[ "$1" = connector ] || printf '%s\n' CONN25_DNS_LISTEN=127.0.0.1:53 \
		CONN25_DNS_UPSTREAM=192.0.2.53 >>"$dir/default-$1"
	in_ns "$1" "${engine[@]}" run -d --name "$1" --systemd=always --privileged --network=host \
		"${flags[@]}" \
		-v "$(bpf_of "$1"):/sys/fs/bpf" -v "$dir/config:/etc/conn25:ro" \
		-v "$dir/default-$1:/etc/default/conn25:ro" localhost/machine \
		>"$dir/podman.log" 2>&1 || fatal "a systemd starts on $1" "$(cat "$dir/podman.log")"
	wait_for 15 systemd "$1" is-active conn25
	check_eq "the unit starts on the $1 and tells that it is ready" active \
		"$(systemd "$1" is-active conn25)"
}
systemd() { # NODE COMMAND...
	local code
	"${engine[@]}" exec "$1" systemctl "${@:2}"
	code=$?
	"${engine[@]}" exec "$1" journalctl -q --no-pager -u conn25 >"$dir/$1.log"
	return $code
}
machine_start connector
machine_start client
magic4=$(lookup client example.com A)
magic6=$(lookup client example.com AAAA)
check "traffic flows between two units" fetch client
check "systemctl reload ends with 0" systemd client reload conn25
check "the netmap was read again" wait_for 5 eval 'systemd client status conn25 | grep reloaded'
check "systemctl restart ends with 0 on the client" systemd client restart conn25
check "systemctl restart ends with 0 on the connector" systemd connector restart conn25
check_match "a restarted unit takes the datapath over" 'datapath taken over' \
	"$(cat "$dir/connector.log")"
check_eq "the name keeps its magic address" "$magic4" "$(lookup client example.com A)"
check "traffic flows after the restart" fetch client
check "systemctl stop ends with 0" systemd client stop conn25
check "and the datapath goes on" fetch client
finish
