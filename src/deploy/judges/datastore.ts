import { formatAge } from '../age.ts'
import type { Finding } from '../../runtime/finding.ts'
import type { ActionJudge } from '../action.ts'
import { unfinishedOn } from '../mirror.ts'
import type { PlanInput } from '../plan.ts'
import { goesBack, restorer } from '../restorer.ts'
import { minorOf } from '../version.ts'

type Say = (id: string, severity: Finding['severity'], message: string, fix: string) => Finding

function about({ nodes }: PlanInput): Say {
  return (id, severity, message, fix) => ({ id, host: nodes[0].host, severity, message, fix })
}

/** What is kept elsewhere is its owner's: cloudimg neither backs it up nor puts it back. */
export const judgeOwnDatastore: ActionJudge = input =>
  outside(
    input,
    'error',
    'the cluster keeps its state in a datastore outside',
    'back it up, and restore it, with its own tools; keep the token with it: cloudimg exec servers -- cat /var/lib/rancher/k3s/server/token',
  )

/** No snapshot precedes the switch. */
export const judgeOutsideBackup: ActionJudge = input =>
  outside(
    input,
    'warning',
    'the cluster keeps its state in a datastore outside, of which no snapshot is taken',
    'back it up first, with its own tools',
  )

export const judgeOutsideData: ActionJudge = input =>
  outside(
    input,
    'warning',
    "the datastore outside keeps the cluster's state, sealed with a token that goes away now",
    'remove it there; another cluster cannot begin with it',
  )

function outside(input: PlanInput, severity: Finding['severity'], message: string, fix: string): readonly Finding[] {
  return input.cluster.datastore === 'external' ? [about(input)('external-datastore', severity, message, fix)] : []
}

/** Whether the snapshot is one of this cluster, that what runs here can open; and what it will cost. */
export const judgeSnapshot: ActionJudge = input => {
  const { datastore: work, cluster, nodes } = input
  if (work?.kind !== 'restore') return []
  const say = about(input)
  const target = restorer(input)
  const { snapshot } = work
  const findings: Finding[] = []
  if (work.cluster !== cluster.id)
    findings.push(
      say(
        'other-cluster',
        'error',
        `the snapshot is of cluster ${work.cluster}, not of ${cluster.id}`,
        'see: cloudimg snapshot list',
      ),
    )
  const runs = target.facts.k3s.version ?? cluster.version
  if (runs !== undefined && minorOf(snapshot.version) > minorOf(runs))
    findings.push(
      say(
        'newer-snapshot',
        'error',
        `the snapshot is of ${snapshot.version}, which ${runs} cannot open`,
        `upgrade to ${snapshot.version} first, or restore an older one`,
      ),
    )
  if (snapshot.datastore === 'sqlite' && nodes.filter(node => node.role === 'server').length > 1)
    findings.push(
      say(
        'sqlite',
        'error',
        'the snapshot is of SQLite, which several servers cannot share',
        'delete the other servers first',
      ),
    )
  const stuck = nodes.filter(node => goesBack(node, work.snapshot.version) && node.facts.cloudimg.previous === '')
  for (const node of stuck)
    findings.push({
      id: 'no-way-back',
      host: node.host,
      severity: 'error',
      message: `it runs ${node.facts.k3s.version}, and has nothing of ${snapshot.version} to go back to`,
      fix: `delete it, restore, and let it join again with an image of ${snapshot.version}`,
    })
  findings.push(...lostServers(work.lost, say))
  const age = formatAge(target.facts.time - work.takenAt)
  findings.push(
    say(
      'writes-lost',
      'warning',
      `the snapshot is ${age} old; what was written since is lost`,
      'take another one first: cloudimg snapshot save',
    ),
  )
  return findings
}

/** Whether a majority is lost indeed. */
export const judgeLostQuorum: ActionJudge = input => {
  const { datastore: work, cluster, nodes } = input
  if (work?.kind !== 'recover') return []
  const say = about(input)
  if (cluster.datastore !== 'etcd')
    return [
      say(
        'no-etcd',
        'error',
        'it has no embedded etcd whose majority could be lost',
        'see what is wrong: cloudimg status; journalctl -u k3s',
      ),
    ]
  const findings: Finding[] = []
  const underWay = work.underWay || nodes.some(node => isRecovering(unfinishedOn(node.facts)?.command))
  if (work.answering !== undefined && !work.forced && !underWay)
    findings.push(
      say(
        'quorum-healthy',
        'error',
        `the server ${work.answering} answers: no majority is lost`,
        'repair the others with cloudimg replace; or say --force, and what they know alone is lost',
      ),
    )
  findings.push(...lostServers(work.lost, say))
  findings.push(
    say(
      'writes-lost',
      'warning',
      `what other servers know and ${work.server} does not is lost`,
      'name the server that was up last',
    ),
  )
  return findings
}

/** Of a journal's first line. */
export function isRecovering(command: string | undefined): boolean {
  return command?.startsWith('{"action":"recover"') === true
}

function lostServers(lost: readonly string[], say: Say): readonly Finding[] {
  if (lost.length === 0) return []
  return [
    say(
      'lost-servers',
      'warning',
      `${lost.join(', ')} must not come back with their data: together they may still be the old cluster`,
      'image them anew, or run cloudimg-node reset there; then let them join: cloudimg run IMAGE with all hosts',
    ),
  ]
}
