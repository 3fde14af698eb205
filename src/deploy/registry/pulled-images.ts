import type { CollectedImage } from '../../core/cluster-metadata.ts'
import { samePlatform } from '../../core/platform.ts'
import { parseReference } from '../../core/reference.ts'
import type { Registry, Role } from '../../runtime/runtime.ts'
import { layoutDirectory } from '../../workload/image-layout.ts'
import type { SituatedNode } from '../situation.ts'

type Nodes = readonly [SituatedNode, ...SituatedNode[]]

/**
 * Whether a node asks a registry for the collected images instead of being given them: all do where the registry is somebody
 * else's, agents do where each server has one. Not so where an image is asked for by a digest that no registry of ours can answer:
 * that of an index, of which the bundle has one platform only.
 */
export function pullsImages({ mode }: Registry, role: Role, collected: readonly CollectedImage[]): boolean {
  if (mode !== 'url' && !(mode === 'managed' && role === 'agent')) return false
  return unservable(collected).length === 0
}

/** Names by the digest of an index. */
export function unservable(collected: readonly CollectedImage[]): readonly string[] {
  return collected
    .filter(({ name, digest }) => (parseReference(name).digest ?? digest) !== digest)
    .map(({ name }) => name)
}

/** Pure: nodes that pull are not sent what they would pull. */
export function withoutPulled(
  nodes: Nodes,
  { registry }: { readonly registry: Registry },
  collected: readonly CollectedImage[],
): Nodes {
  const [first, ...others] = nodes
  const prune = (node: SituatedNode): SituatedNode =>
    pullsImages(registry, node.role, collected) ? withoutLayout(node) : node
  return [prune(first), ...others.map(prune)]
}

function withoutLayout(node: SituatedNode): SituatedNode {
  const isKept = (path: string): boolean => path !== layoutDirectory && !path.startsWith(`${layoutDirectory}/`)
  const tree = node.tree.filter(({ path }) => isKept(path))
  const files = new Map([...node.rootfs.files].filter(([path]) => isKept(path)))
  const { directory } = node.rootfs
  const staged =
    node.facts.cloudimg.staged.includes(directory) &&
    tree.every(file => file.type !== 'file' || node.present.get(file.path) === file.digest)
  return { ...node, tree, staged, pulls: true, rootfs: { ...node.rootfs, files } }
}

/** A registry has one image for a name: machines of several kinds would get each other's. */
export function areAlike(nodes: Nodes): boolean {
  return nodes.every(node => samePlatform(node.facts.platform, nodes[0].facts.platform))
}
