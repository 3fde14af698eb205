import type { Finding } from '../finding.ts'
import type { Cluster, PlannedNode, Registry } from '../runtime.ts'
import { printContent } from '../step.ts'
import { hidePasswords, readRegistries, renderRegistries } from './registries.ts'
import { hasServedImages, hasRegistryProgram } from './serve-images.ts'

type Judged = Omit<Finding, 'host'> | undefined

/** What speaks against the registry that a cluster shall have, from facts alone. */
export function judgeRegistry(node: PlannedNode, cluster: Cluster): readonly Finding[] {
  const ofNode = [judgeChange(node, cluster), judgeStranger(node, cluster), judgeProgram(node, cluster)]
  const isFirst = node.address === cluster.servers[0]
  const ofCluster = isFirst ? [judgeVersion(cluster), judgeFallback(cluster), judgeContainers(cluster)] : []
  return [...ofNode, ...ofCluster].flatMap(found => (found === undefined ? [] : [{ ...found, host: node.host }]))
}

/** registries.yaml is read at start only, so another one means a restart of a node that runs. */
function judgeChange(node: PlannedNode, cluster: Cluster): Judged {
  if (!isInstalled(node)) return undefined
  const { registries } = node.facts.k3s
  const [has, shall] = [readRegistries(registries) ?? { mode: 'none' as const }, cluster.registry]
  if (!isSame(has, shall))
    return {
      id: 'registry-differs',
      severity: 'error',
      message: `it runs with registry ${nameOf(has)}, not ${nameOf(shall)}, and changing it needs a restart that this version cannot plan`,
      fix: `say --registry ${nameOf(has)}, or leave it out`,
    }
  const wanted = renderRegistries(node, cluster)
  // Another image may name other registries; its upgrade writes them.
  if (wanted === undefined || node.facts.cloudimg.node?.includes(node.rootfs.digest) !== true) return undefined
  if (registries === hidePasswords(printContent(wanted))) return undefined
  return {
    id: 'registry-differs',
    severity: 'error',
    message: 'its registries.yaml was changed by others',
    fix: 'take the change back, or reset the machine first: cloudimg-node reset',
  }
}

function judgeStranger({ facts }: PlannedNode, { registry }: Cluster): Judged {
  const { registries } = facts.k3s
  if (registries === undefined || registry.mode !== 'none' || readRegistries(registries) !== undefined) return undefined
  return {
    id: 'registries-file',
    severity: 'warning',
    message: 'it has a registries.yaml that cloudimg did not write, and k3s will go by it',
    fix: 'remove /etc/rancher/k3s/registries.yaml if that is not meant',
  }
}

function judgeProgram(node: PlannedNode, { registry }: Cluster): Judged {
  if (registry.mode !== 'managed' || node.role !== 'server') return undefined
  const lack = hasRegistryProgram(node)
    ? hasServedImages(node)
      ? undefined
      : 'no collected images'
    : 'no bin/registry'
  if (lack === undefined) return undefined
  return {
    id: 'registry-program',
    severity: 'error',
    message: `the image has ${lack}, which a managed registry needs`,
    fix: 'put a static registry of the distribution project into the image (COPY registry bin/registry), with images to collect; or leave --registry out',
  }
}

function judgeVersion({ registry, hasFeature, version }: Cluster): Judged {
  if (registry.mode !== 'embedded' || hasFeature('embedded-registry-ga')) return undefined
  return {
    id: 'registry-version',
    severity: 'error',
    message: `the embedded registry of ${version ?? 'this k3s'} is missing or not ready for use`,
    fix: 'use an image with k3s v1.29.12, v1.30.8, v1.31.4 or newer, or leave --registry out',
  }
}

function judgeFallback({ registry, hasFeature, version }: Cluster): Judged {
  if (registry.mode === 'none' || hasFeature('disable-default-registry-endpoint')) return undefined
  return {
    id: 'registry-fallback',
    severity: 'warning',
    message: `${version ?? 'this k3s'} asks the registry that an image is named by last of all: without a network a pull that fails takes long and names that one`,
    fix: 'read /var/lib/rancher/k3s/agent/containerd/containerd.log for the cause, or use an image with k3s v1.29.1 or newer',
  }
}

/** Only k3s' own containerd goes by registries.yaml (facts/k3s.md §5.3, §14.3). */
function judgeContainers({ registry, config }: Cluster): Judged {
  const foreign = Object.values(config).some(map => map['container-runtime-endpoint'] !== undefined)
  if (registry.mode === 'none' || !foreign) return undefined
  return {
    id: 'registry-runtime',
    severity: 'error',
    message: 'container-runtime-endpoint names another container runtime, which knows nothing of registries.yaml',
    fix: 'take the key out of the configuration, or leave --registry out',
  }
}

function isInstalled({ facts }: PlannedNode): boolean {
  return Object.values(facts.k3s.units).some(unit => !['unknown', 'not-found', ''].includes(unit.enabled))
}

function isSame(a: Registry, b: Registry): boolean {
  if (a.mode !== 'url' || b.mode !== 'url') return a.mode === b.mode
  return a.url === b.url && a.username === b.username && a.hasAuthority === b.hasAuthority
}

function nameOf(registry: Registry): string {
  return registry.mode === 'url' ? registry.url : registry.mode
}
