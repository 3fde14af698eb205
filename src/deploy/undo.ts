import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { adopt } from './act.ts'
import type { Action } from './action.ts'
import { commandText, type Operation, withOperation } from './carry-out.ts'
import { withClaim } from './claim.ts'
import type { Ends } from './ends.ts'
import { closeEndpoint } from './fanout/endpoint.ts'
import { findUnfinished, type JournalLine } from './journal.ts'
import { forgetOperation } from './mirror.ts'
import { onHosts } from './on-hosts.ts'
import { perform } from './perform.ts'
import { type Prepared, withPrepared } from './prepare.ts'
import { hostNamed } from './probe.ts'
import type { ActionRequest } from './request.ts'

export interface UndoResult {
  readonly cluster: string
  readonly op: string
  /** Ids of the steps that were taken back, the last one first. */
  readonly undone: readonly string[]
}

/**
 * Takes back what an unfinished operation has done, the last step first, from the words of its journal alone.
 * @throws REFUSED, with nothing changed, where there is no such operation, or where a step was begun that cannot be undone.
 */
export async function undoAction(
  action: Action,
  request: ActionRequest,
  ends: Ends,
  ctx: Context,
): Promise<UndoResult> {
  return await withPrepared(action, request, ends, ctx, async prepared => {
    await adopt(prepared, ctx)
    const unfinished = await findUnfinished(prepared.directory, commandText(prepared))
    if (unfinished === undefined)
      throw new CloudimgError('REFUSED', `undoing ${action.name}: there is no unfinished operation of this command`, {
        hint: 'give the very options of the command that was cut off',
      })
    const steps = stepsToUndo(unfinished.lines)
    const final = steps.find(line => line.undo === 'none')
    if (final !== undefined)
      throw new CloudimgError(
        'REFUSED',
        `undoing ${action.name}: step "${final.step}" was begun, and nothing takes it back`,
        {
          hint: 'the same command without --undo goes on from there',
          data: { step: final.step ?? '', op: unfinished.op },
        },
      )
    return await withClaim(prepared.directory, () => takeBack(prepared, steps, ctx))
  })
}

/** Begun and not undone yet, the last one first. */
function stepsToUndo(lines: readonly JournalLine[]): readonly JournalLine[] {
  const open = new Map<string, JournalLine>()
  for (const line of lines) {
    if (line.step === undefined) continue
    if (line.event === 'start') open.set(line.step, line)
    if (line.event === 'undone') open.delete(line.step)
  }
  return [...open.values()].sort((a, b) => b.seq - a.seq)
}

async function takeBack(prepared: Prepared, steps: readonly JournalLine[], ctx: Context): Promise<UndoResult> {
  return await withOperation(prepared, ctx, async ({ door, journal }: Operation, ctx) => {
    ctx.events({ kind: 'phase', title: 'Undo' })
    const hosts = [...prepared.hosts.values()]
    await onHosts(
      hosts,
      prepared.concurrency,
      host => host.name,
      host => closeEndpoint(host, ctx),
    )
    for (const { step = '', host: name = '', undo } of steps) {
      const host = hostNamed(prepared.hosts, name)
      const say = (outcome: 'start' | 'changed'): void =>
        ctx.events({ kind: 'host', host: name, sentence: `take back ${step}`, outcome })
      say('start')
      door.onChange()
      if (undo !== undefined && undo !== 'none') for (const op of undo.do) await perform(op, host, door, ctx)
      await door.mirror(host, await journal.write({ event: 'undone', host: name, step }), ctx)
      say('changed')
    }
    await onHosts(
      hosts,
      prepared.concurrency,
      host => host.name,
      host => forgetOperation(host, journal.op, ctx),
    )
    return { cluster: prepared.plan.cluster, op: journal.op, undone: steps.map(line => line.step ?? '') }
  })
}
