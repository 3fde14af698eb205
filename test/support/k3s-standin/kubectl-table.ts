import type { KubeObject } from './store.ts'
import type { Condition } from './node-object.ts'

/** Column titles and one row per object, as `kubectl get` prints them. */
export interface Table {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

export function tableOf(kind: string, objects: readonly KubeObject[], isWide: boolean, withNamespace: boolean): Table {
  const shape = shapes[kind] ?? plain
  const columns = [...shape.columns, ...(isWide ? (shape.wideColumns ?? []) : [])]
  const rows = objects.map(object => {
    const cells = [...shape.cells(object), ...(isWide ? (shape.wideCells?.(object) ?? []) : [])]
    return withNamespace ? [object.metadata.namespace ?? '', ...cells] : cells
  })
  return { columns: withNamespace ? ['NAMESPACE', ...columns] : columns, rows }
}

export function formatTable({ columns, rows }: Table, withHeader = true): string {
  const lines = withHeader ? [columns, ...rows] : rows
  const widths = columns.map((_, index) => Math.max(...lines.map(line => (line[index] ?? '').length)))
  return lines
    .map(line =>
      line.map((cell, index) => (index === line.length - 1 ? cell : cell.padEnd((widths[index] ?? 0) + 3))).join(''),
    )
    .map(line => `${line}\n`)
    .join('')
}

interface Shape {
  readonly columns: readonly string[]
  readonly wideColumns?: readonly string[]
  cells(object: KubeObject): readonly string[]
  wideCells?(object: KubeObject): readonly string[]
}

const plain: Shape = { columns: ['NAME', 'AGE'], cells: object => [object.metadata.name, ageOf(object)] }

const shapes: Readonly<Record<string, Shape>> = {
  Node: {
    columns: ['NAME', 'STATUS', 'ROLES', 'AGE', 'VERSION'],
    wideColumns: ['INTERNAL-IP', 'EXTERNAL-IP', 'OS-IMAGE', 'KERNEL-VERSION', 'CONTAINER-RUNTIME'],
    cells: node => [
      node.metadata.name,
      nodeState(node),
      rolesOf(node),
      ageOf(node),
      infoOf(node)['kubeletVersion'] ?? '',
    ],
    wideCells: node => {
      const info = infoOf(node)
      return [
        addressOf(node),
        '<none>',
        info['osImage'] ?? '',
        info['kernelVersion'] ?? '',
        info['containerRuntimeVersion'] ?? '',
      ]
    },
  },
  Pod: {
    columns: ['NAME', 'READY', 'STATUS', 'RESTARTS', 'AGE'],
    wideColumns: ['IP', 'NODE', 'NOMINATED NODE', 'READINESS GATES'],
    cells: podCells,
    wideCells: pod => ['<none>', (pod['spec'] as { nodeName?: string }).nodeName ?? '<none>', '<none>', '<none>'],
  },
  Namespace: { columns: ['NAME', 'STATUS', 'AGE'], cells: space => [space.metadata.name, 'Active', ageOf(space)] },
  Deployment: {
    columns: ['NAME', 'READY', 'UP-TO-DATE', 'AVAILABLE', 'AGE'],
    cells: deployment => {
      const wanted = (deployment['spec'] as { replicas?: number }).replicas ?? 1
      const status = (deployment['status'] ?? {}) as Readonly<Record<string, number>>
      const ready = status['readyReplicas'] ?? 0
      return [
        deployment.metadata.name,
        `${ready}/${wanted}`,
        String(status['updatedReplicas'] ?? 0),
        String(ready),
        ageOf(deployment),
      ]
    },
  },
}

function podCells(pod: KubeObject): readonly string[] {
  const status = (pod['status'] ?? {}) as {
    readonly phase?: string
    readonly containerStatuses?: readonly {
      readonly ready: boolean
      readonly state: { waiting?: { reason: string } }
    }[]
  }
  const containers = status.containerStatuses ?? []
  const total = (pod['spec'] as { readonly containers: readonly unknown[] }).containers.length
  const waiting = containers.find(({ state }) => state.waiting !== undefined)?.state.waiting?.reason
  const ready = `${containers.filter(container => container.ready).length}/${total}`
  return [pod.metadata.name, ready, waiting ?? status.phase ?? 'Pending', '0', ageOf(pod)]
}

function nodeState(node: KubeObject): string {
  const status = (node['status'] ?? {}) as { readonly conditions?: readonly Condition[] }
  const ready = status.conditions?.find(({ type }) => type === 'Ready')?.status === 'True'
  const isCordoned = (node['spec'] as { readonly unschedulable?: boolean } | undefined)?.unschedulable === true
  return `${ready ? 'Ready' : 'NotReady'}${isCordoned ? ',SchedulingDisabled' : ''}`
}

function rolesOf(node: KubeObject): string {
  const prefix = 'node-role.kubernetes.io/'
  const labels = Object.keys(node.metadata.labels ?? {})
  const roles = labels.filter(label => label.startsWith(prefix)).map(label => label.slice(prefix.length))
  return roles.length === 0 ? '<none>' : roles.toSorted().join(',')
}

function infoOf(node: KubeObject): Readonly<Record<string, string>> {
  return ((node['status'] ?? {}) as { nodeInfo?: Readonly<Record<string, string>> }).nodeInfo ?? {}
}

function addressOf(node: KubeObject): string {
  const { addresses = [] } = (node['status'] ?? {}) as {
    readonly addresses?: readonly { readonly type: string; readonly address: string }[]
  }
  return addresses.find(({ type }) => type === 'InternalIP')?.address ?? '<none>'
}

function ageOf(object: KubeObject): string {
  const seconds = Math.floor((Date.now() - Date.parse(object.metadata.creationTimestamp ?? '')) / 1000)
  if (seconds < 120) return `${seconds}s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m`
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h` : `${Math.floor(seconds / 86_400)}d`
}
