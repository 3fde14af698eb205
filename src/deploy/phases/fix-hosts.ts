import type { DeployStep } from '../../runtime/step.ts'
import type { Phase } from '../plan.ts'
import type { SituatedNode } from '../situation.ts'

const unit = 'cloudimg-default-route.service'

/** Cures what preflight found and `--fix` asked to have cured. */
export const fixHosts: Phase = {
  title: 'Fix',
  steps({ nodes, findings, fixes, cluster }) {
    const wanted = fixes.includes('default-route')
    const has = (node: SituatedNode): boolean =>
      findings.some(finding => finding.id === 'default-route' && finding.host === node.host)
    return wanted ? nodes.filter(has).map(node => routeStep(node, cluster.timeoutSeconds)) : []
  },
}

/** A real default route over a bridge without ports: reaching service addresses needs one (facts/k3s-observed.md 9). */
function routeStep(node: SituatedNode, timeoutSeconds: number): DeployStep {
  const check = `systemctl is-enabled --quiet ${unit} && ip route show default | grep -q '^default via'`
  return {
    id: `fix/${node.host}/default-route`,
    host: node.host,
    sentence:
      'add a default route of last resort, over the bridge cloudimg0 to 203.0.113.255, at every boot before k3s',
    do: [{ op: 'installer', verb: 'fix', rootfs: node.rootfs.directory, args: ['default-route'], timeoutSeconds }],
    done: { probe: 'command', argv: ['sh', '-c', check, 'default-route'], expect: 'zero' },
    undo: isNew(node)
      ? {
          kind: 'exact',
          do: [{ op: 'installer', verb: 'reset', rootfs: node.rootfs.directory, args: [], timeoutSeconds }],
        }
      : { kind: 'compensating', do: [{ op: 'exec', argv: ['systemctl', 'disable', '--now', unit] }] },
  }
}

/** Nothing of cloudimg was there. */
function isNew({ facts }: SituatedNode): boolean {
  return facts.cloudimg.node === undefined && facts.cloudimg.staged.length === 0
}
