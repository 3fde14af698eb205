import { setTimeout as sleep } from 'node:timers/promises'
import type { Context } from '../../core/context.ts'
import { CloudimgError, isCloudimgError, reasonOf } from '../../core/error.ts'
import { nodeName, parseReference } from '../../core/reference.ts'
import type { ReadonlyHost } from '../../host/host.ts'
import type { PlannedNode, Runtime } from '../../runtime/runtime.ts'
import { onHosts } from '../on-hosts.ts'

export interface Verification {
  readonly runtime: Runtime
  readonly version: string | undefined
  readonly nodes: readonly PlannedNode[]
  /** Full names that every node shall have. */
  readonly images: readonly string[]
  readonly hosts: ReadonlyMap<string, ReadonlyHost>
  readonly timeoutSeconds: number
  readonly pollMs: number
}

/** The cluster as it is, not as installers say it is: every node Ready at the right version, every image on every node. */
export async function verify(subject: Verification, ctx: Context): Promise<void> {
  ctx.events({ kind: 'phase', title: 'Verify' })
  const server = subject.nodes.find(node => node.role === 'server')!
  const serverHost = subject.hosts.get(server.host)!
  await eventually(subject, ctx, () => unreadyNodes(subject, serverHost, ctx))
  for (const node of subject.nodes) tell(ctx, node, `node "${node.name}" is Ready`)
  await onHosts(
    subject.nodes,
    10,
    node => node.host,
    async node => {
      await eventually(subject, ctx, () => missingImages(subject, node, ctx))
      tell(ctx, node, `all ${subject.images.length} images are present`)
    },
  )
}

function tell(ctx: Context, node: PlannedNode, sentence: string): void {
  ctx.events({ kind: 'host', host: node.host, sentence, outcome: 'ok' })
}

/** Undefined when all is well, else what is not, as people read it. */
type Look = () => Promise<string | undefined>

async function eventually({ timeoutSeconds, pollMs }: Verification, ctx: Context, look: Look): Promise<void> {
  const end = Date.now() + timeoutSeconds * 1000
  for (;;) {
    const wrong = await tolerant(look)
    if (wrong === undefined) return
    if (Date.now() + pollMs >= end) {
      throw new CloudimgError('COMMAND_FAILED', `verifying the cluster: after ${timeoutSeconds} s ${wrong}`, {
        hint: 'see on the host: journalctl -u k3s -u k3s-agent; the same command looks again',
      })
    }
    await sleep(pollMs, undefined, { signal: ctx.signal }).catch(() => ctx.signal.throwIfAborted())
  }
}

/** An API server that does not answer yet is not ready, no more. */
async function tolerant(look: Look): Promise<string | undefined> {
  try {
    return await look()
  } catch (error) {
    if (isCloudimgError(error, 'COMMAND_FAILED')) return reasonOf(error)
    throw error
  }
}

async function unreadyNodes(
  { runtime, nodes, version }: Verification,
  server: ReadonlyHost,
  ctx: Context,
): Promise<string | undefined> {
  const statuses = await runtime.nodes(server, ctx)
  const wrong = nodes.flatMap(node => {
    const status = statuses.find(entry => entry.name === node.name)
    if (status === undefined) return [`node "${node.name}" (${node.host}) is not in the cluster`]
    if (!status.ready) return [`node "${node.name}" (${node.host}) is not Ready: ${status.reason}`]
    if (version !== undefined && status.version !== version)
      return [`node "${node.name}" (${node.host}) runs ${status.version}, not ${version}`]
    return []
  })
  return wrong.length === 0 ? undefined : wrong.join('; ')
}

async function missingImages(
  { runtime, images, hosts }: Verification,
  node: PlannedNode,
  ctx: Context,
): Promise<string | undefined> {
  if (images.length === 0) return undefined
  const present = new Set((await runtime.images(hosts.get(node.host)!, ctx)).map(fullName))
  const missing = images.filter(image => !present.has(fullName(image)))
  if (missing.length === 0) return undefined
  const shown = missing.slice(0, 3).join(', ')
  return `"${node.host}" lacks ${missing.length} of ${images.length} images: ${shown}${missing.length > 3 ? ' …' : ''}`
}

function fullName(name: string): string {
  try {
    return nodeName(parseReference(name))
  } catch {
    return name
  }
}
