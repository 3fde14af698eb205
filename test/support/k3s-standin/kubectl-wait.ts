import type { KubeClient } from './kube-client.ts'
import { parseDuration, type KubectlArgs } from './kubectl-args.ts'
import { nameOf, select, type Selected } from './kubectl-get.ts'
import { Exit, unknownToStandIn } from './log.ts'
import { urlOf } from './resources.ts'
import type { KubeObject } from './store.ts'

const step = 200

/** `wait --for=condition=X[=V] | --for=delete`: what is not there is an error at once, not waited for. (facts/k3s.md §7.3) */
export async function runWait(client: KubeClient, args: KubectlArgs): Promise<void> {
  const wanted = args.flag('for') ?? ''
  const isDelete = wanted === 'delete'
  const [, type = '', value = 'True'] = /^condition=([^=]+)(?:=(.*))?$/.exec(wanted) ?? []
  if (!isDelete && type === '') throw unknownToStandIn(`kubectl wait --for=${wanted}`)
  const deadline = Date.now() + parseDuration(args.flag('timeout') ?? '30s')
  const selected = await selectToWaitFor(client, args, isDelete)
  const late: string[] = []
  for (const { resource, objects } of selected) {
    for (const object of objects) {
      const path = urlOf(resource, object.metadata.namespace, object.metadata.name)
      const isMet = (now: KubeObject | undefined): boolean =>
        isDelete ? now === undefined : now !== undefined && hasCondition(now, type, value)
      if (await waitFor(async () => isMet(await client.getIfPresent(path)), deadline))
        process.stdout.write(`${nameOf(resource, object)} ${isDelete ? 'deleted' : 'condition met'}\n`)
      else late.push(`${resource.name}/${object.metadata.name}`)
    }
  }
  if (late.length > 0)
    throw new Exit(1, late.map(name => `error: timed out waiting for the condition on ${name}`).join('\n'))
}

async function selectToWaitFor(client: KubeClient, args: KubectlArgs, isDelete: boolean): Promise<readonly Selected[]> {
  const selected = await select(
    client,
    args.words,
    isDelete ? { ...args, has: name => name === 'ignore-not-found' || args.has(name) } : args,
  )
  if (!isDelete && selected.every(({ objects }) => objects.length === 0))
    throw new Exit(1, 'error: no matching resources found')
  return selected
}

async function waitFor(isMet: () => Promise<boolean>, deadline: number): Promise<boolean> {
  for (;;) {
    if (await isMet()) return true
    if (Date.now() >= deadline) return false
    await new Promise(resolve => {
      setTimeout(resolve, step)
    })
  }
}

function hasCondition(object: KubeObject, type: string, value: string): boolean {
  const { conditions = [] } = (object['status'] ?? {}) as {
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
  }
  return conditions.some(
    known => known.type.toLowerCase() === type.toLowerCase() && known.status.toLowerCase() === value.toLowerCase(),
  )
}

/** `rollout status deploy/x`. */
export async function runRollout(client: KubeClient, args: KubectlArgs): Promise<void> {
  const [verb, ...words] = args.words
  if (verb !== 'status') throw unknownToStandIn(`kubectl rollout ${verb ?? ''}`)
  const timeout = parseDuration(args.flag('timeout') ?? '0')
  const deadline = timeout === 0 ? Number.POSITIVE_INFINITY : Date.now() + timeout
  for (const { resource, objects } of await select(client, words, args)) {
    for (const object of objects) {
      const path = urlOf(resource, object.metadata.namespace, object.metadata.name)
      const isDone = await waitFor(async () => isRolledOut(await client.get(path)), deadline)
      if (!isDone) throw new Exit(1, 'error: timed out waiting for the condition')
      process.stdout.write(`${resource.kind.toLowerCase()} "${object.metadata.name}" successfully rolled out\n`)
    }
  }
}

function isRolledOut(object: KubeObject): boolean {
  const status = (object['status'] ?? {}) as Readonly<Record<string, number>>
  if (object.kind === 'DaemonSet')
    return (status['desiredNumberScheduled'] ?? 0) > 0 && status['numberReady'] === status['desiredNumberScheduled']
  return (status['readyReplicas'] ?? 0) >= ((object['spec'] as { readonly replicas?: number }).replicas ?? 1)
}
