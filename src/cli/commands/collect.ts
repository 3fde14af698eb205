import { formatBytes } from '../../core/bytes.ts'
import { type CollectedHost, collectSupport } from '../../deploy/actions/collect.ts'
import { type ChoiceFlags, choiceOf, type ReachFlags, reachOf } from '../reach-options.ts'
import type { Session } from '../session.ts'

export interface CollectFlags extends ReachFlags, ChoiceFlags {
  readonly output?: string
  readonly since?: string
}

/** `cloudimg collect`: 1 where no host answered; what the operator knows is in the bundle all the same. */
export async function collect(session: Session, flags: CollectFlags): Promise<number> {
  const { output = defaultName(), since = '24h' } = flags
  const options = { choice: choiceOf(flags), output, since, ...(await reachOf(session, flags)) }
  const result = await collectSupport(options, session.ctx)
  const ok = result.hosts.some(host => host.unseen === undefined)
  const code = ok ? 0 : 1
  session.answer({ ok, changed: false, code, ...result }, () =>
    [
      `${result.path}: ${formatBytes(result.bytes)}, ${result.hosts.filter(host => host.unseen === undefined).length} of ${result.hosts.length} hosts`,
      ...result.hosts.flatMap(silent),
      'secrets are taken out, names and addresses are not: look into it before you pass it on',
    ].join('\n'),
  )
  return code
}

function silent({ name, unseen }: CollectedHost): readonly string[] {
  return unseen === undefined ? [] : [`  ${name}: ${unseen}`]
}

function defaultName(): string {
  return `cloudimg-support-${new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')}.tar.gz`
}
