import { join } from 'node:path'
import { MiB } from '../../core/bytes.ts'
import type { Context } from '../../core/context.ts'
import { CloudimgError, isCloudimgError } from '../../core/error.ts'
import { parseHostAddress } from '../../host/address.ts'
import { compareBytes, readdirIfPresent, readFileIfPresent } from '../../io/files.ts'
import { findRuntime } from '../../runtime/find-runtime.ts'
import type { Role, Support } from '../../runtime/runtime.ts'
import { Bundle } from '../collect/bundle.ts'
import { gatherParts, type GatheredPart, learnSecrets } from '../collect/gather.ts'
import { Redactor } from '../collect/redactor.ts'
import { parseSince } from '../collect/since.ts'
import type { ClusterChoice } from '../discover.ts'
import { type Ends, realEnds } from '../ends.ts'
import { type Everyone, everyone, type KnownNode } from '../everyone.ts'
import { onHosts } from '../on-hosts.ts'
import { type ReachOptions, stateHome } from '../options.ts'
import { unseen } from '../status/inspect-node.ts'
import { clusterStatus } from './status.ts'

export interface CollectOptions extends ReachOptions {
  readonly choice: ClusterChoice
  /** Ends with `.tar.gz` or `.tar.zst`. */
  readonly output: string
  /** Journals from then on: `30m`, `24h`, `7d`, or a day with or without a time. */
  readonly since: string
}

export interface CollectedHost {
  readonly name: string
  readonly role: Role
  readonly host: string
  /** Why nothing came from it. */
  readonly unseen?: string
  readonly parts: readonly GatheredPart[]
}

export interface CollectResult {
  /** Undefined where neither a server nor the operator knows. */
  readonly cluster: string | undefined
  readonly path: string
  readonly bytes: number
  readonly hosts: readonly CollectedHost[]
}

/**
 * A support bundle of a cluster, in whatever state it is: from every host that answers what it tells of itself, from one server what
 * the cluster tells, and the operator's own journals. No secrets; for nobody else to read. Changes nothing, and locks nothing.
 */
export async function collectSupport(
  options: CollectOptions,
  ctx: Context,
  ends: Ends = realEnds,
): Promise<CollectResult> {
  const { choice, output, since: asked, ...reach } = options
  const since = parseSince(asked)
  const bundle = await Bundle.create(output, ends.now())
  try {
    const { id, nodes } = await whoever(choice, reach, ends, ctx)
    ctx.events({ kind: 'phase', title: 'Collect' })
    const redactor = new Redactor()
    for (const secret of [reach.ssh?.password, reach.ssh?.sudoPassword]) redactor.add(secret ?? '')
    const collection = { bundle, redactor, since, reach, ends, support: findRuntime('k3s').support() }
    const hosts = await collectHosts(nodes, collection, ctx)
    await addOperator(id, choice, collection, ctx)
    const index = { v: 1, cluster: id, since, hosts }
    await bundle.add('index.json', `${redactor.redact(JSON.stringify(index, undefined, 2))}\n`)
    return { cluster: id, path: output, bytes: await bundle.close(), hosts }
  } catch (error) {
    await bundle.drop()
    throw error
  }
}

interface Collection {
  readonly bundle: Bundle
  readonly redactor: Redactor
  readonly since: string
  readonly reach: ReachOptions
  readonly ends: Ends
  readonly support: Support
}

/** A server that is named is enough, though it should know no cluster any more. */
async function whoever(
  choice: ClusterChoice,
  reach: ReachOptions,
  ends: Ends,
  ctx: Context,
): Promise<Pick<Everyone, 'nodes'> & { readonly id: string | undefined }> {
  try {
    return await everyone(choice, reach, ends, ctx)
  } catch (error) {
    if (choice.server === undefined || !isCloudimgError(error) || error.code === 'CANCELLED') throw error
    const address = parseHostAddress(choice.server)
    return { id: undefined, nodes: [{ name: address.name, role: 'server', address }] }
  }
}

/** The first server teaches the secrets that all share, before anybody's words are written; then all side by side. */
async function collectHosts(
  nodes: readonly KnownNode[],
  collection: Collection,
  ctx: Context,
): Promise<readonly CollectedHost[]> {
  const done: CollectedHost[] = []
  const left = [...nodes]
  let asked = false
  while (!asked) {
    const at = left.findIndex(node => node.role === 'server')
    if (at < 0) break
    const [server] = left.splice(at, 1)
    const collected = await collectHost(server!, true, collection, ctx)
    done.push(collected)
    asked = collected.unseen === undefined
  }
  const limit = collection.reach.limits?.concurrency ?? 10
  const others = await onHosts(
    left,
    limit,
    node => node.name,
    node => collectHost(node, false, collection, ctx),
  )
  return [...done, ...others]
}

async function collectHost(
  node: KnownNode,
  isAsked: boolean,
  { bundle, redactor, since, reach, ends, support }: Collection,
  ctx: Context,
): Promise<CollectedHost> {
  const about = { name: node.name, role: node.role, host: node.address.name }
  try {
    const host = await ends.connect(node.address, reach.ssh ?? {}, ctx)
    try {
      await learnSecrets(host, support, redactor, ctx)
      const into = { bundle, redactor, since }
      const parts = await gatherParts(host, support.hostParts, { ...into, directory: `hosts/${node.name}` }, ctx)
      const told = isAsked ? await gatherParts(host, support.clusterParts, { ...into, directory: 'cluster' }, ctx) : []
      ctx.events({ kind: 'host', host: about.host, sentence: `${parts.length} files collected`, outcome: 'ok' })
      return { ...about, parts: [...parts, ...told] }
    } finally {
      await host.close()
    }
  } catch (error) {
    // The bundle itself could not be written: no host is to blame.
    if (isCloudimgError(error) && ['FILE_ERROR', 'DISK_FULL'].includes(error.code)) throw error
    const reason = unseen(error)
    ctx.events({ kind: 'warning', code: 'host-silent', message: `${about.host}: ${reason}` })
    return { ...about, unseen: reason, parts: [] }
  }
}

/** Of each journal that much, and so many of them, the newest. */
const [journalBytes, journals] = [4 * MiB, 20]

/** What the operator knows: how the hosts are reached, the journals with what was asked, and the status. No kubeconfig, no snapshots. */
async function addOperator(
  id: string | undefined,
  choice: ClusterChoice,
  { bundle, redactor, reach, ends }: Collection,
  ctx: Context,
): Promise<void> {
  if (id === undefined) return
  const directory = join(reach.stateHome ?? stateHome(), id)
  const names = (await readdirIfPresent(directory)).sort(compareBytes)
  const newest = names.filter(name => name.endsWith('.jsonl')).slice(-journals)
  for (const name of [...names.filter(name => name === 'cluster.json'), ...newest]) {
    const text = (await readFileIfPresent(join(directory, name), 256 * MiB))?.subarray(-journalBytes).toString('utf8')
    await bundle.add(`operator/${name}`, redactor.redact(text ?? ''))
  }
  await bundle.add('operator/status.json', redactor.redact(await statusText(choice, reach, ends, ctx)))
}

async function statusText(choice: ClusterChoice, reach: ReachOptions, ends: Ends, ctx: Context): Promise<string> {
  try {
    return `${JSON.stringify(await clusterStatus({ ...reach, choice }, ctx, ends), undefined, 2)}\n`
  } catch (error) {
    if (!(error instanceof CloudimgError) || error.code === 'CANCELLED') throw error
    return `${JSON.stringify({ error: error.message })}\n`
  }
}
