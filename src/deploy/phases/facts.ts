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
import { readNodeRecord } from '../cluster-id.ts'
import { emptyRootfs, openInstalledRootfs, openRootfs, type Rootfs } from '../rootfs.ts'
import type { SituatedNode } from '../situation.ts'
import type { Connected } from './connect.ts'

export interface Situation {
  readonly nodes: readonly SituatedNode[]
  /** One for each platform among the hosts, the first server's first. */
  readonly rootfs: readonly [Rootfs, ...Rootfs[]]
}

export interface FactsOptions {
  /** What the machines run already unless told. */
  readonly image: DeployImage | undefined
  readonly nodeIps: Readonly<Record<string, string>>
  readonly concurrency: number
  readonly now: () => number
}

/** Looks at every host: what it is, and what of its rootfs it has already. Servers that run come first. */
export async function gatherSituation(
  connected: readonly [Connected, ...Connected[]],
  options: FactsOptions,
  ctx: Context,
): Promise<Situation> {
  ctx.events({ kind: 'phase', title: 'Facts' })
  const facts = await onHosts(connected, options.concurrency, nameOf, entry =>
    gatherFacts(entry.host, options.now, ctx),
  )
  const seen = connected.map((entry, index) => ({ entry, facts: facts[index]! })).sort(founderFirst)
  const open = rootfsOpener(options.image, ctx)
  const rootfs = new Set<Rootfs>()
  // Those that know what they are come first: the others are handled with what their cluster has.
  for (const { entry, facts } of seen.toSorted((a, b) => Number(isBlank(a)) - Number(isBlank(b))))
    rootfs.add(await open(facts, entry.host))
  const nodes = await onHosts(
    seen,
    options.concurrency,
    ({ entry }) => nameOf(entry),
    async ({ entry, facts }) => situate(entry, facts, await open(facts, entry.host), options, ctx),
  )
  const [first, ...others] = rootfs
  return { nodes, rootfs: [first!, ...others] }
}

function nameOf(entry: Connected): string {
  return entry.address.name
}

interface Seen {
  readonly entry: Connected
  readonly facts: HostFacts
}

/** A cluster that exists is asked, never made anew, in whatever order its servers are named; else the user's order counts. */
function founderFirst(a: Seen, b: Seen): number {
  const rank = ({ entry, facts }: Seen): number => {
    if (entry.role === 'agent') return 4
    if (entry.leaves === true) return 3
    if (facts.cloudimg.node === undefined) return 2
    return facts.k3s.units.k3s.active === 'active' ? 0 : 1
  }
  return rank(a) - rank(b)
}

function isBlank({ facts }: Seen): boolean {
  return readNodeRecord(facts)?.digest === undefined
}

type OpenRootfs = (facts: HostFacts, host: ReadonlyHost) => Promise<Rootfs>

/** A platform's tree is listed once, however many hosts have it. */
function rootfsOpener(image: DeployImage | undefined, ctx: Context): OpenRootfs {
  const opened = new Map<Digest | undefined, Promise<Rootfs>>()
  const once = (digest: Digest | undefined, work: () => Promise<Rootfs>): Promise<Rootfs> => {
    const known = opened.get(digest) ?? work()
    opened.set(digest, known)
    return known
  }
  const openInstalled = async (facts: HostFacts, host: ReadonlyHost): Promise<Rootfs> => {
    const digest = readNodeRecord(facts)?.digest
    const [any] = opened.values()
    if (digest === undefined) return await (any ?? once(undefined, () => emptyRootfs(facts)))
    return await once(digest, () => openInstalledRootfs(facts, host, ctx))
  }
  return async (facts, host) => {
    if (image === undefined) return await openInstalled(facts, host)
    const platform = platformFor(image, facts.platform, host.name)
    return await once(platform.digest, () => openRootfs(platform, image.reference, ctx))
  }
}

async function situate(
  { address, role, host, leaves = false }: Connected,
  facts: HostFacts,
  { platform, tree, installed }: Rootfs,
  options: FactsOptions,
  ctx: Context,
): Promise<SituatedNode> {
  const directory = rootfsDirectory(platform.digest)
  const files = tree.filter(file => file.type === 'file')
  const present = files.length === 0 ? new Map<string, Digest>() : await presentFiles(host, directory, tree, ctx)
  return {
    host: address.name,
    // Who left half-way is known to itself alone.
    role: leaves ? (readNodeRecord(facts)?.role ?? role) : role,
    name: facts.hostname.toLowerCase(),
    ...nodeAddress(address, facts, options.nodeIps[address.name] ?? options.nodeIps[address.host]),
    facts,
    tree,
    present,
    ...(leaves ? { leaves } : {}),
    rootfs: { directory, digest: platform.digest, files: installed ?? new Map(files.map(file => [file.path, file])) },
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
