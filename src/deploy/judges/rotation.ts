import type { ActionJudge } from '../action.ts'

/** Not every version has a command for it. */
export const judgeRotation: ActionJudge = ({ nodes, cluster, runtime, wishes }) => {
  const { canRotate, windowDays } = runtime.renewal(cluster.version)
  if (wishes.rotate !== true || canRotate) return []
  return [
    {
      id: 'rotation',
      host: nodes[0].host,
      severity: 'error',
      message: `${cluster.version ?? 'its k3s'} has no command that makes new certificates`,
      fix: `leave --rotate out: a restart renews those that end within ${windowDays} days; or upgrade first`,
    },
  ]
}
