import type { KubeClient } from './kube-client.ts'
import type { KubectlArgs } from './kubectl-args.ts'
import { nameOf, select } from './kubectl-get.ts'
import { Exit } from './log.ts'
import { urlOf } from './resources.ts'
import type { KubeObject } from './store.ts'

export async function runCordon(client: KubeClient, args: KubectlArgs, unschedulable: boolean): Promise<void> {
  const word = unschedulable ? 'cordoned' : 'uncordoned'
  for (const node of await nodesOf(client, args)) {
    const isAlready =
      ((node['spec'] as { unschedulable?: boolean } | undefined)?.unschedulable ?? false) === unschedulable
    if (!isAlready)
      await client.patch(`/api/v1/nodes/${node.metadata.name}`, { spec: { unschedulable: unschedulable || null } })
    process.stdout.write(`node/${node.metadata.name} ${isAlready ? `already ${word}` : word}\n`)
  }
}

/** Cordons and evicts; what kubectl refuses without a flag is refused here too. */
export async function runDrain(client: KubeClient, args: KubectlArgs): Promise<void> {
  await runCordon(client, args, true)
  for (const node of await nodesOf(client, args)) {
    const { name } = node.metadata
    const pods = await client.list(`/api/v1/pods?fieldSelector=spec.nodeName=${name}`)
    const daemons = pods.filter(pod => ownerKind(pod) === 'DaemonSet')
    if (daemons.length > 0 && !args.has('ignore-daemonsets'))
      throw refusal(
        name,
        `cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): ${daemons.map(titleOf).join(', ')}`,
      )
    const bare = pods.filter(pod => ownerKind(pod) === undefined)
    if (bare.length > 0 && !args.has('force'))
      throw refusal(
        name,
        `cannot delete Pods that declare no controller (use --force to override): ${bare.map(titleOf).join(', ')}`,
      )
    const local = pods.filter(pod => !daemons.includes(pod) && usesEmptyDir(pod))
    if (local.length > 0 && !args.has('delete-emptydir-data'))
      throw refusal(
        name,
        `cannot delete Pods with local storage (use --delete-emptydir-data to override): ${local.map(titleOf).join(', ')}`,
      )
    for (const pod of pods.filter(one => !daemons.includes(one))) {
      process.stdout.write(`evicting pod ${titleOf(pod)}\n`)
      await client.delete(`/api/v1/namespaces/${pod.metadata.namespace}/pods/${pod.metadata.name}`)
      process.stdout.write(`pod/${pod.metadata.name} evicted\n`)
    }
    process.stdout.write(`node/${name} drained\n`)
  }
}

/** `label` and `annotate`: `key=value` sets, `key-` removes. */
export async function runLabel(client: KubeClient, args: KubectlArgs, field: 'labels' | 'annotations'): Promise<void> {
  const isChange = (word: string): boolean => /=|-$/.test(word)
  const changes = args.words.filter(isChange)
  if (changes.length === 0)
    throw new Exit(1, `error: at least one ${field === 'labels' ? 'label' : 'annotation'} update is required`)
  const targets = args.words.filter(word => !isChange(word))
  for (const { resource, objects } of await select(client, targets, args)) {
    for (const object of objects) {
      const present = object.metadata[field] ?? {}
      const patch = Object.fromEntries(changes.map(change => parseChange(change, present, args.has('overwrite'))))
      const path = urlOf(resource, object.metadata.namespace, object.metadata.name)
      const after = await client.patch(path, { metadata: { [field]: patch } })
      const isSame = after.metadata.resourceVersion === object.metadata.resourceVersion
      const word = field === 'labels' ? 'labeled' : 'annotated'
      process.stdout.write(`${nameOf(resource, object)} ${isSame ? `not ${word}` : word}\n`)
    }
  }
}

function parseChange(
  change: string,
  present: Readonly<Record<string, string>>,
  overwrite: boolean,
): readonly [string, string | null] {
  if (change.endsWith('-') && !change.includes('=')) return [change.slice(0, -1), null]
  const at = change.indexOf('=')
  const [key, value] = [change.slice(0, at), change.slice(at + 1)]
  const before = present[key]
  if (before !== undefined && before !== value && !overwrite)
    throw new Exit(1, `error: '${key}' already has a value (${before}), and --overwrite is false`)
  return [key, value]
}

interface Taint {
  readonly key: string
  readonly value?: string
  readonly effect: string
}

/** `taint node NAME`: `key[=value]:Effect` sets, `key:Effect-` takes away and fails where there is no such taint, as kubectl does. */
export async function runTaint(client: KubeClient, args: KubectlArgs): Promise<void> {
  const isChange = (word: string): boolean => word.includes(':')
  const all = args.words.filter(isChange)
  const changes = all.filter(word => !word.endsWith('-')).map(parseTaint)
  const removed = all.filter(word => word.endsWith('-')).map(word => parseTaint(word.slice(0, -1)))
  if (all.length === 0) throw new Exit(1, 'error: at least one taint update is required')
  const words = args.words.filter(word => !isChange(word))
  for (const node of await nodesOf(client, { ...args, words })) {
    const present = (node['spec'] as { readonly taints?: readonly Taint[] } | undefined)?.taints ?? []
    const left = withoutTaints(present, removed)
    const taints = changedTaints(node.metadata.name, left, changes, args.has('overwrite'))
    await client.patch(`/api/v1/nodes/${node.metadata.name}`, { spec: { taints } })
    process.stdout.write(`node/${node.metadata.name} ${args.has('overwrite') ? 'modified' : 'tainted'}\n`)
  }
}

export function withoutTaints(present: readonly Taint[], removed: readonly Taint[]): readonly Taint[] {
  const missing = removed.find(taint => !present.some(one => one.key === taint.key && one.effect === taint.effect))
  if (missing !== undefined) throw new Exit(1, `error: taint "${missing.key}:${missing.effect}" not found`)
  return present.filter(taint => !removed.some(one => one.key === taint.key && one.effect === taint.effect))
}

/** Key and effect name a taint; its value may change with `--overwrite` only. */
export function changedTaints(
  node: string,
  present: readonly Taint[],
  changes: readonly Taint[],
  overwrite: boolean,
): readonly Taint[] {
  const isSame = (a: Taint, b: Taint): boolean => a.key === b.key && a.effect === b.effect
  const taken = changes.find(change => present.some(taint => isSame(taint, change)))
  if (taken !== undefined && !overwrite)
    throw new Exit(
      1,
      `error: node ${node} already has ${taken.key} taint(s) with same effect(s) and --overwrite is false`,
    )
  return [...present.filter(taint => !changes.some(change => isSame(taint, change))), ...changes]
}

export function parseTaint(text: string): Taint {
  const [, key, value, effect] = /^([^=:]+)(?:=([^:]*))?:(NoSchedule|PreferNoSchedule|NoExecute)$/.exec(text) ?? []
  if (key === undefined || effect === undefined) throw new Exit(1, `error: invalid taint spec: ${text}`)
  return { key, ...(value === undefined || value === '' ? {} : { value }), effect }
}

async function nodesOf(client: KubeClient, args: KubectlArgs): Promise<readonly KubeObject[]> {
  const words = args.words[0] === 'node' || args.words[0] === 'nodes' ? args.words.slice(1) : args.words
  if (words.length === 0 && args.flag('selector') === undefined) throw new Exit(1, 'error: USAGE: node NAME required')
  const names = words.map(word => word.replace(/^nodes?\//, ''))
  return (await select(client, ['nodes', ...names], args)).flatMap(({ objects }) => objects)
}

function refusal(node: string, why: string): Exit {
  return new Exit(1, `error: unable to drain node "${node}" due to error:${why}, continuing command...`)
}

function titleOf(pod: KubeObject): string {
  return `${pod.metadata.namespace}/${pod.metadata.name}`
}

function ownerKind(pod: KubeObject): string | undefined {
  return (pod.metadata['ownerReferences'] as readonly { readonly kind: string }[] | undefined)?.[0]?.kind
}

function usesEmptyDir(pod: KubeObject): boolean {
  const { volumes = [] } = pod['spec'] as { readonly volumes?: readonly object[] }
  return volumes.some(volume => 'emptyDir' in volume)
}
