#!/bin/bash
# A systemd + sshd host from plain kernel parts (root, no container engine), on a bridge in a namespace of its own, with no route out.
#   labnode.sh up NAME IP [route]   make it and start it; "route": with a default route, to a gateway that forwards nothing
#   labnode.sh off NAME             pull the plug: every process is killed at once, its disks stay
#   labnode.sh on NAME              start it again
#   labnode.sh down NAME            remove it
#   labnode.sh clear                remove all hosts of this lab, and its network
# A lab is told by its environment:
#   LABNODE_HOME    a directory of its own, for state and disks     LABNODE_ROOTFS  the Debian tree that the hosts share (test-parts.ts)
#   LABNODE_PREFIX  begins every name that it makes (8 bytes)       LABNODE_NET     its /24 without the last number: 172.31.79
# SIZE=200m, INODES=5000, OPTS=noexec put /var/lib/{rancher,kubelet,cloudimg} on a tmpfs of that kind (up only).
set -euo pipefail

home=${LABNODE_HOME:?a directory for the lab}
prefix=${LABNODE_PREFIX:-lab}
net=${LABNODE_NET:-172.31.79}
switch=$prefix-sw
wire=${prefix}h0

cgroups() {
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    echo "/sys/fs/cgroup/$prefix-$1"
  else
    local c
    for c in /sys/fs/cgroup/*; do
      if [ ! -L "$c" ] && mountpoint -q "$c"; then echo "$c/$prefix-$1"; fi
    done
  fi
}

# The wire's far end stands in this machine's own namespace and is the hosts' only neighbour here. Nothing is forwarded:
# not by the bridge's namespace (which holds the gateway), and not by this machine for what comes in by the wire.
network_up() {
  [ -e "/run/netns/$switch" ] && return
  ip netns add "$switch"
  ip netns exec "$switch" sh -c 'echo 0 > /proc/sys/net/ipv4/ip_forward; echo 0 > /proc/sys/net/ipv6/conf/all/forwarding'
  ip -n "$switch" link set lo up
  ip -n "$switch" link add br0 type bridge
  ip -n "$switch" addr add "$net.254/24" dev br0
  ip -n "$switch" link set br0 up
  ip link add "$wire" type veth peer name h0 netns "$switch"
  ip -n "$switch" link set h0 master br0 up
  echo 0 > "/proc/sys/net/ipv4/conf/$wire/forwarding"
  ip addr add "$net.1/24" dev "$wire"
  ip link set "$wire" up
}

network_down() {
  ip link del "$wire" 2> /dev/null || true
  ip netns del "$switch" 2> /dev/null || true
}

require_own_route() {
  case "$(ip -o route get "$1") " in
    *" dev $wire "*) ;;
    *) echo "labnode: \"$1\" is not reached by this lab's interface \"$wire\": $(ip -o route get "$1")" >&2; exit 1 ;;
  esac
}

on() {
  local name=$1 d=$home/ns/$1 ip port c f join=''
  ip=$(cat "$d/ip")
  port=${prefix}v${ip##*.}
  network_up
  require_own_route "$ip"
  ip netns add "$prefix-$name"
  ip -n "$switch" link add "$port" type veth peer name eth0 netns "$prefix-$name"
  ip -n "$switch" link set "$port" master br0 up
  # shellcheck disable=SC2086 # four words are wanted
  ip -n "$prefix-$name" link set eth0 address "$(printf '02:4c:%02x:%02x:%02x:%02x' ${ip//./ })"
  ip -n "$prefix-$name" addr add "$ip/24" dev eth0
  ip -n "$prefix-$name" link set eth0 up
  ip -n "$prefix-$name" link set lo up
  [ ! -e "$d/route" ] || ip -n "$prefix-$name" route add default via "$net.254"
  for c in $(cgroups "$name"); do
    mkdir -p "$c"
    for f in cpuset.cpus cpuset.mems; do [ ! -f "$c/$f" ] || cat "$(dirname "$c")/$f" > "$c/$f"; done
    join="$join echo \$\$ > $c/cgroup.procs;"
  done
  setsid bash -c "$join exec ip netns exec $prefix-$name unshare -mpuifC --kill-child bash $d/init $d" > "$d/log" 2>&1 < /dev/null &
  echo $! > "$d/pid"
}

off() {
  local name=$1 d=$home/ns/$1 pid state c
  if [ -f "$d/pid" ]; then
    pid=$(cat "$d/pid")
    kill -KILL "$pid" 2> /dev/null || true
    for _ in $(seq 250); do
      state=$(cut -d' ' -f3 "/proc/$pid/stat" 2> /dev/null || true)
      if [ -z "$state" ] || [ "$state" = Z ]; then break; fi
      sleep .02
    done
    rm -f "$d/pid"
  fi
  # A namespace may take seconds to go, and would keep its end of the cable that long.
  [ ! -f "$d/ip" ] || ip -n "$switch" link del "${prefix}v$(sed 's/.*\.//' "$d/ip")" 2> /dev/null || true
  ip netns del "$prefix-$name" 2> /dev/null || true
  for c in $(cgroups "$name"); do
    for _ in $(seq 250); do
      [ -d "$c" ] || break
      find "$c" -depth -type d -exec rmdir {} \; 2> /dev/null || true
      [ ! -d "$c" ] || sleep .02
    done
    if [ -d "$c" ]; then echo "labnode: \"$name\" is off, but \"$c\" still holds processes: $(cat "$c/cgroup.procs")" >&2; exit 1; fi
  done
}

up() {
  local name=$1 ip=$2 d=$home/ns/$1
  mkdir -p "$d/up/etc" "$d/work" "$d/m" "$d/data"
  echo "$name" > "$d/up/etc/hostname"
  printf '127.0.0.1 localhost\n%s %s\n' "$ip" "$name" > "$d/up/etc/hosts"
  od -An -N16 -tx1 /dev/urandom | tr -d ' \n' > "$d/up/etc/machine-id"
  echo "$ip" > "$d/ip"
  [ "${3:-}" != route ] || : > "$d/route"
  if [ -n "${SIZE:-}${INODES:-}${OPTS:-}" ]; then
    mount -t tmpfs -o "size=${SIZE:-4g},nr_inodes=${INODES:-0}${OPTS:+,$OPTS}" labdata "$d/data"
  fi
  ln -sfn "${LABNODE_ROOTFS:?the Debian tree of the hosts}" "$d/rootfs"
  cat > "$d/init" << 'INIT'
# Runs as process 1 of the host's namespaces and becomes its systemd.
set -e
d=$1
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$(readlink "$d/rootfs"),upperdir=$d/up,workdir=$d/work" "$d/m"
cd "$d/m"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
for x in null zero full random urandom tty kmsg fuse; do
  if [ -e "/dev/$x" ]; then : > "dev/$x"; mount --bind "/dev/$x" "dev/$x"; fi
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts dev/pts
mount -t tmpfs tmpfs dev/shm
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
ln -s fd/0 dev/stdin
ln -s fd/1 dev/stdout
ln -s fd/2 dev/stderr
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 sys/fs/cgroup
else
  mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
  mkdir sys/fs/cgroup/systemd sys/fs/cgroup/unified
  mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
  mount -t cgroup2 cgroup2 sys/fs/cgroup/unified
  # Every v1 controller of the machine: kubelet refuses to start without cpuacct.
  for c in $(cut -d: -f2 /proc/self/cgroup | grep -v = | grep .); do
    mkdir "sys/fs/cgroup/$c"
    mount -t cgroup -o "$c" cgroup "sys/fs/cgroup/$c"
  done
fi
# An overlay cannot hold another one, and containerd's snapshots are overlays: these are plain directories.
for v in rancher kubelet cloudimg; do
  mkdir -p "var/lib/$v" "$d/data/$v"
  mount --bind "$d/data/$v" "var/lib/$v"
done
mkdir -p .old
pivot_root . .old
cd /
umount -l /.old
exec env -i container=lab PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
INIT
  on "$name"
}

down() {
  local d=$home/ns/$1
  off "$1"
  if mountpoint -q "$d/data"; then umount "$d/data"; fi
  rm -rf --one-file-system "$d"
}

clear_all() {
  local d
  for d in "$home"/ns/*/; do
    [ ! -d "$d" ] || down "$(basename "$d")"
  done
  network_down
}

case "${1:-} $#" in
  "up 3" | "up 4") up "$2" "$3" "${4:-}" ;;
  "on 2") on "$2" ;;
  "off 2") off "$2" ;;
  "down 2") down "$2" ;;
  "clear 1") clear_all ;;
  "network 1") network_up ;;
  *) sed -n 2,11p "$0"; exit 2 ;;
esac
