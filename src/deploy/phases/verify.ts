import type { Context } from '../../core/context.ts'
import type { ReadonlyHost } from '../../host/host.ts'
import type { PlannedNode, Runtime } from '../../runtime/runtime.ts'
import { missingImages } from '../missing-images.ts'
import { onHosts } from '../on-hosts.ts'
import type { Prepared } from '../prepare.ts'
import { hostNamed } from '../probe.ts'
import type { Rootfs } from '../rootfs.ts'
import type { SituatedNode } from '../situation.ts'
import { eventually, type Look } from '../waiting.ts'

/** The cluster as it is, not as installers say it is: every node Ready at the right version, every image on every node. */
export async function verify(subject: Prepared, ctx: Context): Promise<void> {
  ctx.events({ kind: 'phase', title: 'Verify' })
  const { nodes, hosts, timeoutSeconds, ends } = subject
  const look = (work: Look): Promise<void> => eventually('verifying the cluster', timeoutSeconds, ends, ctx, work)
  await look(() => unreadyNodes(subject, ctx))
  for (const node of nodes) tell(ctx, node, `node "${node.name}" is Ready`)
  await onHosts(
    nodes,
    subject.concurrency,
    node => node.host,
    async node => {
      const rootfs = rootfsOf(subject, node)
      const images = node.pulls === true ? rootfs.ownImages : rootfs.images
      await look(() => lackingImages(subject.runtime, images, node, hostNamed(hosts, node.host), ctx))
      tell(ctx, node, `all ${images.length} images ${node.pulls === true ? 'that it does not pull ' : ''}are present`)
    },
  )
}

/** What the node shall have: nodes of one cluster may have different ones, of other platforms or, for a while, of other versions. */
function rootfsOf({ situation }: Prepared, node: SituatedNode): Rootfs {
  return situation.rootfs.find(rootfs => rootfs.platform.digest === node.rootfs.digest) ?? situation.rootfs[0]
}

function tell(ctx: Context, node: PlannedNode, sentence: string): void {
  ctx.events({ kind: 'host', host: node.host, sentence, outcome: 'ok' })
}

async function unreadyNodes(subject: Prepared, ctx: Context): Promise<string | undefined> {
  const { runtime, nodes, hosts } = subject
  const members = await runtime.nodes(hostNamed(hosts, nodes[0].host), ctx)
  const wrong = nodes.flatMap(node => {
    const member = members.find(entry => entry.name === node.name)
    if (member === undefined) return [`node "${node.name}" (${node.host}) is not in the cluster`]
    if (!member.ready) return [`node "${node.name}" (${node.host}) is not Ready: ${member.reason}`]
    const { version } = rootfsOf(subject, node).platform.metadata
    if (version !== undefined && member.version !== version)
      return [`node "${node.name}" (${node.host}) runs ${member.version}, not ${version}`]
    return []
  })
  return wrong.length === 0 ? undefined : wrong.join('; ')
}

async function lackingImages(
  runtime: Runtime,
  images: readonly string[],
  node: PlannedNode,
  host: ReadonlyHost,
  ctx: Context,
): Promise<string | undefined> {
  if (images.length === 0) return undefined
  const missing = missingImages(images, await runtime.images(host, ctx))
  if (missing.length === 0) return undefined
  const shown = missing.slice(0, 3).join(', ')
  return `"${node.host}" lacks ${missing.length} of ${images.length} images: ${shown}${missing.length > 3 ? ' …' : ''}`
}
