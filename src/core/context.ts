/** What every long-running call receives. Never stored, always passed. */
export interface Context {
  readonly signal: AbortSignal
  readonly events: EventSink
}

export type EventSink = (event: Event) => void
export type TaskId = number
export type TaskOutcome = 'done' | 'cached' | 'skipped' | 'failed'

/** Library code reports by these; only `cli/` turns them into text. */
export type Event =
  /** `parent`: the task that this one is a part of, whose count includes this one's. */
  | { readonly kind: 'task.start'; readonly id: TaskId; readonly title: string; readonly parent?: TaskId }
  | {
      readonly kind: 'task.progress'
      readonly id: TaskId
      readonly done: number
      readonly total?: number
      readonly unit: 'bytes' | 'items'
    }
  | { readonly kind: 'task.output'; readonly id: TaskId; readonly stream: 'stdout' | 'stderr'; readonly text: string }
  | { readonly kind: 'task.end'; readonly id: TaskId; readonly outcome: TaskOutcome; readonly note?: string }
  | { readonly kind: 'note'; readonly message: string }
  | { readonly kind: 'phase'; readonly title: string }
  | {
      readonly kind: 'host'
      readonly host: string
      readonly sentence: string
      /** `ok`: seen to be as it should be. */
      readonly outcome: 'start' | 'changed' | 'unchanged' | 'failed' | 'ok'
    }
  | {
      readonly kind: 'retry'
      readonly what: string
      readonly attempt: number
      readonly of: number
      readonly delayMs: number
      readonly reason: string
    }
  | { readonly kind: 'warning'; readonly code: string; readonly message: string; readonly hint?: string }

/** One unit of work that people watch. `progress` takes absolute counts. */
export interface Task {
  readonly id: TaskId
  progress(done: number, total?: number): void
  end(outcome: TaskOutcome, note?: string): void
}

let lastTaskId = 0

export function startTask(ctx: Context, title: string, unit: 'bytes' | 'items' = 'bytes', parent?: TaskId): Task {
  const id = ++lastTaskId
  ctx.events({ kind: 'task.start', id, title, ...(parent === undefined ? {} : { parent }) })
  return {
    id,
    progress: (done, total) =>
      ctx.events({ kind: 'task.progress', id, done, unit, ...(total === undefined ? {} : { total }) }),
    end: (outcome, note) => ctx.events({ kind: 'task.end', id, outcome, ...(note === undefined ? {} : { note }) }),
  }
}

/** Runs `work` as a task that ends `failed` when it throws, else with what `work` returns or `done`. */
export async function withTask<T>(
  ctx: Context,
  title: string,
  work: (task: Task) => Promise<T>,
  unit: 'bytes' | 'items' = 'bytes',
  parent?: TaskId,
): Promise<T> {
  const task = startTask(ctx, title, unit, parent)
  let ended = false
  const once: Task = {
    ...task,
    end: (outcome, note) => {
      if (!ended) task.end(outcome, note)
      ended = true
    },
  }
  try {
    const result = await work(once)
    once.end('done')
    return result
  } catch (error) {
    once.end('failed')
    throw error
  }
}
