import { namespaceKey } from './kube-api.ts'
import type { KubeObject, Store } from './store.ts'
import { randomUUID } from 'node:crypto'
import { readFaults } from './faults.ts'
import type { Condition } from './node-object.ts'

/** The controllers of the stand-in: nodes that fell silent, pods of workloads. One round. */
export async function runControllers(store: Store): Promise<void> {
  const nodes = await store.list('registry//nodes/')
  for (const node of nodes) await markSilentNode(store, node)
  const ready = nodes.filter(isSchedulable).map(({ metadata }) => metadata.name)
  await collectOrphans(store)
  await bindPods(store, ready)
  for (const kind of ['deployments', 'statefulsets', 'daemonsets', 'replicasets'])
    for (const workload of await store.list(`registry/apps/${kind}/`)) await runWorkload(store, kind, workload, ready)
}

export async function ensureNamespaces(store: Store): Promise<void> {
  for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease']) {
    if ((await store.get(namespaceKey(name))) !== undefined) continue
    await store.put(namespaceKey(name), {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: newMetadata(name, undefined, {}),
      status: { phase: 'Active' },
    })
  }
}

/** Four seconds without a lease, at the stand-in's pace: a replaced node keeps its old Ready that long. (facts/k3s-observed.md 12) */
async function markSilentNode(store: Store, node: KubeObject): Promise<void> {
  const { name } = node.metadata
  const lease = await store.get(`registry/coordination.k8s.io/leases/kube-node-lease/${name}`)
  const renewed = Date.parse((lease?.['spec'] as { readonly renewTime?: string } | undefined)?.renewTime ?? '')
  const grace = 4000 * Math.max(readFaults().timeScale ?? 1, 0.5)
  const status = (node['status'] ?? {}) as { readonly conditions?: readonly Condition[] }
  const ready = status.conditions?.find(({ type }) => type === 'Ready')
  if (Date.now() - renewed <= grace || ready === undefined || ready.status === 'Unknown') return
  const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
  const conditions = (status.conditions ?? []).map(known => ({
    ...known,
    status: 'Unknown' as const,
    reason: 'NodeStatusUnknown',
    message: 'Kubelet stopped posting node status.',
    lastTransitionTime: now,
  }))
  await store.put(`registry//nodes/-/${name}`, { ...node, status: { ...status, conditions } })
}

/** Pods whose owner is gone go too. */
async function collectOrphans(store: Store): Promise<void> {
  const owners = new Set((await store.list('registry/apps/')).map(({ metadata }) => metadata.uid))
  for (const pod of await store.list('registry//pods/')) {
    const owner = ownerOf(pod)
    if (owner !== undefined && !owners.has(owner)) await store.delete(podKey(pod))
  }
}

function isSchedulable(node: KubeObject): boolean {
  const spec = node['spec'] as { readonly unschedulable?: boolean } | undefined
  const status = node['status'] as { readonly conditions?: readonly Condition[] } | undefined
  const isReady = status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True')
  return spec?.unschedulable !== true && isReady === true
}

async function bindPods(store: Store, ready: readonly string[]): Promise<void> {
  const [first] = ready
  if (first === undefined) return
  for (const pod of await store.list('registry//pods/')) {
    const spec = pod['spec'] as { readonly nodeName?: string }
    if (spec.nodeName === undefined) await store.put(podKey(pod), { ...pod, spec: { ...spec, nodeName: first } })
  }
}

interface WorkloadSpec {
  readonly replicas?: number
  readonly template: {
    readonly metadata?: { readonly labels?: Readonly<Record<string, string>> }
    readonly spec: object
  }
}

/** As many pods as it wants, one per node for a DaemonSet, and a status that counts those that run. */
async function runWorkload(store: Store, kind: string, workload: KubeObject, ready: readonly string[]): Promise<void> {
  const spec = workload['spec'] as WorkloadSpec
  const namespace = workload.metadata.namespace ?? 'default'
  const all = await store.list(`registry//pods/${namespace}/`)
  const own = all.filter(pod => ownerOf(pod) === workload.metadata.uid)
  const homes =
    kind === 'daemonsets'
      ? ready
      : Array.from({ length: spec.replicas ?? 1 }, (_, index) => ready[index % ready.length])
  const missing =
    kind === 'daemonsets' ? homes.filter(home => !own.some(pod => nodeOf(pod) === home)) : homes.slice(own.length)
  for (const home of missing) if (home !== undefined) await createPod(store, workload, spec, namespace, home)
  const running = own.filter(pod => (pod['status'] as { phase?: string } | undefined)?.phase === 'Running').length
  const status =
    kind === 'daemonsets'
      ? {
          desiredNumberScheduled: homes.length,
          numberReady: running,
          numberAvailable: running,
          updatedNumberScheduled: own.length,
        }
      : { replicas: own.length, readyReplicas: running, availableReplicas: running, updatedReplicas: own.length }
  if (JSON.stringify(workload['status']) === JSON.stringify(status)) return
  const key = `registry/apps/${kind}/${namespace}/${workload.metadata.name}`
  const now = await store.get(key)
  if (now !== undefined) await store.put(key, { ...now, status })
}

async function createPod(
  store: Store,
  owner: KubeObject,
  spec: WorkloadSpec,
  namespace: string,
  nodeName: string,
): Promise<void> {
  const suffix = randomUUID().slice(0, 8)
  const pod: KubeObject = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      ...newMetadata(`${owner.metadata.name}-${suffix}`, namespace, spec.template.metadata?.labels ?? {}),
      ownerReferences: [
        {
          apiVersion: owner.apiVersion,
          kind: owner.kind,
          name: owner.metadata.name,
          uid: owner.metadata.uid,
          controller: true,
        },
      ],
    },
    spec: { ...spec.template.spec, nodeName },
    status: { phase: 'Pending' },
  }
  await store.put(podKey(pod), pod)
}

function newMetadata(
  name: string,
  namespace: string | undefined,
  labels: Readonly<Record<string, string>>,
): KubeObject['metadata'] {
  const creationTimestamp = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
  return { name, ...(namespace === undefined ? {} : { namespace }), uid: randomUUID(), creationTimestamp, labels }
}

function podKey(pod: KubeObject): string {
  return `registry//pods/${pod.metadata.namespace ?? 'default'}/${pod.metadata.name}`
}

function ownerOf(pod: KubeObject): string | undefined {
  return (pod.metadata['ownerReferences'] as readonly { readonly uid?: string }[] | undefined)?.[0]?.uid
}

function nodeOf(pod: KubeObject): string | undefined {
  return (pod['spec'] as { readonly nodeName?: string }).nodeName
}
