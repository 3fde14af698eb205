import { join } from 'node:path/posix'
import type { Cluster, PlannedNode, UpgradeOptions } from '../runtime.ts'
import type { DeployStep, Probe } from '../step.ts'
import { isUp } from './kube.ts'
import { k3sPaths, unitOf } from './paths.ts'
import { registryParts } from './registry-files.ts'
import { drainStep, uncordonStep } from './remove.ts'
import { command, installer, waitUntil } from './steps.ts'

/**
 * Switches one node to the rootfs that lies staged on it. Should it never be Ready at the new version, it alone goes back; with
 * another minor version nothing goes back, as the datastore may have been changed by then (facts/k3s.md §7.5).
 */
export function upgradeSteps(
  node: PlannedNode,
  cluster: Cluster,
  via: PlannedNode,
  { sameMinor, drain }: UpgradeOptions,
): readonly DeployStep[] {
  const up = isUp(node, cluster, via)
  const registry = registryParts(node, cluster)
  const back = [installer(node, 'rollback', ['--only-from', node.rootfs.directory], cluster.timeoutSeconds)]
  const step: DeployStep = {
    id: `upgrade/${node.host}`,
    host: node.host,
    sentence: `switch node "${node.name}" to k3s ${cluster.version ?? 'of the image'}, with one restart`,
    do: [
      ...registry.before,
      installer(node, 'upgrade', registry.flags, cluster.timeoutSeconds),
      ...registry.after,
      waitUntil(up, `node "${node.name}" is Ready at the new version`, cluster),
    ],
    done: {
      probe: 'all',
      of: [
        command('grep', '-q', node.rootfs.digest, join(k3sPaths.state, 'node.json')),
        command('test', '!', '-e', join(k3sPaths.state, 'switching')),
        command('systemctl', 'is-active', '--quiet', `${unitOf(node.role)}.service`),
        ...registry.done,
        up,
      ],
    },
    undo: sameMinor ? { kind: 'compensating', do: back } : 'none',
    ...(sameMinor ? { takeBack: { unless: up, do: back } } : {}),
  }
  if (!drain) return [{ ...step, lane: node.host }]
  const drained = drainStep(node, cluster, via)
  // Who has been switched need not be drained any more.
  const switched: Probe = { probe: 'on', host: node.host, of: step.done }
  const steps = [
    { ...drained, done: { probe: 'any', of: [switched, drained.done] } as const },
    step,
    uncordonStep(node, via),
  ]
  return steps.map(part => ({ ...part, lane: node.host }))
}
