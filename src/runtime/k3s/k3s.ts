import { randomBytes } from 'node:crypto'
import type { HoleSource, PlannedNode, Runtime } from '../runtime.ts'
import { applySteps, chartSteps, launchSteps } from './apply.ts'
import { readCertificates } from './certificates.ts'
import { CloudimgError } from '../../core/error.ts'
import { findSecret, type Secret } from './config.ts'
import { imageSteps } from './images.ts'
import { readImages, readKubeconfig, readNodes } from './observe.ts'
import { markSteps } from './mark.ts'
import { k3sPaths } from './paths.ts'
import { inheritedFrom } from './standing.ts'
import { judgeK3s } from './requirements.ts'
import { configChange, reconfigureSteps } from './reconfigure.ts'
import { redirectSteps } from './redirect.ts'
import { forgetSteps, removeSteps } from './remove.ts'
import { snapshotSteps } from './snapshot.ts'
import { initSteps, installSteps, joinSteps, resetSteps } from './steps.ts'
import { upgradeSteps } from './upgrade.ts'

/** k3s: one file, embedded datastore, installed by upstream's own script (facts/k3s.md). */
export const k3s: Runtime = {
  name: 'k3s',
  requirements: judgeK3s,
  inherited: inheritedFrom,
  holes: (server, given = {}) => [
    secretOf(server, 'token', randomToken),
    secretOf(server, 'agent-token', randomToken),
    secretOf(server, 'datastore-endpoint', () => given['datastore-endpoint'] ?? refuseEndpoint(server)),
  ],
  install: installSteps,
  init: initSteps,
  join: joinSteps,
  configChange,
  reconfigure: reconfigureSteps,
  importImages: imageSteps,
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

function randomToken(): string {
  return randomBytes(32).toString('hex')
}

function refuseEndpoint(server: PlannedNode): never {
  throw new CloudimgError('BUG', `configuring "${server.host}": nobody told the datastore's endpoint`)
}
