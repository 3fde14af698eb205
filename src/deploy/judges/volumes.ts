import type { Finding } from '../../runtime/finding.ts'
import type { ActionJudge } from '../action.ts'
import type { SituatedNode } from '../situation.ts'

/** Local-path volumes go with the k3s that made them (facts/k3s-observed.md 21). */
export const judgeVolumesOfLeaving: ActionJudge = ({ leaving }) => leaving.flatMap(lostVolumes)

export const judgeVolumesOfAll: ActionJudge = ({ nodes }) => nodes.flatMap(lostVolumes)

function lostVolumes({ host, facts }: SituatedNode): readonly Finding[] {
  const { volumes } = facts.k3s
  if (volumes.length === 0) return []
  const message = `${volumes.length} local-path volumes will be lost: ${volumes.join(', ')}`
  return [
    {
      id: 'volumes',
      host,
      severity: 'warning',
      message,
      fix: 'copy what is needed from /var/lib/rancher/k3s/storage first',
    },
  ]
}
