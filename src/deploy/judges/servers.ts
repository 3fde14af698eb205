import type { ActionJudge } from '../action.ts'
import type { Finding } from '../../runtime/finding.ts'

/** How many servers there will be, and whether the datastore lets them. */
export const judgeServers: ActionJudge = ({ nodes, members, forgotten, cluster, runtime, wishes }) => {
  const named = new Set(nodes.filter(node => node.role === 'server').map(node => node.name))
  const gone = new Set(forgotten.map(member => member.name))
  for (const { name, role } of members) if (role === 'server' && !gone.has(name)) named.add(name)
  const findings: Finding[] = []
  const error = (id: string, message: string, fix: string): void =>
    void findings.push({ id, host: nodes[0].host, severity: 'error', message, fix })
  const comes = nodes.find(node => node.role === 'server' && !members.some(member => member.name === node.name))
  if (named.size % 2 === 0 && comes !== undefined && wishes.allowEven !== true && cluster.datastore !== 'external')
    error(
      'even-servers',
      `the cluster would have ${named.size} servers: it would stand no more failures than with ${named.size - 1}`,
      'name an odd number of servers, or say --allow-even',
    )
  const present = runtime.inherited(nodes[0])?.datastore
  if (named.size > 1 && present === 'sqlite' && wishes.convertDatastore !== true)
    error(
      'sqlite',
      'it keeps its state in SQLite, which no second server can join',
      'say --convert-datastore: it becomes embedded etcd, with one restart; or name one server',
    )
  if (present === 'sqlite' && wishes.convertDatastore === true && !cluster.hasFeature('cluster-init-from-sqlite'))
    error(
      'sqlite',
      `${cluster.version ?? 'this k3s'} cannot turn SQLite into embedded etcd`,
      'upgrade the cluster to v1.22.2 or later first',
    )
  return findings
}
