import type { Context } from '../core/context.ts'
import { type ActionResult, performAction, planAction, type PlanResult } from './act.ts'
import type { Action } from './action.ts'
import { type Ends, realEnds } from './ends.ts'
import type { ActionRequest } from './request.ts'
import { undoAction, type UndoResult } from './undo.ts'

/** What users do with an action; the options are the action's own. */
export interface Ways<Options> {
  /** The dry run. @throws as `planAction` does. */
  readonly plan: (options: Options, ctx: Context, ends?: Ends) => Promise<PlanResult>
  /** @throws as `performAction` does. */
  readonly perform: (options: Options, ctx: Context, ends?: Ends) => Promise<ActionResult>
  /** Takes an unfinished one back. @throws as `undoAction` does. */
  readonly undo: (options: Options, ctx: Context, ends?: Ends) => Promise<UndoResult>
}

/** `requestOf` reads the options, and may ask the cluster. */
export function waysOf<Options>(
  action: Action,
  requestOf: (options: Options, ends: Ends, ctx: Context) => Promise<ActionRequest>,
): Ways<Options> {
  return {
    plan: async (options, ctx, ends = realEnds) =>
      await planAction(action, await requestOf(options, ends, ctx), ends, ctx),
    perform: async (options, ctx, ends = realEnds) =>
      await performAction(action, await requestOf(options, ends, ctx), ends, ctx),
    undo: async (options, ctx, ends = realEnds) =>
      await undoAction(action, await requestOf(options, ends, ctx), ends, ctx),
  }
}
