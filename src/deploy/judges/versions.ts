import type { Finding } from '../../runtime/finding.ts'
import type { ActionJudge } from '../action.ts'
import { compareVersions, minorOf } from '../version.ts'

/** One minor at a time, and never back (facts/k3s.md §7.7). */
export const judgeVersions: ActionJudge = ({ nodes, members, cluster }) => {
  const wanted = cluster.version
  return nodes.flatMap((node): readonly Finding[] => {
    const present = members.find(member => member.name === node.name)?.version
    const error = (id: string, message: string, fix: string): Finding => ({
      id,
      host: node.host,
      severity: 'error',
      message,
      fix,
    })
    if (wanted === undefined || present === undefined || present === '') return []
    if (compareVersions(wanted, present) < 0)
      return [
        error(
          'downgrade',
          `it runs ${present}, which is newer than ${wanted}`,
          'upgrade to a newer image; to go back: cloudimg snapshot restore',
        ),
      ]
    if (minorOf(wanted) > minorOf(present) + 1)
      return [
        error(
          'skew',
          `it runs ${present}: from there to ${wanted} a minor version is skipped`,
          `upgrade to v1.${minorOf(present) + 1} first`,
        ),
      ]
    return []
  })
}
