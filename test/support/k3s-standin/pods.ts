import { readIfPresent } from './files.ts'
import { imageFacts, findImage } from './image-store.ts'
import { normaliseName } from './image-name.ts'
import type { KubeClient } from './kube-client.ts'
import { log, reasonOf } from './log.ts'
import { pullImage } from './pull-image.ts'
import type { KubeObject } from './store.ts'
import { pauseImage } from './system-images.ts'
import { version } from './version.ts'

interface Container {
  readonly name: string
  readonly image: string
  readonly imagePullPolicy?: string
}

interface PodSpec {
  readonly nodeName?: string
  readonly containers: readonly Container[]
  readonly initContainers?: readonly Container[]
}

/** A pod runs here iff the pause image and all its own are on the node, or can be pulled; nothing is really started. (facts/k3s-observed.md 7, 8) */
export async function runPods(client: KubeClient, node: string, resolvConf: string): Promise<void> {
  for (const pod of await client.list(`/api/v1/pods?fieldSelector=spec.nodeName=${node}`)) {
    await pullFor(pod)
    const status = podStatus(pod, resolvConf)
    if (JSON.stringify(without(pod['status'])) === JSON.stringify(without(status))) continue
    await client.patch(`/api/v1/namespaces/${pod.metadata.namespace}/pods/${pod.metadata.name}/status`, { status })
  }
}

function podStatus(pod: KubeObject, resolvConf: string): object {
  const spec = pod['spec'] as PodSpec
  const isSandboxed = findImage(pauseImage(version)) !== undefined
  const all = [...(spec.initContainers ?? []), ...spec.containers]
  const waiting = (container: Container): string | undefined => {
    if (!isSandboxed) return 'ContainerCreating'
    if (!canStart(pod, container)) return 'ImagePullBackOff'
    return isDns(pod) && !hasNameserver(resolvConf) ? 'CrashLoopBackOff' : undefined
  }
  const isRunning = all.every(container => waiting(container) === undefined)
  const now = new Date().toISOString().replace(/\.\d+Z$/, 'Z')
  return {
    phase: isRunning ? 'Running' : 'Pending',
    startTime: now,
    conditions: [{ type: 'Ready', status: isRunning ? 'True' : 'False', lastTransitionTime: now }],
    containerStatuses: spec.containers.map(container => {
      const reason = waiting(container)
      return {
        name: container.name,
        image: container.image,
        imageID: isRunning ? idOf(container.image) : '',
        ready: isRunning,
        restartCount: 0,
        state: reason === undefined ? { running: { startedAt: now } } : { waiting: { reason } },
      }
    }),
  }
}

function isDns(pod: KubeObject): boolean {
  return pod.metadata.namespace === 'kube-system' && pod.metadata.labels?.['k8s-app'] === 'kube-dns'
}

/** An empty resolver file is handed to CoreDNS as it is; for one that is missing k3s writes another. (facts/k3s.md §9.6) */
function hasNameserver(resolvConf: string): boolean {
  const text = readIfPresent(resolvConf)
  return text === undefined || /^nameserver\s/m.test(text)
}

/** When a name may be asked for again after a failure: kubelet's back-off. */
const retryAt = new Map<string, number>()
/** Whose pods have pulled what they always pull. */
const pulled = new Set<string>()

/** Pulls what the pod lacks, or what it wants to have pulled whatever there is. */
async function pullFor(pod: KubeObject): Promise<void> {
  const spec = pod['spec'] as PodSpec
  for (const container of [...(spec.initContainers ?? []), ...spec.containers]) {
    const name = normaliseName(container.image)
    const policy = policyOf(container)
    const isDue = policy === 'Always' ? !pulled.has(keyOf(pod, name)) : findImage(name) === undefined
    if (!isDue || policy === 'Never' || (retryAt.get(name) ?? 0) > Date.now()) continue
    try {
      await pullImage(name)
      pulled.add(keyOf(pod, name))
    } catch (error) {
      log('error', `Error syncing pod: ErrImagePull: ${reasonOf(error)}`)
      retryAt.set(name, Date.now() + 10_000)
    }
  }
}

function keyOf({ metadata }: KubeObject, name: string): string {
  return `${metadata.namespace}/${metadata.name} ${name}`
}

function policyOf({ image, imagePullPolicy }: Container): string {
  return imagePullPolicy ?? (normaliseName(image).endsWith(':latest') ? 'Always' : 'IfNotPresent')
}

/** `Always` (the default of `latest`) means to pull. */
function canStart(pod: KubeObject, container: Container): boolean {
  const name = normaliseName(container.image)
  return findImage(name) !== undefined && (policyOf(container) !== 'Always' || pulled.has(keyOf(pod, name)))
}

function idOf(image: string): string {
  const found = findImage(normaliseName(image))
  return found === undefined ? '' : imageFacts(found.target).config
}

function without(status: unknown): unknown {
  return JSON.parse(
    JSON.stringify(status ?? null, (key, value: unknown) =>
      ['startTime', 'startedAt', 'lastTransitionTime'].includes(key) ? undefined : value,
    ),
  )
}
