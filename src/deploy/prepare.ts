import { join } from 'node:path'
import type { Context } from '../core/context.ts'
import { CloudimgError, isCloudimgError } from '../core/error.ts'
import { parseReference } from '../core/reference.ts'
import type { Host } from '../host/host.ts'
import { findRuntime } from '../runtime/find-runtime.ts'
import type { Cluster, Member, Runtime } from '../runtime/runtime.ts'
import type { Action } from './action.ts'
import { clusterId, readNodeRecord } from './cluster-id.ts'
import type { Ends } from './ends.ts'
import { environmentHoles, noEnvironment } from './environment.ts'
import { Holes } from './holes.ts'
import { launchLines } from './launch-lines.ts'
import { stateHome } from './options.ts'
import { connect, type Connected, disconnect } from './phases/connect.ts'
import { gatherSituation, type Situation } from './phases/facts.ts'
import { makePlan, type Plan } from './plan.ts'
import { askRegistry } from './registry/ask-registry.ts'
import { registryEnd } from './registry/open-registry.ts'
import type { RegistryEnd } from './registry/registry-end.ts'
import { chosenRegistry, givenSecrets } from './registry/choose-registry.ts'
import { withoutPulled } from './registry/pulled-images.ts'
import type { ActionRequest } from './request.ts'
import type { SituatedNode } from './situation.ts'
import type { Pace } from './waiting.ts'

/** Everything known before the first change. */
export interface Prepared {
  readonly action: Action
  readonly request: ActionRequest
  readonly ends: Ends
  readonly connected: readonly Connected[]
  readonly hosts: ReadonlyMap<string, Host>
  readonly situation: Situation
  /** Who is in the cluster at the end. */
  readonly nodes: readonly [SituatedNode, ...SituatedNode[]]
  readonly plan: Plan
  readonly runtime: Runtime
  readonly holes: Holes
  /** The registry of a URL, where the cluster has one. */
  readonly registry: RegistryEnd | undefined
  readonly pace: Pace
  /** The operator's state of this cluster. */
  readonly directory: string
  readonly concurrency: number
  readonly timeoutSeconds: number
}

/** Connect, facts, plan; then `work`; and disconnect whatever happens. Changes nothing itself. */
export async function withPrepared<T>(
  action: Action,
  request: ActionRequest,
  ends: Ends,
  ctx: Context,
  work: (prepared: Prepared) => Promise<T>,
): Promise<T> {
  const { concurrency = 10 } = request.limits ?? {}
  const [first, ...others] = await connect(request.inventory, request.ssh ?? {}, concurrency, ends, ctx)
  if (first === undefined) throw new CloudimgError('BUG', `planning to ${action.name}: no host is named`)
  const connected = [first, ...others] as const
  try {
    return await work(await prepare(action, request, connected, ends, ctx))
  } catch (error) {
    throw ctx.signal.aborted ? cancelled(error) : error
  } finally {
    await disconnect(connected)
  }
}

/** Whatever an interruption broke first: it was the interruption. */
function cancelled(error: unknown): CloudimgError {
  if (isCloudimgError(error, 'CANCELLED')) return error
  const data = isCloudimgError(error) ? error.data : {}
  return new CloudimgError('CANCELLED', 'deploying: interrupted', { cause: error, data })
}

async function prepare(
  action: Action,
  request: ActionRequest,
  connected: readonly [Connected, ...Connected[]],
  ends: Ends,
  ctx: Context,
): Promise<Prepared> {
  const { concurrency = 10, timeoutSeconds = 900 } = request.limits ?? {}
  const nodeIps = request.cluster?.nodeIps ?? {}
  const situation = await gatherSituation(
    connected,
    { image: request.image, nodeIps, concurrency, now: () => ends.now() },
    ctx,
  )
  const hosts = new Map(connected.map(({ address, host }) => [address.name, host]))
  const [first, ...rest] = situation.nodes.filter(node => node.leaves !== true)
  const leaving = situation.nodes.filter(node => node.leaves === true)
  if (first === undefined) throw new CloudimgError('BUG', `planning to ${action.name}: nobody is left`)
  const everyone = [first, ...rest] as const
  const runtime = findRuntime(situation.rootfs[0].platform.metadata.runtime)
  const members = await askMembers(first, runtime, hosts, ctx)
  // A machine that is a node of ours has taken its old self's place already.
  const reborn = new Set(everyone.filter(node => node.facts.cloudimg.node !== undefined).map(node => node.name))
  const forgotten = members.filter(({ name }) => request.forgotten?.includes(name) === true && !reborn.has(name))
  const lost = request.datastore?.lost ?? []
  const gone = new Set([...[...leaving, ...forgotten].map(node => node.name), ...lost])
  const staying = members.filter(member => !gone.has(member.name))
  const cluster = describeCluster(request, situation, everyone, staying, runtime, timeoutSeconds)
  const { collected = [] } = situation.rootfs[0].platform.metadata
  const nodes = withoutPulled(everyone, cluster, collected)
  const secrets = { ...request.given, ...givenSecrets(request.cluster) }
  const { image, fixes = [], wishes = {}, env = noEnvironment } = request
  const holes = new Holes(runtime.holes(first, cluster, secrets), hosts, environmentHoles(env))
  const end = registryEnd(cluster, situation.rootfs, holes, entry => ends.openRepository(entry))
  const asked = nodes.map(node => hosts.get(node.host)!)
  const registry =
    end === undefined || cluster.registry.mode !== 'url' || request.image === undefined
      ? undefined
      : await askRegistry(end, cluster.registry.url, asked, concurrency, ctx)
  const plan = makePlan(action, {
    image: image && { reference: image.reference, digest: image.digest },
    cluster,
    runtime,
    nodes,
    leaving,
    forgotten,
    members,
    registry,
    fixes,
    ...(request.datastore === undefined ? {} : { datastore: request.datastore }),
    launch: launchLines(situation.rootfs[0].platform.metadata, env.all),
    env,
    wishes: { ...wishes, ...(situation.rootfs[0].platform.metadata.standIn === true ? { standIn: true } : {}) },
  })
  const directory = join(request.stateHome ?? stateHome(), cluster.id)
  const known = { action, request, ends, connected, hosts, situation, nodes, plan, runtime, holes, registry: end }
  return { ...known, pace: ends, directory, concurrency, timeoutSeconds }
}

/** None where there is no cluster yet, or where its server does not answer: that is for the judges to weigh. */
async function askMembers(
  server: SituatedNode,
  runtime: Runtime,
  hosts: ReadonlyMap<string, Host>,
  ctx: Context,
): Promise<readonly Member[]> {
  if (server.facts.k3s.units.k3s.active !== 'active' || server.facts.cloudimg.node === undefined) return []
  try {
    return await runtime.nodes(hosts.get(server.host)!, ctx)
  } catch (error) {
    if (isCloudimgError(error, 'COMMAND_FAILED')) return []
    throw error
  }
}

function describeCluster(
  request: ActionRequest,
  situation: Situation,
  nodes: Prepared['nodes'],
  members: readonly Member[],
  runtime: Runtime,
  timeoutSeconds: number,
): Cluster {
  const { metadata } = situation.rootfs[0].platform
  const wishes = request.cluster ?? {}
  const inherited = runtime.inherited(nodes[0])
  const servers = nodes.filter(node => node.role === 'server')
  const own = servers.flatMap(node => [node.address, node.host])
  const extra = wishes.tlsSans ?? inherited?.tlsSans.filter(name => !own.includes(name)) ?? []
  const addresses = [...servers, ...members.filter(member => member.role === 'server')].map(({ address }) => address)
  return {
    id: clusterId(nodes.find(node => readNodeRecord(node.facts)?.cluster !== undefined) ?? nodes[0]),
    version: metadata.version,
    hasFeature: name => metadata.features.includes(name),
    tlsSans: [...new Set([...extra, ...(wishes.endpoint === undefined ? [] : [wishes.endpoint])])],
    config: {
      server: wishes.config?.server ?? inherited?.config ?? {},
      ...(wishes.config?.agent === undefined ? {} : { agent: wishes.config.agent }),
    },
    datastore: datastoreFor(request, inherited?.datastore, servers.length),
    registry: chosenRegistry(wishes.registry) ?? inherited?.registry ?? { mode: 'none' },
    registryHosts: registryHostsOf(situation.rootfs.flatMap(({ images }) => images)),
    servers: [...new Set(addresses)].filter(address => address !== ''),
    timeoutSeconds,
  }
}

function registryHostsOf(images: readonly string[]): readonly string[] {
  return [...new Set(images.map(image => parseReference(image).registry))].sort()
}

/** What it has stays, unless it shall be converted; a new one is as small as its servers allow. */
function datastoreFor(
  request: ActionRequest,
  present: Cluster['datastore'] | undefined,
  servers: number,
): Cluster['datastore'] {
  if (request.datastore?.kind === 'restore' && present !== 'external') return request.datastore.snapshot.datastore
  if (present === 'sqlite' && request.wishes?.convertDatastore === true) return 'etcd'
  if (present !== undefined) return present
  if (request.cluster?.datastoreEndpoint !== undefined) return 'external'
  return servers > 1 ? 'etcd' : 'sqlite'
}
