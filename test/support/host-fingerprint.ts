import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LabHost } from './lab.ts'

// Lines of "KIND WHAT", sorted by the caller. No times: whatever was written again with the same content is the same.
const script = `
find / -xdev \\( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp \\) -prune -o -printf 'file %p %y %m %U:%G %l\\n' | sed '/^file \\/ /d'
find /etc /usr/local /var/lib/cloudimg -xdev -type f -exec sha256sum {} + 2>/dev/null | sed 's/^\\([0-9a-f]*\\)  \\(.*\\)/file \\2 \\1/'
ip -o addr show | awk '{print "address " $2 " " $4}'
ip -o link show | awk -F': ' '{print "link " $2}' | sed 's/@.*//'
ip route show table all | grep -v '^local\\|^broadcast\\|^multicast\\|proto kernel' | sed 's/^/route /'
for tool in iptables ip6tables; do $tool-save 2>/dev/null | sed -e 's/\\[[0-9:]*\\]//' -e 's/ *$//' -e 's/^/iptables /'; done
nft list ruleset 2>/dev/null | sed 's/^/nft /'
systemctl list-unit-files --state=enabled --no-legend --plain | awk '{print "unit " $1}'
awk '{print "mount " $2 " " $3}' /proc/self/mounts
`

export type HostFingerprint = readonly string[]

/** All that a host is, for telling whether it is the same again. */
export async function fingerprintOf(host: LabHost): Promise<HostFingerprint> {
  const { stdout } = await host.exec(script)
  return [...new Set(stdout.split('\n').filter(line => line !== ''))].toSorted()
}

/** What is in one and not in the other, but for what docs/reset-exceptions.txt excuses. */
export async function unexcusedDifferences(
  before: HostFingerprint,
  after: HostFingerprint,
): Promise<{ readonly gone: readonly string[]; readonly new: readonly string[] }> {
  const text = await readFile(join(import.meta.dirname, '../../docs/reset-exceptions.txt'), 'utf8')
  const excuses = text
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('#'))
    .map(line => new RegExp(line))
  const missing = (from: HostFingerprint, to: HostFingerprint): readonly string[] => {
    const known = new Set(to)
    return from.filter(line => !known.has(line) && !excuses.some(excuse => excuse.test(line)))
  }
  return { gone: missing(before, after), new: missing(after, before) }
}
