import { createReadStream } from 'node:fs'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { eventually, must } from '../command.ts'
import { atLeast } from '../k3s-standin/profile.ts'
import type { LabHost } from '../lab.ts'

/** The hosts and the release that the rows are held against. */
export interface Bench {
  /** The tag, `v1.31.4+k3s1`. */
  readonly version: string
  /** Holds k3s, the air-gap archives, k3s-images.txt and install.sh of one release. */
  readonly release: string
  readonly images: readonly string[]
  readonly isStandin: boolean
  readonly server: LabHost
  readonly agent: LabHost
  /** Its /var/lib/rancher is mounted noexec. */
  readonly noexec: LabHost
}

/** One sentence about k3s that the product relies on, and where it is written down. */
export interface Row {
  /** Facts file and section or number. */
  readonly fact: string
  readonly claim: string
  /** Why this row says nothing about that version; undefined where it does. */
  readonly not?: (version: string) => string | undefined
  run(bench: Bench): Promise<void>
}

/** Rows that follow each other on the same hosts. */
export interface Chapter {
  readonly title: string
  readonly rows: readonly Row[]
}

export const from =
  (gate: string) =>
  (version: string): string | undefined =>
    atLeast(gate, version) ? undefined : `${version} is older than v${gate.split(' ')[0]}`

export const before =
  (gate: string) =>
  (version: string): string | undefined =>
    atLeast(gate, version) ? `${version} is not older than v${gate.split(' ')[0]}` : undefined

/** Whatever a real k3s may take on this machine; the stand-in is fast. */
export function patienceOf(bench: Bench): number {
  return bench.isStandin ? 30_000 : 240_000
}

/** A release directory, or one that holds release directories: then the newest by name. */
export async function findRelease(dir: string): Promise<string> {
  if (await isFile(join(dir, 'k3s'))) return dir
  for (const name of (await readdir(dir)).toSorted().toReversed())
    if (await isFile(join(dir, name, 'k3s'))) return join(dir, name)
  throw new Error(`looking for a k3s release: neither "${dir}" nor a directory in it has a file k3s`)
}

export async function versionOf(release: string): Promise<string> {
  const said = await must([join(release, 'k3s'), '--version'])
  const version = /^k3s version (\S+) /.exec(said)?.[1]
  if (version === undefined) throw new Error(`asking "${release}/k3s" for its version: it says "${said}"`)
  return version
}

export async function imagesOf(release: string): Promise<readonly string[]> {
  return (await readFile(join(release, 'k3s-images.txt'), 'utf8')).trim().split('\n')
}

const archive = 'k3s-airgap-images-amd64.tar.zst'
export const imagesDir = '/var/lib/rancher/k3s/agent/images'

/** Places binary, installer and, where wanted, the archive. */
export async function placeRelease(bench: Bench, host: LabHost, withImages: boolean): Promise<void> {
  await host.put('/usr/local/bin/k3s', createReadStream(join(bench.release, 'k3s')), '755')
  await host.put('/root/install.sh', createReadStream(join(bench.release, 'install.sh')), '755')
  if (withImages) await host.put(`${imagesDir}/${archive}`, createReadStream(join(bench.release, archive)))
}

/** install.sh as DEPLOY.md has it run: nothing downloaded, nothing started. */
export function installScript(command: 'server' | 'agent', more = ''): string {
  const fixed = 'INSTALL_K3S_SKIP_DOWNLOAD=true INSTALL_K3S_SKIP_START=true INSTALL_K3S_SKIP_SELINUX_RPM=true'
  return `env ${fixed} INSTALL_K3S_EXEC=${command} ${more} sh /root/install.sh`
}

export const serverToken = 'a1b2c3d4e5f60718293a4b5c6d7e8f90'

export function serverConfig({ server }: Bench, more = ''): string {
  return `token: ${serverToken}\nnode-ip: ${server.ip}\nadvertise-address: ${server.ip}\nflannel-iface: eth0\n${more}`
}

export function agentConfig({ server, agent }: Bench, token: string, more = ''): string {
  return `server: https://${server.ip}:6443\ntoken: ${token}\nnode-ip: ${agent.ip}\nflannel-iface: eth0\n${more}`
}

export const configFile = '/etc/rancher/k3s/config.yaml'

/** Waits until the node's Ready condition has the given status; asks on the server. */
export async function untilReadyIs(bench: Bench, node: LabHost, status: 'True' | 'False' | 'Unknown'): Promise<void> {
  const path = '{.status.conditions[?(@.type=="Ready")].status}'
  await eventually(`node ${node.name} with Ready ${status}`, patienceOf(bench), async () => {
    const answer = await bench.server.exec(['k3s', 'kubectl', 'get', 'node', node.name, '-o', `jsonpath=${path}`])
    return answer.stdout === status ? true : undefined
  })
}

/** k3s does some things a while after its node is Ready. */
export async function untilSays(bench: Bench, host: LabHost, script: string, text: string): Promise<void> {
  await eventually(`"${text}" said by: ${script}`, patienceOf(bench), async () =>
    (await host.exec(script)).stdout.trim() === text ? true : undefined,
  )
}

export async function untilJournalSays(bench: Bench, host: LabHost, unit: string, pattern: RegExp): Promise<string> {
  return await eventually(`${pattern} in the journal of ${unit}`, patienceOf(bench), async () => {
    const journal = await journalOf(host, unit)
    return pattern.test(journal) ? journal : undefined
  })
}

/** Since the unit was last started. */
export async function journalOf(host: LabHost, unit: string): Promise<string> {
  const script = `id=$(systemctl show -p InvocationID --value ${unit}); journalctl -o cat --no-pager _SYSTEMD_INVOCATION_ID=$id`
  return (await host.exec(script)).stdout
}

/** Names in containerd, without the CRI's own. */
export async function namesOn(host: LabHost): Promise<readonly string[]> {
  const said = await host.must(['k3s', 'ctr', '-n', 'k8s.io', 'images', 'ls', '-q'])
  return said.split('\n').filter(name => !name.startsWith('sha256:'))
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    found => found.isFile(),
    () => false,
  )
}
