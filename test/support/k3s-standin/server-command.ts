import { X509Certificate } from 'node:crypto'
import { chmodSync, existsSync, renameSync } from 'node:fs'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { openBootstrap, sealBootstrap } from './bootstrap.ts'
import { clearResetFlag, resetCluster } from './cluster-reset.ts'
import type { Cluster } from './cluster.ts'
import { Etcd } from './etcd.ts'
import { pause } from './faults.ts'
import { startApiServer } from './https-server.ts'
import { joinCluster, rejoinCluster, type Joined } from './join-cluster.ts'
import { KubeApi } from './kube-api.ts'
import { writeKubeconfig } from './kubeconfig.ts'
import { LocalStore, writeState } from './local-store.ts'
import { Fatal, log, reasonOf } from './log.ts'
import { applyManifests, writePackagedManifests } from './manifests.ts'
import { nodeAddress } from './network.ts'
import { startNode } from './node-agent.ts'
import { nodeNameOf, type NodeSelf } from './node-object.ts'
import { readOptions, type Options } from './options.ts'
import { dbDir, tlsDir } from './paths.ts'
import { ensureAuthorities, ensureLeaf, issueFrom, type Authorities } from './pki.ts'
import { OutsideStore } from './outside-store.ts'
import { RemoteStore } from './remote-store.ts'
import { replicate } from './replica.ts'
import { chooseTokens, writeTokenFiles } from './server-token.ts'
import { notifyReady } from './systemd.ts'
import { formatToken } from './token.ts'
import { profile, version } from './version.ts'
import { ensureNamespaces, runControllers } from './workloads.ts'
import { Conflict, type Store } from './store.ts'

/** `k3s server`: runs until it is stopped. @throws Fatal where k3s would end. */
export async function runServer(argv: readonly string[]): Promise<void> {
  const options = readOptions('server', argv)
  const address = nodeAddress(options, 'server')
  log('info', `Starting k3s ${version} (standin0)`)
  if (options.has('cluster-reset')) return await resetCluster(options, address.nodeIp)
  clearResetFlag()
  const self = { name: nodeNameOf(options), address: address.nodeIp }
  const joined = await joinIfTold(options, self)
  const tokens = chooseTokens(options, joined?.agentPassword)
  const { store, etcd } = await openStore(options, self, joined)
  const authorities =
    joined === undefined
      ? await ownAuthorities(store, tokens.serverPassword, etcd !== undefined)
      : ensureAuthorities(joined.authorities)
  const cluster: Cluster = { store, authorities, ...tokens, critical: criticalOptions(options) }
  if (etcd === undefined && joined === undefined) log('info', 'Kine available at unix://kine.sock')
  const api = await startApiServer(cluster, servingLeaf(options, address.nodeIp, authorities), etcd)
  await pause(200)
  await ensureNamespaces(store)
  writePackagedManifests(options.all('disable'))
  writeServerFiles(options, cluster)
  api.open()
  log('info', 'Kube API server is now running')
  const node = (): NodeSelf => ({
    ...address,
    name: self.name,
    role: 'server',
    options,
    etcd: standing(self.name, etcd, joined),
  })
  const token = formatToken('server', cluster.serverPassword, authorities['server-ca'].certificate)
  const registered = startNode({ server: 'https://127.0.0.1:6443', token }, node)
  await notifyReady()
  log('info', 'k3s is up and running')
  await Promise.all([registered, supervise(store, etcd)])
}

async function joinIfTold(
  options: Options,
  self: { readonly name: string; readonly address: string },
): Promise<Joined | undefined> {
  const before = await rejoinCluster(self.name)
  const server = options.one('server')
  if (before !== undefined || server === undefined || hasOwnData()) return before
  return await joinCluster(server, options, self, criticalOptions(options))
}

/** Data of an earlier start win over cluster-init and server. (facts/k3s.md §7.1) */
function hasOwnData(): boolean {
  return existsSync(join(dbDir, 'etcd/state.json')) || existsSync(join(dbDir, 'state.db'))
}

/** Before 1.22 SQLite was opened with any token. What else a datastore has is sealed. (facts/k3s.md §7.2, §10 no. 19) */
async function ownAuthorities(store: Store, password: string, isEtcd: boolean): Promise<Authorities> {
  if (store instanceof LocalStore && !isEtcd && !profile.sqliteKeepsToken) return ensureAuthorities()
  const sealed = await openBootstrap(store, password)
  const authorities = ensureAuthorities(sealed)
  if (sealed === undefined) await sealBootstrap(store, password, authorities)
  return authorities
}

const sqliteFile = join(dbDir, 'state.db')
const etcdFile = join(dbDir, 'etcd/state.json')

async function openStore(
  options: Options,
  self: { readonly name: string; readonly address: string },
  joined: Joined | undefined,
): Promise<{ readonly store: Store; readonly etcd: Etcd | undefined }> {
  if (joined !== undefined) return { store: joined.store, etcd: undefined }
  const isEtcd = existsSync(etcdFile)
  const endpoint = options.one('datastore-endpoint')
  if (!isEtcd && endpoint !== undefined) return { store: new OutsideStore(endpoint), etcd: undefined }
  if (!isEtcd && !options.has('cluster-init')) return { store: new LocalStore(sqliteFile), etcd: undefined }
  if (!isEtcd && existsSync(sqliteFile)) await convertSqlite()
  const store = new LocalStore(etcdFile)
  return { store, etcd: new Etcd(store, self) }
}

/** cluster-init on a server that has SQLite. (facts/k3s.md §7.1; what an older one does is not known) */
async function convertSqlite(): Promise<void> {
  if (!profile.convertsSqlite) throw new Fatal(`k3s stand-in: ${version} turns no SQLite into etcd`)
  writeState(etcdFile, await new LocalStore(sqliteFile).dump())
  renameSync(sqliteFile, `${sqliteFile}.migrated`)
  log('info', 'Migrated the content of SQLite to etcd')
}

function servingLeaf(options: Options, nodeIp: string, authorities: Authorities): ReturnType<typeof ensureLeaf> {
  const advertised = options.one('advertise-address')
  const fixed = ['127.0.0.1', '10.43.0.1', 'localhost', 'kubernetes', 'kubernetes.default.svc.cluster.local']
  const names = new Set([
    ...fixed,
    hostname(),
    nodeIp,
    ...(advertised === undefined ? [] : [advertised]),
    ...options.all('tls-san'),
  ])
  const request = { commonName: 'k3s', organization: 'k3s', use: 'server', names: [...names] } as const
  return ensureLeaf('serving-kube-apiserver', request, authorities['server-ca'])
}

function writeServerFiles(options: Options, cluster: Cluster): void {
  writeTokenFiles(cluster, options)
  const admin = { commonName: 'system:admin', organization: 'system:masters', use: 'client' } as const
  const pair = ensureLeaf('client-admin', admin, cluster.authorities['client-ca'])
  const isOurs = new X509Certificate(pair.certificate).verify(
    new X509Certificate(cluster.authorities['client-ca'].certificate).publicKey,
  )
  const used = isOurs ? pair : issueFrom(cluster.authorities['client-ca'], admin)
  writeKubeconfig(cluster.authorities['server-ca'].certificate, used, options.one('write-kubeconfig-mode'))
  chmodSync(tlsDir, 0o700)
}

function standing(name: string, etcd: Etcd | undefined, joined: Joined | undefined): NodeSelf['etcd'] {
  if (joined !== undefined) return joined.isVoter() ? 'voter' : 'learner'
  if (etcd === undefined) return undefined
  return etcd.list.some(member => member.name === name && !member.isLearner) ? 'voter' : 'learner'
}

/** Options that must be the same on all servers. (facts/k3s.md §6.2) */
export function criticalOptions(options: Options): Readonly<Record<string, string>> {
  const names = [
    'cluster-cidr service-cidr cluster-dns cluster-domain flannel-backend disable-cloud-controller disable-helm-controller',
    'disable-network-policy egress-selector-mode embedded-registry secrets-encryption flannel-external-ip flannel-ipv6-masq supervisor-metrics',
  ].flatMap(words => words.split(' '))
  const entries = names.map(name => [name, options.all(name).join(',')] as const)
  return Object.fromEntries(entries.filter(([, value]) => value !== ''))
}

/** Another server on the same datastore outside was faster; its round was as good. */
function ignoreConflict(error: unknown): void {
  if (!(error instanceof Conflict)) throw error
}

/** The rounds of the controllers, for ever, on the server that holds the data. */
async function supervise(store: Store, etcd: Etcd | undefined): Promise<void> {
  const api = new KubeApi(store)
  for (;;) {
    etcd?.checkQuorum()
    if (store instanceof RemoteStore) {
      await replicate(store).catch((error: unknown) => log('error', reasonOf(error)))
      if (store.silence > 8000) throw new Fatal('etcdserver: no leader: lost quorum')
    } else {
      await runControllers(store).catch(ignoreConflict)
      etcd?.dropDeleted((await store.list('registry//nodes/')).map(({ metadata }) => metadata.name))
    }
    await applyManifests(api).catch((error: unknown) => log('error', reasonOf(error)))
    await pause(500)
  }
}
