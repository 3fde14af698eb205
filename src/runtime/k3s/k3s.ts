import { randomBytes } from 'node:crypto'
import type { HoleSource, PlannedNode, Runtime } from '../runtime.ts'
import { unsupported } from '../unsupported.ts'
import { findToken } from './config.ts'
import { imageSteps } from './images.ts'
import { readImages, readKubeconfig, readNodes } from './observe.ts'
import { k3sPaths } from './paths.ts'
import { judgeK3s } from './requirements.ts'
import { initSteps, installSteps, joinSteps } from './steps.ts'

/** k3s: one file, embedded datastore, installed by upstream's own script (facts/k3s.md). */
export const k3s: Runtime = {
  name: 'k3s',
  requirements: judgeK3s,
  holes: firstServer => [tokenOf(firstServer, 'token'), tokenOf(firstServer, 'agent-token')],
  install: installSteps,
  init: initSteps,
  join(node, cluster, via) {
    if (node.role === 'server')
      throw unsupported('k3s', 'joining a further server', 'name one server, and the other hosts as agents')
    return joinSteps(node, cluster, via)
  },
  importImages: imageSteps,
  upgrade: () => {
    throw unsupported('k3s', 'upgrading a node')
  },
  remove: () => {
    throw unsupported('k3s', 'removing a node')
  },
  reset: () => {
    throw unsupported('k3s', 'resetting a node', 'on the host itself: cloudimg-node reset')
  },
  nodes: readNodes,
  images: readImages,
  kubeconfig: readKubeconfig,
}

/** The first server's config is where tokens live; the operator keeps none. */
function tokenOf(server: PlannedNode, key: 'token' | 'agent-token'): HoleSource {
  return {
    hole: key,
    host: server.host,
    path: k3sPaths.config,
    find: text => findToken(text, key),
    make: () => randomBytes(32).toString('hex'),
  }
}
