import { join } from 'node:path'
import { isIPv6 } from 'node:net'
import type { Context } from '../core/context.ts'
import { CloudimgError, isCloudimgError, reasonOf } from '../core/error.ts'
import { formatHostAddress, type HostAddress, parseHostAddress, thisMachine } from '../host/address.ts'
import { gatherFacts } from '../host/facts.ts'
import type { Host } from '../host/host.ts'
import { findRuntime } from '../runtime/find-runtime.ts'
import type { Member, Role, Runtime } from '../runtime/runtime.ts'
import { readNodeRecord } from './cluster-id.ts'
import { chooseCluster, type ClusterRecord, readClusterRecord, type RecordedHost } from './cluster-record.ts'
import type { Ends } from './ends.ts'
import { type ReachOptions, stateHome } from './options.ts'
import { openInstalledRootfs } from './rootfs.ts'

/** How a cluster that exists is named: by one of its servers, by its id, or not at all where the operator has one only. */
export interface ClusterChoice {
  readonly server?: string
  readonly cluster?: string
}

/** A member of a cluster, and how its machine is reached. */
export interface FoundNode {
  readonly name: string
  readonly role: Role
  readonly address: HostAddress
  readonly member: Member
}

export interface FoundCluster {
  readonly id: string
  readonly runtime: Runtime
  /** The server that was asked, first. */
  readonly nodes: readonly [FoundNode, ...FoundNode[]]
  /** What the operator knows of it from before. */
  readonly recorded: readonly RecordedHost[]
}

/** How long servers are given that are there but do not answer: a leader that was lost is replaced meanwhile. */
const patienceSeconds = 40

/**
 * Asks a server of a cluster who belongs to it. Machines are reached as the operator once named them, else at their address in
 * the cluster, with the user and the port of the server that was asked.
 */
export async function findCluster(
  choice: ClusterChoice,
  reach: ReachOptions,
  ends: Ends,
  ctx: Context,
): Promise<FoundCluster> {
  const home = reach.stateHome ?? stateHome()
  const end = ends.now() + patienceSeconds * 1000
  for (;;) {
    try {
      return await askServers(choice, home, reach, ends, ctx)
    } catch (error) {
      if (!isSilence(error) || ends.now() + ends.pollMs >= end) throw error
    }
    await ends.sleep(ends.pollMs, ctx.signal)
  }
}

/** The machine was reached, and its API server did not answer. */
function isSilence(error: unknown): boolean {
  return isCloudimgError(error) && (error.code === 'COMMAND_FAILED' || error.data.silent === true)
}

async function askServers(
  choice: ClusterChoice,
  home: string,
  reach: ReachOptions,
  ends: Ends,
  ctx: Context,
): Promise<FoundCluster> {
  if (choice.server !== undefined) return await askServer(parseHostAddress(choice.server), home, reach, ends, ctx)
  const record = await chooseCluster(home, choice.cluster)
  const servers = record.hosts.filter(host => host.role === 'server')
  const failures: CloudimgError[] = []
  for (const { host } of servers) {
    try {
      return await askServer(addressOf(host), home, reach, ends, ctx)
    } catch (error) {
      if (!isCloudimgError(error) || error.code === 'CANCELLED') throw error
      failures.push(error)
    }
  }
  throw noAnswer(record, failures)
}

function noAnswer(record: ClusterRecord, failures: readonly CloudimgError[]): CloudimgError {
  const list = failures.map(error => `\n  ${reasonOf(error)}`).join('')
  return new CloudimgError('HOST_UNREACHABLE', `asking cluster ${record.id}: none of its servers answers${list}`, {
    hint: 'name a server that runs with --server HOST',
    cause: failures[0],
    data: { silent: failures.some(isSilence) },
  })
}

async function askServer(
  address: HostAddress,
  home: string,
  reach: ReachOptions,
  ends: Ends,
  ctx: Context,
): Promise<FoundCluster> {
  const host = await ends.connect(address, reach.ssh ?? {}, ctx)
  try {
    const { id, self, members, runtime } = await whoIsThere(host, ends, ctx)
    const record = await readClusterRecord(join(home, id))
    const nodes = members.map(member => ({
      name: member.name,
      role: member.role,
      address: member.name === self ? address : reachOf(member.name, member.address, address, record),
      member,
    }))
    const first = nodes.find(node => node.name === self)
    if (first === undefined)
      throw new CloudimgError('HOST_UNSUITABLE', `asking "${host.name}": the cluster does not know it as a node`, {
        hint: 'name another server with --server HOST',
      })
    return { id, runtime, nodes: [first, ...nodes.filter(node => node !== first)], recorded: record?.hosts ?? [] }
  } finally {
    await host.close()
  }
}

interface WhoIsThere {
  readonly id: string
  /** The name of the node that was asked. */
  readonly self: string
  readonly members: readonly Member[]
  readonly runtime: Runtime
}

async function whoIsThere(host: Host, ends: Ends, ctx: Context): Promise<WhoIsThere> {
  const facts = await gatherFacts(host, () => ends.now(), ctx)
  const record = readNodeRecord(facts)
  if (record?.cluster === undefined || record.role !== 'server')
    throw new CloudimgError(
      'HOST_UNSUITABLE',
      `asking "${host.name}": it is no server of a cluster that cloudimg made`,
      {
        hint: 'name a server of the cluster with --server HOST',
        data: { host: host.name },
      },
    )
  const { platform } = await openInstalledRootfs(facts, host, ctx)
  const runtime = findRuntime(platform.metadata.runtime)
  const members = await runtime.nodes(host, ctx)
  return { id: record.cluster, self: facts.hostname.toLowerCase(), members, runtime }
}

function reachOf(name: string, at: string, like: HostAddress, record: ClusterRecord | undefined): HostAddress {
  const known = record?.hosts.find(host => host.name === name)
  if (known !== undefined) return addressOf(known.host)
  const { user, port } = like
  const host = isIPv6(at) && port !== undefined ? `[${at}]` : at
  return parseHostAddress(`${user === undefined ? '' : `${user}@`}${host}${port === undefined ? '' : `:${port}`}`)
}

export function addressOf(text: string): HostAddress {
  return text === '' ? thisMachine : parseHostAddress(text)
}

/** The node that the user means: by name, or as its machine is reached. Undefined where there is none. */
export function findNode<N extends Pick<FoundNode, 'name' | 'address'>>(
  nodes: readonly N[],
  text: string,
): N | undefined {
  const asked = parseHostAddress(text)
  return (
    nodes.find(node => node.name === asked.name.toLowerCase()) ??
    nodes.find(node => node.address.name === asked.name || formatHostAddress(node.address) === text) ??
    nodes.find(node => node.address.host === asked.host && asked.port === undefined)
  )
}

/** As `findNode`. @throws USAGE where there is none. */
export function oneOf<N extends Pick<FoundNode, 'name' | 'address'>>(nodes: readonly N[], text: string): N {
  const found = findNode(nodes, text)
  if (found !== undefined) return found
  throw new CloudimgError(
    'USAGE',
    `reading host "${text}": the cluster has ${nodes.map(({ name }) => name).join(', ')}`,
    { hint: 'name a node of the cluster' },
  )
}

/** The machine of a node that was a member once, or of one that never was. */
export function addressOnceKnown({ recorded }: FoundCluster, text: string): HostAddress {
  const asked = parseHostAddress(text)
  const known = recorded.find(
    ({ name, host }) => name === asked.name.toLowerCase() || addressOf(host).name === asked.name,
  )
  return known === undefined ? asked : addressOf(known.host)
}
