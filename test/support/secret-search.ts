import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { LabHost } from './lab.ts'

/** The secrets of a cluster, as its hosts have them: tokens, keys of kubeconfigs, node passwords; also as base64. */
export async function secretsOf(servers: readonly LabHost[], hosts: readonly LabHost[]): Promise<readonly string[]> {
  const found = new Set<string>()
  for (const server of servers) {
    const config = await server.must('cat /etc/rancher/k3s/config.yaml')
    for (const [, token] of config.matchAll(/^(?:agent-)?token: "(.+)"$/gm)) found.add(token!)
    const kubeconfig = await server.must('cat /etc/rancher/k3s/k3s.yaml')
    const key = /client-key-data: (\S+)/.exec(kubeconfig)?.[1] ?? ''
    found.add(key)
    // The second line of the key itself: the first and the last are the same for all.
    found.add(Buffer.from(key, 'base64').toString('utf8').split('\n')[1] ?? '')
  }
  for (const host of hosts) found.add(await host.must('cat /etc/rancher/node/password'))
  const values = [...found].filter(value => value.length >= 16)
  if (values.length < hosts.length + 4)
    throw new Error(`only ${values.length} secrets were found: the search would prove nothing`)
  return [...values, ...values.map(value => Buffer.from(value).toString('base64').replace(/=*$/, ''))]
}

const patterns = '/run/secret-patterns'

// $1 seconds since 1970. Everything that was written since, wherever it is mounted; with mode and owner.
const searchScript = `find / \\( -path /proc -o -path /sys -o -path /dev -o -path ${patterns} \\) -prune -o -type f -newerct "@$1" -print0 |
  xargs -0 -r grep -laF -f ${patterns} | while IFS= read -r file; do stat -c '%a %U %n' "$file"; done; exit 0`

/** Files of a host that hold a secret, as `MODE OWNER PATH`, written since then. */
export async function filesWith(host: LabHost, secrets: readonly string[], since: number): Promise<readonly string[]> {
  await host.put(patterns, `${secrets.join('\n')}\n`, '600')
  try {
    const said = await host.must(['sh', '-c', searchScript, 'search', String(since)], { timeoutMs: 120_000 })
    return said.split('\n').filter(line => line !== '')
  } finally {
    await host.must(['rm', '-f', patterns])
  }
}

/** Lines of a host's journal that hold a secret, without it. */
export async function journalWith(host: LabHost, secrets: readonly string[]): Promise<readonly string[]> {
  const { stdout } = await host.exec('journalctl --no-pager -a -o cat -q', {
    timeoutMs: 120_000,
    maxOutputBytes: 256 * 1024 * 1024,
  })
  return linesWith(stdout, secrets)
}

export function linesWith(text: string, secrets: readonly string[]): readonly string[] {
  return text.split('\n').flatMap(line => {
    const secret = secrets.find(value => line.includes(value))
    return secret === undefined ? [] : [line.replaceAll(secret, '…').slice(0, 300)]
  })
}

/** Files below a directory of this machine that hold a secret, as `MODE PATH`. */
export async function ownFilesWith(directory: string, secrets: readonly string[]): Promise<readonly string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true })
  const found: string[] = []
  for (const entry of entries.filter(one => one.isFile())) {
    const path = join(entry.parentPath, entry.name)
    const text = await readFile(path, 'latin1')
    if (!secrets.some(secret => text.includes(secret))) continue
    found.push(`${((await stat(path)).mode & 0o777).toString(8)} ${path.slice(directory.length + 1)}`)
  }
  return found.toSorted()
}
