import type { Finding } from '../../runtime/finding.ts'
import type { ActionJudge } from '../action.ts'

/**
 * Whether the servers that stay can carry the cluster: before, while etcd must agree to let a member go, and after, when they
 * are alone. Counts healthy voters; who is not Ready is none.
 */
export const judgeQuorum: ActionJudge = ({ nodes, members, leaving, forgotten, cluster }) => {
  const gone = new Set([...leaving, ...forgotten].map(node => node.name))
  const servers = members.filter(member => member.role === 'server')
  const staying = servers.filter(member => !gone.has(member.name))
  const error = (id: string, message: string, fix: string): Finding => ({
    id,
    host: nodes[0].host,
    severity: 'error',
    message,
    fix,
  })
  if (members.length === 0 && gone.size > 0)
    return [
      error('no-answer', 'its API server does not answer', 'start k3s there, or name another server with --server'),
    ]
  if (staying.length === servers.length) return []
  if (staying.length === 0)
    return [error('last-server', 'no server would be left', 'to take the whole cluster away: cloudimg reset')]
  if (cluster.datastore !== 'etcd') return []
  const healthy = (of: typeof servers): number => of.filter(member => member.ready && member.voter === true).length
  const majority = (of: number): number => Math.floor(of / 2) + 1
  const hint = 'repair the servers that are not Ready first; where the majority is lost for good: cloudimg recover'
  if (healthy(servers) < majority(servers.length))
    return [
      error(
        'quorum',
        `${healthy(servers)} of ${servers.length} servers are healthy voters, etcd needs ${majority(servers.length)}`,
        hint,
      ),
    ]
  if (healthy(staying) < majority(staying.length))
    return [
      error(
        'quorum',
        `${healthy(staying)} of the ${staying.length} servers that stay are healthy voters, etcd needs ${majority(staying.length)}`,
        hint,
      ),
    ]
  return []
}
