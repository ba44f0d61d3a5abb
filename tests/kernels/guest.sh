#!/bin/bash
# The guest's first process: runs what /conn25/words lists, and powers off. The kernel writes to the
# first serial line, the tests to the second.
export PATH=/usr/sbin:/usr/bin HOME=/root LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/shm /dev/pts
ln -sf /proc/self/fd /dev/fd
mount -t tmpfs tmpfs /dev/shm
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t bpf bpf /sys/fs/bpf
modprobe -a tun
ip link set lo up
exec </dev/null >/dev/ttyS1 2>&1
stty -F /dev/ttyS1 -opost
cd /conn25 || exit
mapfile -t tests <words
{
	echo "kernel $(uname -r)"
	build/kernels/verified | sed 's/^/verified /'
	CONN25=build/conn25 CONN25_SAN=build/san/conn25 C25_SLOW=10 TEST_SECONDS=1200 tests/run.sh "${tests[@]}"
	echo "ended $?"
} 2>&1
sync
echo o >/proc/sysrq-trigger
sleep 60
