import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { ApiError } from './api-error.ts'
import { startContainerd } from './containerd.ts'
import { pause, readFaults, strikes } from './faults.ts'
import { readIfPresent, writeWhole } from './files.ts'
import { importImagesDir } from './import-images.ts'
import { KubeClient } from './kube-client.ts'
import { log, reasonOf } from './log.ts'
import { nodeMetadata, nodeSpec, nodeStatus, type Condition, type NodeSelf } from './node-object.ts'
import { agentDir, apiPort, nodePasswordFile } from './paths.ts'
import { runPods } from './pods.ts'
import type { KubeObject } from './store.ts'
import { readRegistries } from './registries.ts'
import { callWithToken, fetchAuthority } from './tls-client.ts'
import { watchImages } from './watch-images.ts'

export interface Joining {
  readonly server: string
  readonly token: string
}

/** The part of k3s that runs on every node: it introduces itself, imports images, registers, and stays. Returns when registered. */
export async function startNode(joining: Joining, self: () => NodeSelf): Promise<void> {
  const client = await introduce(joining, self().name)
  if (strikes('killAtJoin')) process.kill(process.pid, 'SIGKILL')
  readRegistries(self().options)
  await startContainerd()
  await importImagesDir()
  watchImages()
  await register(client, self())
  void keepAlive(client, self)
}

/** Loops until the server lets this node in, as k3s does: a wrong token is only a line in the journal. (facts/k3s-observed.md 10, 17) */
async function introduce(joining: Joining, name: string): Promise<KubeClient> {
  for (;;) {
    try {
      return await tryToIntroduce(joining, name)
    } catch (error) {
      log('error', reasonOf(error))
      await pause(1000)
    }
  }
}

async function tryToIntroduce({ server, token }: Joining, name: string): Promise<KubeClient> {
  const ca = await fetchAuthority(server, token)
  await readServerConfig(server, ca, token)
  const headers = { 'k3s-node-name': name, 'k3s-node-password': ensureNodePassword() }
  const answer = await callWithToken(`${server}/v1-k3s/client-kubelet.crt`, ca, 'node', token, { headers })
  if (answer.status !== 200)
    throw new Error((JSON.parse(answer.text) as { readonly message?: string }).message ?? answer.text)
  const pair = JSON.parse(answer.text) as { certificate: string; key: string; clientAuthority: string }
  writeWhole(join(agentDir, 'server-ca.crt'), ca, 0o600)
  writeWhole(join(agentDir, 'client-ca.crt'), pair.clientAuthority, 0o600)
  writeWhole(join(agentDir, 'client-kubelet.key'), pair.key, 0o600)
  writeWhole(join(agentDir, 'client-kubelet.crt'), pair.certificate, 0o600)
  writeWhole(join(agentDir, 'kubelet.kubeconfig'), kubeletKubeconfig(server), 0o644)
  writeKubeletConfig(server)
  const balancer = { ServerURL: server, ServerAddresses: [new URL(server).host], Listener: null }
  writeWhole(join(agentDir, 'etc/k3s-agent-load-balancer.json'), JSON.stringify(balancer), 0o600)
  return new KubeClient(server, { ca, certificate: pair.certificate, key: pair.key })
}

/** Its presence tells that this node was let in: `cloudimg-node join` waits for it. As k3s writes it, by path and not by content. */
function kubeletKubeconfig(server: string): string {
  const cluster = { server, 'certificate-authority': join(agentDir, 'server-ca.crt') }
  const user = {
    'client-certificate': join(agentDir, 'client-kubelet.crt'),
    'client-key': join(agentDir, 'client-kubelet.key'),
  }
  return stringify({
    apiVersion: 'v1',
    clusters: [{ cluster, name: 'local' }],
    contexts: [{ context: { cluster: 'local', namespace: 'default', user: 'user' }, name: 'Default' }],
    'current-context': 'Default',
    kind: 'Config',
    preferences: {},
    users: [{ name: 'user', user }],
  })
}

/** The stand-in has no load-balancer on 6444: the server is named itself. It is there only once the server let this node in. */
function writeKubeletConfig(server: string): void {
  const config = {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'local', cluster: { server, 'certificate-authority': join(agentDir, 'server-ca.crt') } }],
    users: [
      {
        name: 'user',
        user: {
          'client-certificate': join(agentDir, 'client-kubelet.crt'),
          'client-key': join(agentDir, 'client-kubelet.key'),
        },
      },
    ],
    contexts: [{ name: 'Default', context: { cluster: 'local', user: 'user' } }],
    'current-context': 'Default',
  }
  writeWhole(join(agentDir, 'kubelet.kubeconfig'), `${JSON.stringify(config, undefined, 2)}\n`, 0o644)
}

/** The first thing that needs the right token; its failure is the line that people look for. */
async function readServerConfig(server: string, ca: string, token: string): Promise<void> {
  try {
    await callWithToken(`${server}/v1-k3s/config`, ca, 'node', token)
  } catch (error) {
    const why = `failed to retrieve configuration from server: ${reasonOf(error)}`
    throw new Error(`Failed to configure agent: ${why}`, { cause: error })
  }
}

function ensureNodePassword(): string {
  const present = readIfPresent(nodePasswordFile)?.trim()
  if (present !== undefined && present !== '') return present
  const password = randomBytes(16).toString('hex')
  writeWhole(nodePasswordFile, `${password}\n`, 0o600, 0o755)
  return password
}

async function register(client: KubeClient, self: NodeSelf): Promise<void> {
  for (;;) {
    try {
      await tryToRegister(client, self)
      return
    } catch (error) {
      log('error', `Unable to register node "${self.name}" with API server: ${reasonOf(error)}`)
      await pause(300)
    }
  }
}

async function tryToRegister(client: KubeClient, self: NodeSelf): Promise<void> {
  const present = await client.getIfPresent(`/api/v1/nodes/${self.name}`)
  const object = { metadata: nodeMetadata(self), spec: nodeSpec(self), status: nodeStatus(self, false, []) }
  if (present === undefined) {
    await client.create('/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', ...object })
    log('info', `Successfully registered node ${self.name}`)
  } else await client.patch(`/api/v1/nodes/${self.name}`, { metadata: object.metadata, spec: object.spec })
  await renewLease(client, self.name)
}

/** Status, lease and pods, for ever. A node that was deleted does not come back before the next start. */
async function keepAlive(client: KubeClient, self: () => NodeSelf): Promise<void> {
  await pause(300)
  let flaps = readFaults().readyFlapping ?? 0
  for (let round = 0; ; round++) {
    const isReady = flaps === 0 || round % 2 === 0
    if (!isReady) flaps--
    try {
      await renewLease(client, self().name)
      await learnServers(client)
      await reportStatus(client, self(), isReady)
      await runPods(client, self().name, self().options.one('resolv-conf') ?? '/etc/resolv.conf')
    } catch (error) {
      const isGone = error instanceof ApiError && error.reason === 'NotFound'
      log('error', `Error updating node status: ${isGone ? `node "${self().name}" not found` : reasonOf(error)}`)
    }
    await pause(1000)
  }
}

/** A node that has joined knows all servers, as k3s' own load balancer does. (facts/k3s.md §7.1) */
async function learnServers(client: KubeClient): Promise<void> {
  const servers = await client.list('/api/v1/nodes?labelSelector=node-role.kubernetes.io/control-plane=true')
  const addresses = servers.flatMap(({ metadata }) => metadata.annotations?.['k3s.io/internal-ip'] ?? [])
  client.learnServers(addresses.map(address => `https://${address}:${apiPort}`))
}

async function reportStatus(client: KubeClient, self: NodeSelf, isReady: boolean): Promise<void> {
  const node = await client.get(`/api/v1/nodes/${self.name}`)
  const before = ((node['status'] ?? {}) as { readonly conditions?: readonly Condition[] }).conditions ?? []
  const status = nodeStatus(self, isReady, before)
  if (saysSame(node, status)) return
  await client.patch(`/api/v1/nodes/${self.name}/status`, { status })
}

/** Heartbeats alone are not worth a write: the lease has them. */
function saysSame(node: KubeObject, status: object): boolean {
  const plain = (value: unknown): string =>
    JSON.stringify(value, (key, inner: unknown) => (key === 'lastHeartbeatTime' ? undefined : inner))
  const present = node['status'] as Readonly<Record<string, unknown>>
  return Object.entries(status).every(([key, value]) => plain(present[key]) === plain(value))
}

async function renewLease(client: KubeClient, name: string): Promise<void> {
  const path = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases'
  const spec = { holderIdentity: name, renewTime: new Date().toISOString() }
  if ((await client.getIfPresent(`${path}/${name}`)) !== undefined) await client.patch(`${path}/${name}`, { spec })
  else
    await client.create(path, {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace: 'kube-node-lease' },
      spec,
    })
}
