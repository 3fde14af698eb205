import { dirname, join } from 'node:path/posix'
import { hexOf } from '../../src/core/digest.ts'
import { namesIn, renewAtStart } from './sim-care.ts'
import { SimCluster } from './sim-cluster.ts'
import { configPath, digestOfBuffer, registriesPath, type SimHost, tokenOf } from './sim-host.ts'
import type { SimWorld } from './sim-world.ts'

const state = '/var/lib/cloudimg'
const data = '/var/lib/rancher/k3s/server/db'
const password = '/etc/rancher/node/password'

/** The last line of the installer, as the product reads it. */
export function report(verb: string, more: Record<string, unknown> = {}): string {
  const done = { ok: true, changed: true, code: 0, message: 'done', fix: '', version: '', state: '' }
  return JSON.stringify({ v: 1, verb, ...done, ...more })
}

function refusal(verb: string, code: number, message: string): string {
  return report(verb, { ok: false, changed: false, code, message })
}

export function option(args: readonly string[], name: string): string {
  const at = args.indexOf(`--${name}`)
  return at < 0 ? '' : (args[at + 1] ?? '')
}

/** What a verb does to a host, all of it at once. */
export function simVerb(world: SimWorld, host: SimHost, verb: string, args: readonly string[]): string {
  const rootfs = option(args, 'rootfs')
  switch (verb) {
    case 'stage':
      return stage(host, rootfs)
    case 'install':
      place(host, rootfs)
      return report(verb)
    case 'fix':
      host.defaultRoute = true
      host.units.set('cloudimg-default-route', { active: true, enabled: true })
      return report(verb)
    case 'init':
    case 'join':
      return bringUp(world, host, verb, args)
    case 'registry':
      return serve(host, rootfs)
    case 'import':
      host.write('/var/lib/rancher/k3s/imported', host.text(join(option(args, 'archive'), 'images.txt')) ?? '')
      host.lost.clear()
      return report(verb)
    case 'configure':
      if (option(args, 'config') !== '') host.write(configPath, host.text(option(args, 'config')) ?? '')
      placeRegistries(host, args)
      return report(verb)
    case 'upgrade':
      return upgrade(world, host, rootfs, args)
    case 'rollback':
      return rollback(world, host, option(args, 'only-from'))
    case 'remove':
      return remove(world, host)
    case 'reset':
      remove(world, host)
      host.files.clear()
      host.links.clear()
      host.units.clear()
      for (const [path, file] of host.pristine) host.files.set(path, file)
      return report(verb)
    default:
      throw new Error(`sim installer does not know ${verb}`)
  }
}

function stage(host: SimHost, rootfs: string): string {
  const list = host.text(`${rootfs}.sums`) ?? ''
  for (const line of list.trim().split('\n')) {
    const file = host.files.get(join(rootfs, line.slice(66)))
    if (file === undefined || hexOf(digestOfBuffer(file.content)) !== line.slice(0, 64))
      return refusal('stage', 4, `${line.slice(66)} differs`)
  }
  host.write(`${rootfs}.staged`, list)
  return report('stage')
}

function place(host: SimHost, rootfs: string): void {
  for (const path of host.files.keys())
    if (path.startsWith('/var/lib/rancher/k3s/agent/images/')) host.files.delete(path)
  for (const [path, file] of host.files) {
    if (path === `${rootfs}/bin/k3s`) host.files.set('/usr/local/bin/k3s', file)
    if (dirname(path) === `${rootfs}/images` && path.includes('airgap'))
      host.files.set(`/var/lib/rancher/k3s/agent/images/${path.slice(rootfs.length + 8)}`, file)
  }
  host.links.set(`${state}/current`, rootfs)
  host.write(`${state}/owned`, '…  /usr/local/bin/k3s\n')
}

function placeRegistries(host: SimHost, args: readonly string[]): void {
  const text = host.text(option(args, 'registries'))
  if (text !== undefined) host.write(registriesPath, text)
}

/** Its last note has the digests of what it was started from. */
function serve(host: SimHost, rootfs: string): string {
  const parts = ['bin/registry', 'images/oci/images.txt'].map(path => host.files.get(join(rootfs, path)))
  if (parts.includes(undefined)) return refusal('registry', 3, 'there is nothing to serve')
  host.write(`${state}/registry.applied`, parts.map(part => hexOf(digestOfBuffer(part!.content))).join('\n'))
  host.units.set('cloudimg-registry', { active: true, enabled: true })
  return report('registry')
}

function record(host: SimHost, cluster: string, role: string, digest: string): void {
  host.write(`${state}/node`, role)
  host.write(
    `${state}/node.json`,
    JSON.stringify({ v: 1, cluster, role, digest, version: host.version, name: host.nodeName }),
  )
}

function bringUp(world: SimWorld, host: SimHost, verb: 'init' | 'join', args: readonly string[]): string {
  const config = host.text(option(args, 'config'))
  if (config === undefined) return refusal(verb, 2, 'the config cannot be read')
  const role = verb === 'init' ? 'server' : option(args, 'role')
  place(host, option(args, 'rootfs'))
  record(host, option(args, 'cluster'), role, option(args, 'digest'))
  host.write(configPath, config)
  placeRegistries(host, args)
  host.units.set(role === 'server' ? 'k3s' : 'k3s-agent', { active: true, enabled: true })
  host.write(`${state}/applied`, '…  /usr/local/bin/k3s\n')
  return start(world, host, verb)
}

/** k3s starts with what is on the disk: founds a cluster, joins one, or comes back to its own. */
function start(world: SimWorld, host: SimHost, verb: string): string {
  const config = host.text(configPath) ?? ''
  const role = host.units.has('k3s') ? 'server' : 'agent'
  const late = (why: string): string => refusal(verb, 5, why)
  if (role === 'server' && host.text(data) === undefined) {
    const why = enter(world, host, config)
    if (why !== undefined) return late(why)
  }
  const { cluster } = world
  if (cluster === undefined) return late('there is no cluster')
  if (role === 'server' && config.includes('cluster-init: true')) cluster.datastore = 'etcd'
  if (role === 'server' && !cluster.members.has(host.nodeName)) return late('it was removed from the cluster')
  if (role === 'agent') {
    const server = /^server: "https:\/\/(.*):6443"$/m.exec(config)?.[1]
    const target = [...world.hosts.values()].find(other => other.address === server)
    if (target === undefined || !cluster.answersOn(world, target)) return late('the server does not answer')
    if (tokenOf(config, 'token') !== tokenOf(target.text(configPath) ?? '', 'agent-token'))
      return late('the token is wrong')
  }
  renewAtStart(host)
  if (host.text(password) === undefined) host.write(password, `made by ${host.name}, ${world.calls}`)
  const known = cluster.passwords.get(host.nodeName)
  if (known !== undefined && known !== host.text(password)) return late('Node password rejected')
  cluster.passwords.set(host.nodeName, host.text(password)!)
  if (role === 'server')
    host.write('/etc/rancher/k3s/k3s.yaml', 'clusters:\n- cluster:\n    server: https://127.0.0.1:6443\n')
  const node = cluster.nodes.get(host.nodeName)
  const { nodeName: name, address, version } = host
  if (node === undefined) cluster.nodes.set(name, { name, role, address, version, cordoned: false, pods: 1 })
  else if (!host.isBroken) node.version = version
  return host.isBroken ? late('not ready') : report(verb)
}

/** The unit starts anew, with whatever is on the disk: what k3s brings itself is imported again. */
export function simRestart(world: SimWorld, host: SimHost): void {
  for (const unit of host.units.values()) unit.active = true
  for (const image of namesIn(host, `${host.links.get(`${state}/current`)}/images/k3s-images.txt`))
    host.lost.delete(image)
  renewAtStart(host)
  start(world, host, 'restart')
}

/** A server without data. Why it cannot, where it cannot. */
function enter(world: SimWorld, host: SimHost, config: string): string | undefined {
  const server = /^server: "https:\/\/(.*):6443"$/m.exec(config)?.[1]
  if (server === undefined) {
    world.cluster = new SimCluster(config.includes('cluster-init: true') ? 'etcd' : 'sqlite')
  } else {
    const target = [...world.hosts.values()].find(other => other.address === server)
    if (target === undefined || world.cluster?.answersOn(world, target) !== true) return 'the server does not answer'
    if (world.cluster.datastore === 'sqlite') return 'etcd disabled'
    if (tokenOf(config, 'token') !== tokenOf(target.text(configPath) ?? '', 'token')) return 'the token is wrong'
  }
  world.cluster.members.add(host.nodeName)
  host.write(data, 'data')
  return undefined
}

function upgrade(world: SimWorld, host: SimHost, rootfs: string, args: readonly string[]): string {
  const current = host.links.get(`${state}/current`)
  if (current !== rootfs && host.text(`${state}/switching`) === undefined) {
    host.links.set(`${state}/previous`, current!)
    host.write(`${state}/was`, host.text(`${state}/node.json`)!)
  }
  host.write(`${state}/switching`, rootfs)
  const before = JSON.parse(host.text(`${state}/node.json`)!) as { cluster: string; role: string }
  place(host, rootfs)
  placeRegistries(host, args)
  const result = start(world, host, 'upgrade')
  if (!(JSON.parse(result) as { ok: boolean }).ok) return result
  record(host, before.cluster, before.role, option(args, 'digest'))
  host.files.delete(`${state}/switching`)
  return result
}

function rollback(world: SimWorld, host: SimHost, from: string): string {
  if (host.links.get(`${state}/current`) !== from && host.text(`${state}/switching`) !== from)
    return report('rollback', { changed: false })
  const previous = host.links.get(`${state}/previous`)
  if (previous === undefined) return refusal('rollback', 3, 'no previous rootfs')
  place(host, previous)
  host.isBroken = false
  host.write(`${state}/node.json`, host.text(`${state}/was`)!)
  host.files.delete(`${state}/switching`)
  return start(world, host, 'rollback')
}

function remove(world: SimWorld, host: SimHost): string {
  host.units.delete('k3s')
  host.units.delete('k3s-agent')
  host.units.delete('cloudimg-registry')
  for (const path of host.files.keys())
    if (/^\/(?:etc\/rancher\/k3s|var\/lib\/rancher|usr\/local\/bin\/k3s|run\/systemd)/.test(path))
      host.files.delete(path)
  for (const name of ['node', 'node.json', 'applied', 'switching', 'registry.applied'])
    host.files.delete(`${state}/${name}`)
  const { cluster } = world
  const alive = [...(cluster?.members ?? [])].filter(name => world.hostNamed(name)?.text(data) !== undefined)
  if (alive.length === 0) world.cluster = undefined
  return report('remove')
}
