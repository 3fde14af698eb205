import { hasExpired } from './sim-care.ts'
import { renderJsonPath } from './k3s-standin/jsonpath.ts'
import type { SimHost } from './sim-host.ts'
import type { SimWorld } from './sim-world.ts'
import type { ExecResult } from '../../src/host/shell.ts'

export interface SimNode {
  readonly name: string
  readonly role: 'server' | 'agent'
  readonly address: string
  version: string
  cordoned: boolean
  pods: number
  labels?: Readonly<Record<string, string>>
  /** `key=value:Effect` */
  taints?: readonly string[]
}

/** What the servers of one cluster know together. */
export class SimCluster {
  datastore: 'sqlite' | 'etcd'
  readonly nodes = new Map<string, SimNode>()
  /** Names of etcd members; of the only server with SQLite. */
  readonly members = new Set<string>()
  readonly passwords = new Map<string, string>()
  /** ConfigMap → its digest. */
  readonly notes = new Map<string, string>()
  /** Files that were applied, in order. */
  readonly applied: string[] = []

  constructor(datastore: 'sqlite' | 'etcd') {
    this.datastore = datastore
  }

  clone(): SimCluster {
    const cluster = new SimCluster(this.datastore)
    for (const [name, node] of this.nodes) cluster.nodes.set(name, { ...node })
    for (const name of this.members) cluster.members.add(name)
    for (const [name, password] of this.passwords) cluster.passwords.set(name, password)
    for (const [name, digest] of this.notes) cluster.notes.set(name, digest)
    return cluster
  }

  /** Whether this host's API server answers: k3s runs with certificates that have not ended, it is a member, and so does a majority. */
  answersOn(world: SimWorld, host: SimHost): boolean {
    const isSound = (server: SimHost | undefined): boolean => server?.runs('k3s') === true && !hasExpired(server)
    const runs = [...this.members].filter(name => isSound(world.hostNamed(name)))
    return isSound(host) && this.members.has(host.nodeName) && runs.length * 2 > this.members.size
  }

  nodeObject(world: SimWorld, node: SimNode): unknown {
    const host = world.hostNamed(node.name)
    const runs = host?.runs(node.role === 'server' ? 'k3s' : 'k3s-agent') === true && !host.isBroken
    const isMember = node.role === 'server' && this.datastore === 'etcd'
    const roles = node.role === 'agent' ? [] : ['control-plane', ...(isMember ? ['etcd'] : [])]
    return {
      metadata: {
        name: node.name,
        labels: {
          ...Object.fromEntries(roles.map(role => [`node-role.kubernetes.io/${role}`, 'true'])),
          ...node.labels,
        },
        annotations: isMember ? { 'etcd.k3s.cattle.io/node-address': node.address } : {},
      },
      spec: { ...(node.cordoned ? { unschedulable: true } : {}), taints: node.taints?.map(taintObject) ?? [] },
      status: {
        addresses: [{ type: 'InternalIP', address: node.address }],
        conditions: [
          { type: 'Ready', status: runs ? 'True' : 'Unknown', message: 'Kubelet stopped posting node status.' },
        ],
        nodeInfo: { kubeletVersion: node.version },
      },
    }
  }

  /** A node is gone, and with it its membership, its password and its pods. */
  delete(name: string): void {
    if (this.members.size > 1 || !this.members.has(name)) this.members.delete(name)
    this.nodes.delete(name)
    this.passwords.delete(name)
  }
}

const ok = (stdout = ''): ExecResult => ({ code: 0, stdout, stderr: '' })
const no: ExecResult = { code: 1, stdout: '', stderr: 'Error from server (NotFound)' }

/** kubectl on a host. Whatever it does not know is a mistake of the test or of the product. */
export function simKubectl(world: SimWorld, host: SimHost, args: readonly string[]): ExecResult {
  const { cluster } = world
  if (cluster === undefined || !cluster.answersOn(world, host)) return { ...no, stderr: 'connection refused' }
  const [verb, what, name = '', ...flags] = args
  const node = cluster.nodes.get(name)
  if (verb === 'get' && what === 'nodes') {
    const items = [...cluster.nodes.values()].map(entry => cluster.nodeObject(world, entry))
    return ok(JSON.stringify({ items }))
  }
  if (verb === 'get' && what === 'node' && flags.includes('--ignore-not-found')) return ok(node && `node/${name}`)
  if (verb === 'get' && what === 'node') {
    const path = flags.find(flag => flag.startsWith('jsonpath='))?.slice('jsonpath='.length)
    return node === undefined ? no : ok(renderJsonPath(path ?? '', cluster.nodeObject(world, node)))
  }
  if (verb === 'get' && what === 'configmap') return ok(cluster.notes.get(name))
  if (verb === 'apply') {
    for (const [index, path] of args.entries()) if (args[index - 1] === '-f') simApply(cluster, host, path)
    return ok()
  }
  if (verb === 'label' || verb === 'taint') {
    if (node === undefined) return no
    const given = flags.filter(flag => !flag.startsWith('--'))
    host.change(`${verb} ${name} ${given.join(' ')}`)
    if (verb === 'label') node.labels = { ...node.labels, ...Object.fromEntries(given.map(entry => entry.split('='))) }
    else node.taints = [...new Set([...(node.taints ?? []), ...given])]
    return ok()
  }
  if (verb === 'drain' || verb === 'uncordon') {
    const drained = cluster.nodes.get(what ?? '')
    if (drained === undefined) return no
    host.change(`${verb} ${what}`)
    drained.cordoned = verb === 'drain'
    drained.pods = verb === 'drain' ? 0 : 1
    return ok()
  }
  if (verb === 'delete' && what === 'node') {
    host.change(`delete node ${name}`)
    cluster.delete(name)
    return ok()
  }
  throw new Error(`sim kubectl does not know ${args.join(' ')}`)
}

function taintObject(text: string): unknown {
  const [, key, value, effect] = /^([^=:]+)(?:=([^:]*))?:(.+)$/.exec(text)!
  return { key, ...(value === undefined ? {} : { value }), effect }
}

function simApply(cluster: SimCluster, host: SimHost, path: string): void {
  const text = host.text(path)
  if (text === undefined) throw new Error(`sim kubectl applies "${path}", which is not there`)
  const note = /"name":"(cloudimg-[a-z]+)".*"digest":"([^"]+)"/.exec(text)
  if (note !== null) return void cluster.notes.set(note[1]!, note[2]!)
  host.change(`apply ${path.slice(path.lastIndexOf('/') + 1)}`)
  cluster.applied.push(path)
}
