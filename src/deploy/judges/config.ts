import type { Finding } from '../../runtime/finding.ts'
import type { ActionJudge } from '../action.ts'
import { changeOf } from '../config-changes.ts'

/** For actions that restart nodes for their configuration: what no restart may change, and whether the cluster stands it. */
export const judgeConfigChange: ActionJudge = input => {
  const changes = input.nodes.map(node => ({ node, change: changeOf(node, input) }))
  const fixed = changes.flatMap(({ node, change }) =>
    (change?.fixed ?? []).map(({ key, was, shall }): Finding => ({
      id: 'config-fixed',
      host: node.host,
      severity: 'error',
      message: `"${key}" is decided when a cluster is made: it is "${was}" there, and shall be "${shall}"`,
      fix: `take that back; another value takes another cluster`,
    })),
  )
  const restarted = new Set(changes.flatMap(({ node, change }) => (change === undefined ? [] : [node.name])))
  return [...fixed, ...judgeMajority(input, restarted)]
}

/** Of the servers, those that are not restarted must be well, or a restart would stop etcd. */
function judgeMajority(
  { nodes, members, cluster }: Parameters<ActionJudge>[0],
  restarted: ReadonlySet<string>,
): readonly Finding[] {
  const servers = members.filter(member => member.role === 'server')
  const isDue = servers.some(member => restarted.has(member.name))
  if (!isDue || cluster.datastore !== 'etcd' || servers.length < 3) return []
  const broken = servers.filter(member => !restarted.has(member.name) && !(member.ready && member.voter === true))
  if (servers.length - broken.length - 1 > servers.length / 2) return []
  const names = broken.map(member => `"${member.name}"`).join(', ')
  const message = `restarting one of ${servers.length} servers would stop etcd: ${names} is not Ready`
  return [{ id: 'restart-quorum', host: nodes[0].host, severity: 'error', message, fix: 'repair that server first' }]
}

/** For actions that see a part of the cluster only: they leave the configuration of nodes as it is. */
export const judgeConfigKept: ActionJudge = input =>
  input.nodes
    .filter(node => changeOf(node, input) !== undefined)
    .map(({ host }) => ({
      id: 'config-differs',
      host,
      severity: 'error',
      message: 'it runs with another configuration than this command would give it',
      fix: 'leave out what differs; a configuration is changed by cloudimg run or apply, with all hosts',
    }))
