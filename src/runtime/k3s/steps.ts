import { dirname, join } from 'node:path/posix'
import type { Digest } from '../../core/digest.ts'
import type { Cluster, PlannedNode } from '../runtime.ts'
import type { DeployStep, Op, Probe } from '../step.ts'
import { renderConfig } from './config.ts'
import { isUp } from './kube.ts'
import { k3sPaths, unitOf } from './paths.ts'
import { registryParts } from './registry-files.ts'

/** Puts program and image archive in their places; nothing is started. */
export function installSteps(node: PlannedNode, cluster: Cluster): readonly DeployStep[] {
  return [
    {
      id: `install/${node.host}`,
      host: node.host,
      sentence: `install k3s ${cluster.version ?? 'of the image'}: the program and its image archive, nothing started`,
      do: [installer(node, 'install', [], cluster.timeoutSeconds)],
      done: {
        probe: 'all',
        of: [
          { probe: 'files', files: installedFiles(node) },
          {
            probe: 'command',
            argv: ['readlink', join(k3sPaths.state, 'current')],
            expect: { stdout: node.rootfs.directory },
          },
        ],
      },
      assumes: sameNodeAsSeen(node),
      undo: { kind: isNew(node) ? 'exact' : 'compensating', do: [takeAway(node, cluster)] },
    },
  ]
}

/** The first server. Its data is the cluster's: from here there is no way back but `reset`. */
export function initSteps(node: PlannedNode, cluster: Cluster): readonly DeployStep[] {
  const sentence = `start k3s as the first server, node "${node.name}" at ${node.address}`
  return [bringUp(node, cluster, { verb: 'init', sentence })]
}

export function joinSteps(node: PlannedNode, cluster: Cluster, via: PlannedNode): readonly DeployStep[] {
  const as = node.role === 'server' ? 'a further server' : 'an agent'
  const sentence = `start k3s as ${as}, node "${node.name}" at ${node.address}, of the server at ${via.address}`
  return [bringUp(node, cluster, { verb: 'join', sentence, via })]
}

interface BringUp {
  readonly verb: 'init' | 'join'
  readonly sentence: string
  readonly via?: PlannedNode
}

function bringUp(node: PlannedNode, cluster: Cluster, { verb, sentence, via }: BringUp): DeployStep {
  const content = renderConfig(node, cluster, via)
  const flags = { config: k3sPaths.pendingConfig, 'node-name': node.name, cluster: cluster.id }
  const role = verb === 'join' ? { role: node.role } : {}
  const args = Object.entries({ ...flags, ...role }).flatMap(([name, value]) => [`--${name}`, value])
  const registry = registryParts(node, cluster)
  const gate = via !== undefined && node.role === 'server' ? [isUp(node, cluster, via)] : []
  return {
    id: `${verb}/${node.host}`,
    host: node.host,
    sentence,
    do: [
      { op: 'file', path: k3sPaths.pendingConfig, mode: 0o600, content },
      ...registry.before,
      installer(node, verb, [...args, ...registry.flags], cluster.timeoutSeconds),
      { op: 'exec', argv: ['rm', '-f', k3sPaths.pendingConfig] },
      ...registry.after,
      ...gate.map(until => waitUntil(until, `node "${node.name}" is Ready and a voter`, cluster)),
    ],
    done: {
      probe: 'all',
      of: [
        { probe: 'content', path: k3sPaths.config, content },
        command('systemctl', 'is-active', '--quiet', `${unitOf(node.role)}.service`),
        command('systemctl', 'is-enabled', '--quiet', `${unitOf(node.role)}.service`),
        command('grep', '-q', node.rootfs.digest, join(k3sPaths.state, 'node.json')),
        // Its last note. After a power cut a unit that is enabled comes up by itself, with the installer's work half done.
        command('grep', '-q', k3sPaths.program, join(k3sPaths.state, 'applied')),
        // It holds a token: a run that was cut off before it was removed is not done.
        command('test', '!', '-e', k3sPaths.pendingConfig),
        ...registry.done,
        ...gate,
      ],
    },
    assumes: sameNodeAsSeen(node),
    undo: 'none',
  }
}

export function waitUntil(until: Probe, what: string, { timeoutSeconds }: Cluster): Op {
  return { op: 'wait', until, what, timeoutSeconds }
}

export function isNew({ facts }: PlannedNode): boolean {
  return facts.cloudimg.node === undefined && facts.cloudimg.staged.length === 0
}

/** A machine that had nothing of cloudimg has nothing of it afterwards. */
function takeAway(node: PlannedNode, cluster: Cluster): Op {
  return installer(node, isNew(node) ? 'reset' : 'remove', [], cluster.timeoutSeconds)
}

export function installer(node: PlannedNode, verb: string, args: readonly string[], timeoutSeconds: number): Op {
  return {
    op: 'installer',
    verb,
    rootfs: node.rootfs.directory,
    args: ['--digest', node.rootfs.digest, ...args],
    timeoutSeconds,
  }
}

export function command(...argv: string[]): Probe {
  return { probe: 'command', argv, expect: 'zero' }
}

/** Nobody may have made the machine another cluster's node since we looked. */
function sameNodeAsSeen(node: PlannedNode): Probe {
  const file = join(k3sPaths.state, 'node.json')
  const ours = `grep -q '"digest":"${node.rootfs.digest}"' ${file}`
  return command('sh', '-c', `[ ! -e ${file} ] || ${ours}`, 'node-unchanged')
}

function installedFiles(node: PlannedNode): readonly { readonly path: string; readonly digest: Digest }[] {
  const { arch } = node.facts.platform
  const archive = new RegExp(`^images/(k3s-airgap-images-${arch}\\.tar(?:\\.gz|\\.zst)?)$`)
  return [...node.rootfs.files].flatMap(([path, { digest }]) => {
    if (path === 'bin/k3s') return [{ path: k3sPaths.program, digest }]
    const name = archive.exec(path)?.[1]
    return name === undefined ? [] : [{ path: join(k3sPaths.images, name), digest }]
  })
}

/** All of cloudimg and k3s goes away from the machine, data included. */
export function resetSteps(node: PlannedNode, cluster: Cluster): readonly DeployStep[] {
  return [
    {
      id: `reset/${node.host}`,
      host: node.host,
      sentence: 'remove k3s and everything of cloudimg, with all data',
      do: [
        installer(node, 'reset', [], cluster.timeoutSeconds),
        { op: 'exec', argv: ['rm', '-rf', dirname(k3sPaths.pendingConfig)] },
      ],
      done: command('sh', '-c', cleanScript, 'host-clean'),
      undo: 'none',
    },
  ]
}

const cleanScript = `cd ${k3sPaths.state} 2>/dev/null || exit 0; for left in node owned rootfs current; do [ ! -e "$left" ] || exit 1; done`
