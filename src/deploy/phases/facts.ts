import { join } from 'node:path/posix'
import type { Context } from '../../core/context.ts'
import type { Digest } from '../../core/digest.ts'
import { gatherFacts, type HostFacts } from '../../host/facts.ts'
import type { ReadonlyHost } from '../../host/host.ts'
import type { RootfsFile } from '../../oci/rootfs-file.ts'
import { type DeployImage, platformFor } from '../deploy-image.ts'
import { rootfsDirectory } from '../missing-files.ts'
import { nodeAddress } from '../node-address.ts'
import { onHosts } from '../on-hosts.ts'
import { openRootfs, type Rootfs } from '../rootfs.ts'
import type { SituatedNode } from '../situation.ts'
import type { Connected } from './connect.ts'

export interface Situation {
  readonly nodes: readonly SituatedNode[]
  /** One for each platform among the hosts, the first server's first. */
  readonly rootfs: readonly [Rootfs, ...Rootfs[]]
}

export interface FactsOptions {
  readonly image: DeployImage
  readonly nodeIps: Readonly<Record<string, string>>
  readonly concurrency: number
}

/** Looks at every host: what it is, and what of its rootfs it has already. */
export async function gatherSituation(
  connected: readonly [Connected, ...Connected[]],
  options: FactsOptions,
  ctx: Context,
): Promise<Situation> {
  ctx.events({ kind: 'phase', title: 'Facts' })
  const facts = await onHosts(connected, options.concurrency, nameOf, entry => gatherFacts(entry.host, ctx))
  const open = rootfsOpener(options.image, ctx)
  const first = await open(facts[0]!, connected[0].address.name)
  const rootfs = [first]
  for (const [index, entry] of connected.entries()) {
    const found = await open(facts[index]!, entry.address.name)
    if (!rootfs.includes(found)) rootfs.push(found)
  }
  const indexes = connected.map((entry, index) => ({ entry, index }))
  const nodes = await onHosts(
    indexes,
    options.concurrency,
    ({ entry }) => nameOf(entry),
    async ({ entry, index }) =>
      situate(entry, facts[index]!, await open(facts[index]!, entry.address.name), options, ctx),
  )
  return { nodes, rootfs: [first, ...rootfs.slice(1)] }
}

function nameOf(entry: Connected): string {
  return entry.address.name
}

/** A platform's tree is listed once, however many hosts have it. */
function rootfsOpener(image: DeployImage, ctx: Context): (facts: HostFacts, host: string) => Promise<Rootfs> {
  const opened = new Map<Digest, Promise<Rootfs>>()
  return async (facts, host) => {
    const platform = platformFor(image, facts.platform, host)
    const known = opened.get(platform.digest) ?? openRootfs(platform, image.reference, ctx)
    opened.set(platform.digest, known)
    return await known
  }
}

async function situate(
  { address, role, host }: Connected,
  facts: HostFacts,
  { platform, tree }: Rootfs,
  options: FactsOptions,
  ctx: Context,
): Promise<SituatedNode> {
  const directory = rootfsDirectory(platform.digest)
  const files = tree.filter(file => file.type === 'file')
  const present = await presentFiles(host, directory, tree, ctx)
  return {
    host: address.name,
    role,
    name: facts.hostname.toLowerCase(),
    ...nodeAddress(address, facts, options.nodeIps[address.name] ?? options.nodeIps[address.host]),
    facts,
    tree,
    present,
    rootfs: { directory, digest: platform.digest, files: new Map(files.map(file => [file.path, file])) },
    // The installer's word is taken for nothing: every file is read again.
    staged: facts.cloudimg.staged.includes(directory) && files.every(file => present.get(file.path) === file.digest),
  }
}

async function presentFiles(
  host: ReadonlyHost,
  directory: string,
  tree: readonly RootfsFile[],
  ctx: Context,
): Promise<ReadonlyMap<string, Digest>> {
  const paths = tree.filter(file => file.type === 'file').map(file => file.path)
  const there = await host.look(['test', '-d', directory], ctx)
  if (there.code !== 0) return new Map()
  const states = await host.stat(
    paths.map(path => join(directory, path)),
    ctx,
  )
  return new Map(
    paths.flatMap((path, index) => {
      const digest = states[index]?.digest
      return digest === undefined ? [] : [[path, digest] as const]
    }),
  )
}
