import { randomBytes } from 'node:crypto'
import type { Cluster, HoleSource, PlannedNode, Runtime } from '../runtime.ts'
import { applySteps, chartSteps, launchSteps } from './apply.ts'
import { readCertificates } from './certificates.ts'
import { CloudimgError } from '../../core/error.ts'
import { findSecret, type Secret } from './config.ts'
import { healSteps, imageSteps } from './images.ts'
import { readImages, readKubeconfig, readNodes } from './observe.ts'
import { markSteps } from './mark.ts'
import { k3sPaths } from './paths.ts'
import { inheritedFrom } from './standing.ts'
import { findPassword, readRegistries } from './registries.ts'
import { registryPaths } from './registry-paths.ts'
import { managedHoles } from './registry-secrets.ts'
import { judgeK3s } from './requirements.ts'
import { redirectSteps } from './redirect.ts'
import { forgetSteps, removeSteps } from './remove.ts'
import { serveSteps } from './serve-images.ts'
import { renewalOf, renewSteps } from './renew.ts'
import { snapshotSteps } from './snapshot.ts'
import { initSteps, installSteps, joinSteps, resetSteps } from './steps.ts'
import { k3sSupport } from './support.ts'
import { upgradeSteps } from './upgrade.ts'

/** k3s: one file, embedded datastore, installed by upstream's own script (facts/k3s.md). */
export const k3s: Runtime = {
  name: 'k3s',
  support: () => k3sSupport,
  requirements: judgeK3s,
  inherited: inheritedFrom,
  registry: ({ k3s }) => readRegistries(k3s.registries),
  holes: (server, cluster, given = {}) => [
    secretOf(server, 'token', randomToken),
    secretOf(server, 'agent-token', randomToken),
    secretOf(
      server,
      'datastore-endpoint',
      () => given['datastore-endpoint'] ?? refuseValue(server, 'datastore-endpoint'),
    ),
    ...registryHoles(server, cluster, given),
  ],
  install: installSteps,
  serveImages: serveSteps,
  init: initSteps,
  join: joinSteps,
  renewal: renewalOf,
  renew: renewSteps,
  importImages: imageSteps,
  healImages: healSteps,
  upgrade: upgradeSteps,
  remove: removeSteps,
  forget: forgetSteps,
  redirect: redirectSteps,
  snapshot: snapshotSteps,
  apply: applySteps,
  launch: launchSteps,
  charts: chartSteps,
  mark: markSteps,
  reset: resetSteps,
  nodes: readNodes,
  images: readImages,
  certificates: readCertificates,
  kubeconfig: readKubeconfig,
}

/** A server's config is where secrets live; the operator keeps none. */
function secretOf(server: PlannedNode, key: Secret, make: () => string): HoleSource {
  return { hole: key, host: server.host, path: k3sPaths.config, find: text => findSecret(text, key), make }
}

function registryHoles(
  server: PlannedNode,
  cluster: Cluster,
  given: Readonly<Record<string, string>>,
): readonly HoleSource[] {
  const { host } = server
  const { mode } = cluster.registry
  if (mode === 'managed') return managedHoles(server, cluster)
  if (mode !== 'url') return []
  const { authority, registries } = registryPaths
  const brought = (hole: string) => (): string => given[hole] ?? refuseValue(server, hole)
  return [
    { hole: 'registry-password', host, path: registries, find: findPassword, make: brought('registry-password') },
    { hole: 'registry-ca', host, path: authority, find: text => text, make: brought('registry-ca') },
  ]
}

function refuseValue(server: PlannedNode, what: string): never {
  throw new CloudimgError('BUG', `configuring "${server.host}": nobody told the ${what}`)
}

function randomToken(): string {
  return randomBytes(32).toString('hex')
}
