import type { Cluster, PlannedNode, Renewal, RenewOptions } from '../runtime.ts'
import type { DeployStep, Op, Probe } from '../step.ts'
import { certificatesLook } from './certificates.ts'
import { isUp, k3sCommand } from './kube.ts'
import { unitOf } from './paths.ts'
import { command, waitUntil } from './steps.ts'

/** From these releases on k3s renews what has less than 120 days left; before, less than 90 (facts/k3s.md §0, May 2025). */
const longWindow = [
  [30, 13],
  [31, 9],
  [32, 5],
  [33, 1],
] as const

/** From these releases on there is `k3s certificate rotate` (k3s' pull request 4632; v1.21.2 has no such command). */
const firstRotate = [
  [21, 8],
  [22, 5],
  [23, 1],
] as const

/** What a k3s of this version does about its certificates. Of an unknown version the least is said. */
export function renewalOf(version: string | undefined): Renewal {
  return {
    windowDays: isFrom(longWindow, version) ? 120 : 90,
    canRotate: isFrom(firstRotate, version),
  }
}

/** Features reach several minors at once: each has its first patch, later minors have them, earlier ones never. */
function isFrom(firsts: readonly (readonly [minor: number, patch: number])[], version: string | undefined): boolean {
  const [, minor, patch] = /^v1\.(\d+)\.(\d+)/.exec(version ?? '')?.map(Number) ?? []
  if (minor === undefined || patch === undefined) return false
  const same = firsts.find(([first]) => first === minor)
  return same === undefined ? minor > Math.max(...firsts.map(([first]) => first)) : patch >= same[1]
}

// $1 unit, then k3s. k3s starts again whatever becomes of this script; after a power cut it starts because it is enabled.
const rotateScript = `set -e; unit=$1; shift; trap 'systemctl start --no-block "$unit.service"' EXIT; trap 'exit 1' HUP INT TERM
systemctl stop "$unit.service"; "$@"`

/** As every node has it; taken away by a rotation and made anew by the start after it. */
const ownCertificate = '/var/lib/rancher/k3s/agent/client-kubelet.crt'

/**
 * New certificates for one node, by a restart where k3s renews by itself, or by `rotate` whatever time is left (facts/k3s.md §7.6).
 * Once it is back, and a voter, the next one may follow.
 */
export function renewSteps(
  node: PlannedNode,
  cluster: Cluster,
  servers: readonly [PlannedNode, ...PlannedNode[]],
  { rotate }: RenewOptions,
): readonly DeployStep[] {
  const unit = unitOf(node.role)
  const up = isBack(node, cluster, servers)
  const days = renewalOf(cluster.version).windowDays
  const isNew: Probe = { probe: 'certificates', argv: certificatesLook, end: 'after', days }
  const kept = `certificates/${node.name}.crt`
  const restart: Op = { op: 'exec', argv: ['systemctl', 'restart', '--no-block', `${unit}.service`] }
  const rotation: Op = {
    op: 'exec',
    argv: ['sh', '-c', rotateScript, 'rotate-certificates', unit, ...k3sCommand(['certificate', 'rotate'], 120)],
  }
  const back: Probe = { probe: 'all', of: [command('test', '-e', ownCertificate), up] }
  return [
    {
      id: `renew/${node.host}`,
      host: node.host,
      lane: node.host,
      sentence: rotate
        ? `make new certificates for node "${node.name}", with a stop of ${unit}`
        : `renew the certificates of node "${node.name}" that end within ${days} days, with a restart of ${unit}`,
      do: rotate
        ? [rotation, wait(back, node, cluster), { op: 'fetch', path: ownCertificate, name: kept }]
        : [restart, wait({ probe: 'all', of: [isNew, up] }, node, cluster)],
      done: { probe: 'all', of: [rotate ? { probe: 'kept', name: kept } : isNew, up] },
      undo: 'none',
    },
  ]
}

function wait(until: Probe, node: PlannedNode, cluster: Cluster): Op {
  return waitUntil(until, `node "${node.name}" is Ready with new certificates`, cluster)
}

/**
 * A server is asked itself: its own API answers, so it is this very start. Where another server's certificates have ended there may
 * be no majority before that one has its turn too.
 */
function isBack(node: PlannedNode, cluster: Cluster, servers: readonly [PlannedNode, ...PlannedNode[]]): Probe {
  const active = command('systemctl', 'is-active', '--quiet', `${unitOf(node.role)}.service`)
  const anyVersion: Cluster = { ...cluster, version: undefined }
  if (node.role === 'agent') return { probe: 'all', of: [active, isUp(node, anyVersion, servers[0])] }
  const others = servers.filter(server => server.host !== node.host)
  const ended: Probe = { probe: 'certificates', argv: certificatesLook, end: 'before', days: 0 }
  const hindered = others.map((server): Probe => ({ probe: 'on', host: server.host, of: ended }))
  const up: Probe = { probe: 'all', of: [active, isUp(node, anyVersion, node)] }
  return { probe: 'any', of: [up, ...hindered] }
}
