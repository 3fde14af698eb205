import { homedir } from 'node:os'
import { join } from 'node:path'
import { formatBytes } from '../../core/bytes.ts'
import { execOnHosts } from '../../deploy/actions/exec.ts'
import { bringKubeconfig } from '../../deploy/actions/kubeconfig.ts'
import { type ClusterStatus, clusterStatus, type NodeStatus } from '../../deploy/actions/status.ts'
import { mergeKubeconfig } from '../../deploy/merge-kubeconfig.ts'
import { type ChoiceFlags, choiceOf, listOf, type ReachFlags, reachOf } from '../reach-options.ts'
import type { Session } from '../session.ts'
import { formatTable } from '../table.ts'

export type ViewFlags = ReachFlags & ChoiceFlags

/** `cloudimg status`: exit code 9 where something is not as declared. */
export async function status(session: Session, flags: ViewFlags): Promise<number> {
  const result = await clusterStatus({ choice: choiceOf(flags), ...(await reachOf(session, flags)) }, session.ctx)
  const code = result.ok ? 0 : 9
  session.answer({ changed: false, code, ...result }, () => describe(result))
  return code
}

function describe({ cluster, voters, registry, nodes, troubles, ok }: ClusterStatus): string {
  const asked = registry === undefined ? [] : [`registry: ${registry.mode === 'url' ? registry.url : registry.mode}`]
  const etcd = voters === undefined ? [] : [`etcd: ${voters.healthy} of ${voters.all} voters are healthy`]
  const table = formatTable(
    ['NODE', 'ROLE', 'HOST', 'VERSION', 'READY', 'CERTIFICATES', 'DISK FREE', 'CLOCK'],
    nodes.map(rowOf),
  )
  const wrong = [...troubles, ...nodes.flatMap(node => node.troubles.map(trouble => `${node.name}: ${trouble}`))]
  const lines = wrong.map(text => `  ${text}`)
  return [
    `cluster ${cluster}`,
    ...etcd,
    ...asked,
    '',
    table,
    '',
    ok ? 'everything is as declared' : 'not as declared:',
    ...lines,
  ].join('\n')
}

function rowOf({ name, role, host, version, ready, seen }: NodeStatus): readonly string[] {
  const days = seen?.certificateDays
  return [
    name,
    role,
    host,
    version,
    ready ? 'yes' : 'no',
    days === undefined ? '-' : `${days} days`,
    seen?.freeBytes === undefined ? '-' : formatBytes(seen.freeBytes),
    seen === undefined ? '-' : `${seen.clockOffsetSeconds} s`,
  ]
}

/** `cloudimg exec HOSTS -- COMMAND`: 0 where it was 0 everywhere, else 1. */
export async function exec(
  session: Session,
  hosts: string,
  argv: readonly string[],
  flags: ViewFlags,
): Promise<number> {
  const options = { choice: choiceOf(flags), hosts: listOf([hosts]), argv, ...(await reachOf(session, flags)) }
  const outputs = await execOnHosts(options, session.ctx)
  const failed = outputs.some(output => output.code !== 0)
  session.answer({ ok: !failed, code: failed ? 1 : 0, hosts: outputs }, () =>
    outputs
      .map(({ name, code, stdout, stderr }) => {
        const head = `==> ${name}${code === 0 ? '' : ` (exit code ${code})`}`
        return [head, stdout.trimEnd(), stderr.trimEnd()].filter(text => text !== '').join('\n')
      })
      .join('\n'),
  )
  return failed ? 1 : 0
}

export interface KubeconfigFlags extends ReachFlags, ChoiceFlags {
  readonly merge?: boolean
  readonly endpoint?: string
}

/** `cloudimg kubeconfig`: prints where it is; with `--merge` it becomes a context of the user's own. */
export async function kubeconfig(session: Session, flags: KubeconfigFlags): Promise<void> {
  const { endpoint } = flags
  const options = {
    choice: choiceOf(flags),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(await reachOf(session, flags)),
  }
  const { cluster, path, text } = await bringKubeconfig(options, session.ctx)
  if (flags.merge !== true) return session.answer({ cluster, path }, path)
  const own = session.terminal.env.KUBECONFIG?.split(':')[0] ?? ''
  const target = own === '' ? join(session.terminal.env.HOME ?? homedir(), '.kube/config') : own
  const context = `cloudimg-${cluster}`
  await mergeKubeconfig(target, text, context)
  session.answer(
    { cluster, path: target, context },
    `${target}: context ${context}\nnext: kubectl --context ${context} get nodes`,
  )
}
