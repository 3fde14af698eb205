import type { Support, SupportPart } from '../runtime.ts'
import { k3sPaths } from './paths.ts'

const k3s = `env HOME=/run/cloudimg-deploy ${k3sPaths.program}`

const journal = (unit: string): SupportPart => ({
  path: `journal/${unit.replaceAll('*', '')}.txt`,
  script: `journalctl --no-pager -o short-iso --since "$1" -u '${unit}'`,
})

const shown = (path: string, files: string): SupportPart => ({
  path,
  script: `for file in ${files}; do [ -f "$file" ] || continue; echo "==> $file ($(stat -c '%a %U:%G %s %y' "$file"))"; tail -c 262144 "$file"; echo; done`,
})

const hostParts: readonly SupportPart[] = [
  {
    path: 'versions.txt',
    script: `uname -a; cat /etc/os-release; uptime; date -u; ${k3sPaths.program} --version; systemctl --version | head -n 1; iptables --version; nft --version; tar --version | head -n 1`,
  },
  journal('k3s'),
  journal('k3s-agent'),
  journal('cloudimg*'),
  { path: 'journal/kernel.txt', script: `journalctl --no-pager -o short-iso -k -n 2000 || dmesg | tail -n 2000` },
  { path: 'cloudimg/files.txt', script: `ls -laR --time-style=full-iso ${k3sPaths.state} | head -n 5000` },
  shown(
    'cloudimg/state.txt',
    ['node', 'node.json', 'owned', 'applied', 'unit', 'lock', 'was', 'switching', 'displaced']
      .map(name => `${k3sPaths.state}/${name}`)
      .join(' '),
  ),
  shown('cloudimg/journal.txt', `${k3sPaths.state}/journal/*`),
  shown(
    'config/k3s.txt',
    '/etc/rancher/k3s/config.yaml /etc/rancher/k3s/config.yaml.d/* /etc/rancher/k3s/registries.yaml',
  ),
  shown('config/units.txt', '/etc/systemd/system/k3s* /etc/systemd/system/cloudimg* /etc/default/k3s*'),
  shown('config/network.txt', '/etc/hosts /etc/resolv.conf /run/systemd/resolve/resolv.conf'),
  {
    path: 'system/units.txt',
    script: `systemctl --no-pager --failed; for unit in k3s k3s-agent; do systemctl --no-pager show "$unit" -p ActiveState,SubState,UnitFileState,NRestarts,MainPID,ActiveEnterTimestamp,Result; done`,
  },
  { path: 'system/processes.txt', script: `ps -eo pid,ppid,user,etime,rss,stat,comm` },
  { path: 'system/memory.txt', script: `cat /proc/meminfo /proc/loadavg; cat /proc/pressure/* 2>/dev/null || true` },
  {
    path: 'system/disk.txt',
    script: `df -Pk; df -Pi; cat /proc/mounts; du -xsk /var/lib/rancher/* ${k3sPaths.state}/* 2>/dev/null || true`,
  },
  { path: 'system/sysctl.txt', script: `sysctl -a 2>/dev/null` },
  { path: 'system/modules.txt', script: `cat /proc/modules 2>/dev/null || echo 'a kernel without modules'` },
  { path: 'network/addresses.txt', script: `ip -details addr show` },
  { path: 'network/routes.txt', script: `ip route show table all; ip -6 route show table all; ip rule show` },
  { path: 'network/sockets.txt', script: `ss -lntu || cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp` },
  { path: 'network/iptables.txt', script: `iptables-save -c; ip6tables-save -c` },
  { path: 'network/nft.txt', script: `nft list ruleset` },
  { path: 'containers/containers.txt', script: `${k3s} crictl ps -a` },
  { path: 'containers/pods.txt', script: `${k3s} crictl pods` },
  { path: 'containers/images.txt', script: `${k3s} crictl images; ${k3s} ctr -n k8s.io images ls` },
]

const clusterParts: readonly SupportPart[] = [
  ...['nodes', 'pods', 'events'].flatMap((kind): readonly SupportPart[] => [
    { path: `kubernetes/${kind}.txt`, script: `${k3s} kubectl get ${kind} -A -o wide` },
    { path: `kubernetes/${kind}.json`, script: `${k3s} kubectl get ${kind} -A -o json`, objects: true },
  ]),
  { path: 'kubernetes/readyz.txt', script: `${k3s} kubectl get --raw '/readyz?verbose'` },
]

const secretFiles: readonly string[] = [
  k3sPaths.config,
  '/etc/rancher/k3s/config.yaml.d/*',
  '/etc/rancher/k3s/registries.yaml',
  k3sPaths.kubeconfig,
  '/etc/systemd/system/k3s*.env',
  '/etc/default/k3s*',
]

const tokenFiles: readonly string[] = [
  '/var/lib/rancher/k3s/server/token',
  '/var/lib/rancher/k3s/server/agent-token',
  `${k3sPaths.state}/token`,
  '/etc/rancher/node/password',
]

export const k3sSupport: Support = { hostParts, clusterParts, secretFiles, tokenFiles }
