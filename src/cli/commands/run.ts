import { planCluster, runCluster, undoRun } from '../../deploy/actions/run.ts'
import type { ClusterOptions, RunOptions } from '../../deploy/options.ts'
import { ignorableFindings } from '../../deploy/ignore-findings.ts'
import { openDeployImage } from '../../deploy/store-image.ts'
import type { DeployImage } from '../../deploy/deploy-image.ts'
import { CloudimgError } from '../../core/error.ts'
import { readFileIfPresent } from '../../io/files.ts'
import { bringImage } from '../bring-image.ts'
import { carryOutAction } from '../carry-out-action.ts'
import { agreedToRestart } from '../consent.ts'
import { type ActionFlags, listOf, nodeIpsOf, type ReachFlags, reachOf } from '../reach-options.ts'
import { registryChoice, type RegistryFlags } from '../registry-options.ts'
import type { Session } from '../session.ts'

/** What nodes are made of: for `run`, `join` and `replace`. */
export interface NodeFlags extends ReachFlags, ActionFlags, RegistryFlags {
  readonly servers?: readonly string[]
  readonly agents?: readonly string[]
  readonly nodeIp?: readonly string[]
  readonly tlsSan?: readonly string[]
  readonly endpoint?: string
  readonly vip?: string
  readonly datastoreEndpointFile?: string
  readonly fix?: readonly string[]
  readonly ignore?: readonly string[]
  readonly allowEven?: boolean
  readonly convertDatastore?: boolean
  readonly allowStandIn?: boolean
  readonly fanout?: boolean
  readonly pull?: boolean
  /** For commands that may restart nodes. */
  readonly yes?: boolean
  readonly maxUnavailable?: number
}

/** `cloudimg run REF`: hosts become the cluster that the image holds, or are found to be one. */
export async function run(session: Session, reference: string, flags: NodeFlags): Promise<number> {
  const servers = listOf(flags.servers)
  const agents = listOf(flags.agents)
  if (servers.length === 0 && agents.length > 0)
    throw new CloudimgError('USAGE', 'reading --agents: there is no server', { hint: 'name one with --servers' })
  const options: RunOptions = {
    image: await imageOf(session, reference, flags),
    ...(servers.length === 0 ? {} : { hosts: { servers, agents } }),
    ...(await nodeOptions(session, flags)),
    approve: agreedToRestart(session, flags.yes === true),
  }
  return await carryOutAction(session, flags, {
    plan: () => planCluster(options, session.ctx),
    perform: () => runCluster(options, session.ctx),
    undo: () => undoRun(options, session.ctx),
  })
}

export async function imageOf(session: Session, reference: string, { pull = false }: NodeFlags): Promise<DeployImage> {
  const store = await session.store()
  const { ref, descriptor } = await bringImage(session, reference, pull)
  return await openDeployImage(store, ref, descriptor, session.ctx)
}

export async function nodeOptions(session: Session, flags: NodeFlags): Promise<Omit<RunOptions, 'image' | 'hosts'>> {
  const { allowEven, convertDatastore, allowStandIn, maxUnavailable, fanout } = flags
  const ignore = listOf(flags.ignore).map(knownIgnorable)
  return {
    ...(await reachOf(session, flags)),
    cluster: await clusterOptions(session, flags),
    fixes: listOf(flags.fix).map(knownFix),
    wishes: {
      ...(allowEven === true ? { allowEven } : {}),
      ...(convertDatastore === true ? { convertDatastore } : {}),
      ...(allowStandIn === true ? { allowStandIn } : {}),
      ...(maxUnavailable === undefined ? {} : { maxUnavailable }),
      ...(fanout === true ? { fanOut: true } : {}),
      ...(flags.registryPush === true ? { registryPush: true } : {}),
      ...(ignore.length === 0 ? {} : { ignore }),
    },
  }
}

async function clusterOptions({ terminal }: Session, flags: NodeFlags): Promise<ClusterOptions> {
  const { endpoint = flags.vip, datastoreEndpointFile } = flags
  const registry = await registryChoice(flags, terminal.env)
  return {
    nodeIps: nodeIpsOf(flags.nodeIp),
    ...(flags.tlsSan === undefined ? {} : { tlsSans: listOf(flags.tlsSan) }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(registry === undefined ? {} : { registry }),
    ...(datastoreEndpointFile === undefined ? {} : { datastoreEndpoint: await readEndpoint(datastoreEndpointFile) }),
  }
}

/** It holds a password, so it comes in a file. It goes into YAML as it is. */
async function readEndpoint(path: string): Promise<string> {
  const text = (await readFileIfPresent(path, 65_536))?.toString('utf8').trim()
  if (text !== undefined && /^[a-z]+:\/\/[^"\\\s]+$/.test(text)) return text
  throw new CloudimgError(
    'USAGE',
    `reading --datastore-endpoint-file "${path}": ${text === undefined ? 'no such file' : 'it holds no URL'}`,
    {
      hint: 'one line: postgres://user:password@host:5432/k3s',
    },
  )
}

function knownFix(name: string): 'default-route' {
  if (name === 'default-route') return name
  throw new CloudimgError('USAGE', `reading --fix "${name}": no such fix`, { hint: 'there is default-route' })
}

function knownIgnorable(id: string): string {
  if (ignorableFindings.includes(id)) return id
  throw new CloudimgError('USAGE', `reading --ignore "${id}": that cannot be ignored`, {
    hint: `what can: ${ignorableFindings.join(', ')}`,
  })
}
