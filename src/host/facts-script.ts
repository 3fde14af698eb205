/**
 * The one look at a host. It changes nothing, needs no more than a POSIX base system, and prints `key=value` lines that
 * `parseFacts` reads. Values of secrets never leave the host.
 */
export const factsScript = `
say() { printf '%s=%s\\n' "$1" "$2"; }
lines() { while IFS= read -r line || [ -n "$line" ]; do say "$1" "$line"; done; }
has() { command -v "$1" >/dev/null 2>&1; }
first() { for candidate; do [ -d "$candidate" ] && { echo "$candidate"; return; }; done; echo /; }

say system "$(uname -s)"; say machine "$(uname -m)"; say kernel "$(uname -r)"
say hostname "$(uname -n)"; say machine-id "$(cat /etc/machine-id 2>/dev/null)"
if [ -d /run/systemd/system ]; then say init systemd; elif has rc-service; then say init openrc; else say init unknown; fi
say time "$(date +%s)"
say cpus "$(grep -c '^processor' /proc/cpuinfo)"
say memory-kib "$(sed -n 's/^MemTotal: *\\([0-9]*\\).*/\\1/p' /proc/meminfo)"
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then say cgroup 2; say controllers "$(cat /sys/fs/cgroup/cgroup.controllers)"
else say cgroup 1; say controllers "$(sed -n 's/^\\([a-z_]*\\)[[:space:]].*1$/\\1/p' /proc/cgroups | tr '\\n' ' ')"; fi

has ip && ip -o addr show 2>/dev/null | sed -n 's/^[0-9]*: *\\([^ ]*\\) *inet6\\{0,1\\} \\([^ ]*\\).*/\\1 \\2/p' | grep -v '^lo ' | lines address
has ip && { ip route show default; ip -6 route show default; } 2>/dev/null | lines route
for file in /etc/resolv.conf /run/systemd/resolve/resolv.conf; do sed -n 's/^nameserver[[:space:]]*//p' "$file" 2>/dev/null | lines nameserver; done
for want in /var/lib/cloudimg /var/lib/rancher /usr/local/bin; do
  at=$(first "$want" "$(dirname "$want")")
  say disk "$want $(df -Pk "$at" | awk 'NR==2{print $4}') $(df -Pi "$at" 2>/dev/null | awk 'NR==2 && $2>0{print $4}' | grep . || echo -) $(awk -v at="$at" '$2=="/" || at==$2 || index(at, $2 "/")==1 {if (length($2)>=n) {n=length($2); o=$4}} END{print o}' /proc/mounts)"
done
at=$(first /var/lib/rancher /var/lib); say data-fs "$(stat -f -c %T "$at" 2>/dev/null)"
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk '$4=="0A"{print $2}' | lines tcp
cat /proc/net/udp /proc/net/udp6 2>/dev/null | awk '$4=="07"{print $2}' | lines udp
if has modprobe && [ -d "/lib/modules/$(uname -r)" ]; then
  for module in overlay br_netfilter nf_conntrack vxlan; do [ -d "/sys/module/$module" ] || modprobe -n -q "$module" 2>/dev/null || say module $module; done
fi
has iptables && say iptables "$(iptables --version 2>/dev/null)"
for tool in sha256sum tar systemctl systemd-run journalctl ip awk sed xargs stat; do has $tool || say missing $tool; done
has curl && say http-client curl
has timeout && wget --version 2>/dev/null | grep -q '^GNU Wget' && say http-client wget
has busybox && busybox --list 2>/dev/null | grep -qx httpd && say http-server busybox
has python3 && say http-server python3
has getenforce && say selinux "$(getenforce)"
[ -d /usr/share/selinux/packages ] && ls /usr/share/selinux/packages 2>/dev/null | grep -q k3s && say selinux-k3s yes
[ "$(cat /sys/module/apparmor/parameters/enabled 2>/dev/null)" = Y ] && ! has apparmor_parser && ! [ -x /sbin/apparmor_parser ] && say apparmor no-parser
for service in firewalld ufw nm-cloud-setup.timer fapolicyd docker kubelet rke2-server rke2-agent k0scontroller k0sworker; do
  systemctl is-active --quiet $service 2>/dev/null && say service $service
done

for unit in k3s k3s-agent; do
  say unit-$unit "$(systemctl is-active $unit 2>/dev/null) $(systemctl is-enabled $unit 2>/dev/null | head -n 1)"
done
[ -x /usr/local/bin/k3s ] && /usr/local/bin/k3s --version 2>/dev/null | lines k3s-version
[ -f /etc/rancher/k3s/config.yaml ] && sed -e 's/^\\([a-z-]*token[a-z-]*\\):.*/\\1: (hidden)/' -e 's/^\\(datastore-endpoint\\):.*/\\1: (hidden)/' /etc/rancher/k3s/config.yaml | lines k3s-config
[ -f /etc/rancher/k3s/registries.yaml ] && sed 's/^\\( *password\\):.*/\\1: (hidden)/' /etc/rancher/k3s/registries.yaml | lines k3s-registries
say unit-registry "$(systemctl is-active cloudimg-registry 2>/dev/null) $(systemctl is-enabled cloudimg-registry 2>/dev/null | head -n 1)"
for file in /etc/rancher/k3s/config.yaml.d/*.yaml /etc/rancher/k3s/config.yaml.d/*.yml; do
  [ -f "$file" ] && sed -n "s|^\\"\\{0,1\\}\\([a-z-]*\\)+\\{0,1\\}\\"\\{0,1\\}:.*|$(basename "$file"): \\1|p" "$file" | lines k3s-drop-in
done
ls /var/lib/rancher/k3s/storage 2>/dev/null | lines k3s-volume
[ -d /var/lib/rancher/k3s/server/db ] || [ -d /var/lib/rancher/k3s/agent/etc ] && say k3s-data yes

C=/var/lib/cloudimg
[ -f $C/node.json ] && lines node < $C/node.json
[ -f $C/lock ] && lines lock < $C/lock
say previous "$(readlink $C/previous 2>/dev/null)"
for hook in $C/hooks/*.sh; do [ -f "$hook" ] && say hook "$(basename "$hook" .sh)"; done
operation=$(ls $C/journal/*.operator.jsonl 2>/dev/null | tail -n 1)
[ -n "$operation" ] && ! tail -n 1 "$operation" | grep -q '"event":"end"' && head -n 1 "$operation" | lines operation
for staged in $C/rootfs/*.staged; do
  dir=\${staged%.staged}
  [ -f "$staged" ] && [ -f "$dir.sums" ] || continue
  say staged "$dir"
  sed "s|^\\([0-9a-f]\\{64\\}\\)  \\(.*\\)|\\1  $dir/\\2|" "$dir.sums" | lines sum
done
exit 0
`
