import { SimCluster, type SimNode } from './sim-cluster.ts'
import { configPath, type SimHost, tokenOf } from './sim-host.ts'
import type { SimWorld } from './sim-world.ts'
import type { ExecResult } from '../../src/host/shell.ts'
import { minorOf } from '../../src/deploy/version.ts'

const database = '/var/lib/rancher/k3s/server/db'
const sqliteFile = `${database}/state.db`
const etcdFile = `${database}/etcd/data`

const ok: ExecResult = { code: 0, stdout: '', stderr: '' }
const failed = (stderr: string): ExecResult => ({ code: 1, stdout: '', stderr })

/** Which state of which cluster a server has on its disk; undefined where it has none. */
export function generationOf(host: SimHost): string | undefined {
  return host.text(sqliteFile) ?? host.text(etcdFile)
}

export function hasSqlite(host: SimHost): boolean {
  return host.text(sqliteFile) !== undefined
}

export function writeData(host: SimHost, { datastore, generation }: SimCluster): void {
  if (datastore !== 'external') host.write(datastore === 'sqlite' ? sqliteFile : etcdFile, generation)
}

/** SQLite becomes etcd at a start with cluster-init. (facts/k3s.md §7.1) */
export function convertData(host: SimHost, cluster: SimCluster): void {
  host.files.delete(sqliteFile)
  cluster.datastore = 'etcd'
  writeData(host, cluster)
}

interface SimSnapshot {
  readonly datastore: 'sqlite' | 'etcd'
  readonly version: string
  readonly token: string
  readonly nodes: readonly SimNode[]
  readonly passwords: readonly (readonly [string, string])[]
  readonly notes: readonly (readonly [string, string])[]
  readonly applied: readonly string[]
}

/** Scripts of the product that take, set aside and replace a datastore; undefined for any other. */
export function datastoreScript(
  world: SimWorld,
  host: SimHost,
  name: string,
  args: readonly string[],
): ExecResult | undefined {
  switch (name) {
    case 'save-snapshot':
    case 'copy-datastore':
      return save(world, host, name, args)
    case 'set-aside':
      return setAside(host, args)
    case 'put-back':
      return putBack(host, args)
    case 'reset-datastore':
      return reset(world, host, args)
    case 'unpack-datastore':
      return restored(world, host, args[1]!, host.text(args[2]!)!)
    default:
      return undefined
  }
}

function save(world: SimWorld, host: SimHost, name: string, [to, id, datastore, node]: readonly string[]): ExecResult {
  const { cluster } = world
  if (cluster?.answersOn(world, host) !== true) return failed('etcdserver: no leader')
  host.change(name)
  const { version } = host
  const snapshot: SimSnapshot = {
    datastore: datastore as SimSnapshot['datastore'],
    version,
    token: cluster.token,
    nodes: [...cluster.nodes.values()],
    passwords: [...cluster.passwords],
    notes: [...cluster.notes],
    applied: cluster.applied,
  }
  const about = { v: 1, cluster: id, datastore, version, node, takenAt: Math.round(world.clock.now() / 1000) }
  host.write(`${to}/datastore`, JSON.stringify(snapshot))
  host.write(`${to}/token`, `K10${'a'.repeat(64)}::server:${cluster.token}\n`)
  host.write(`${to}/about.json`, JSON.stringify(about))
  return ok
}

function setAside(host: SimHost, [from, aside, how]: readonly string[]): ExecResult {
  const complete = `${aside}/complete`
  if (how === 'once' && host.files.has(complete)) return ok
  host.change('set aside')
  stop(host)
  if (!host.files.has(`${aside}/config.yaml`)) host.write(`${aside}/config.yaml`, host.text(configPath)!)
  for (const path of [sqliteFile, etcdFile]) {
    const kept = path.replace(`${from}/`, `${aside}/`)
    if (!host.files.has(complete) && host.files.has(path)) host.write(kept, host.text(path)!)
    host.files.delete(path)
  }
  host.write(complete, '')
  return ok
}

function putBack(host: SimHost, [to, aside, config]: readonly string[]): ExecResult {
  host.change('put back')
  stop(host)
  host.write(config!, host.text(`${aside}/config.yaml`) ?? host.text(configPath)!)
  for (const path of [sqliteFile, etcdFile]) {
    const kept = host.text(path.replace(`${to}/`, `${aside}/`))
    if (host.files.has(`${aside}/complete`)) host.files.delete(path)
    if (kept !== undefined) host.write(path, kept)
    host.files.delete(path.replace(`${to}/`, `${aside}/`))
  }
  host.files.delete(`${aside}/complete`)
  return ok
}

function stop(host: SimHost): void {
  const unit = host.units.get('k3s')
  if (unit !== undefined) unit.active = false
}

/** `k3s server --cluster-reset`. (facts/k3s.md §7.5) */
function reset(world: SimWorld, host: SimHost, [, aside, , how, ...argv]: readonly string[]): ExecResult {
  const config = host.text(configPath) ?? ''
  if (host.runs('k3s')) return failed('k3s runs')
  if (config.includes('\nserver: ')) return failed('cannot perform cluster-reset while server URL is set')
  const program = argv.find(word => word.endsWith('/k3s'))!
  const from = argv.find(word => word.startsWith('--cluster-reset-restore-path='))?.split('=')[1]
  if (how === 'snapshot') {
    const text = host.text(from!)!
    const { version } = JSON.parse(text) as SimSnapshot
    const runs = program === '/usr/local/bin/k3s' ? host.version : version
    if (minorOf(runs) !== minorOf(version)) return failed(`${runs} cannot open a snapshot of ${version}`)
    return restored(world, host, aside!, text)
  }
  const before = world.generations.get(host.text(`${aside}/etcd/data`)!)!.clone()
  return found(world, host, aside!, before)
}

function restored(world: SimWorld, host: SimHost, aside: string, text: string): ExecResult {
  const snapshot = JSON.parse(text) as SimSnapshot
  if (tokenOf(host.text(configPath) ?? '', 'token') !== snapshot.token)
    return failed('bootstrap data already found and encrypted with different token')
  const cluster = new SimCluster(snapshot.datastore)
  cluster.token = snapshot.token
  for (const node of snapshot.nodes) cluster.nodes.set(node.name, { ...node })
  for (const [name, password] of snapshot.passwords) cluster.passwords.set(name, password)
  for (const [name, digest] of snapshot.notes) cluster.notes.set(name, digest)
  cluster.applied.push(...snapshot.applied)
  return found(world, host, aside, cluster)
}

/** This server is the only member of the new state. */
function found(world: SimWorld, host: SimHost, aside: string, cluster: SimCluster): ExecResult {
  host.change('reset datastore')
  cluster.members.clear()
  cluster.members.add(host.nodeName)
  world.keep(cluster)
  writeData(host, cluster)
  host.write(`${aside}/restored`, '')
  return ok
}
