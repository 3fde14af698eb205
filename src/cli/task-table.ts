import { formatBytes } from '../core/bytes.ts'
import type { Event, TaskId } from '../core/context.ts'

export interface RunningTask {
  readonly id: TaskId
  readonly title: string
  readonly started: number
  done: number
  total: number | undefined
  unit: 'bytes' | 'items'
}

/** The tasks under way, as events tell of them; times in milliseconds. */
export class TaskTable {
  readonly #tasks = new Map<TaskId, RunningTask>()
  readonly #now: () => number

  constructor(now: () => number) {
    this.#now = now
  }

  get running(): readonly RunningTask[] {
    return [...this.#tasks.values()]
  }

  start(event: Extract<Event, { kind: 'task.start' }>): void {
    this.#tasks.set(event.id, {
      id: event.id,
      title: event.title,
      started: this.#now(),
      done: 0,
      total: undefined,
      unit: 'bytes',
    })
  }

  progress(event: Extract<Event, { kind: 'task.progress' }>): RunningTask | undefined {
    const task = this.#tasks.get(event.id)
    if (task !== undefined)
      Object.assign(
        task,
        { done: event.done, unit: event.unit },
        event.total === undefined ? {} : { total: event.total },
      )
    return task
  }

  end(id: TaskId): RunningTask | undefined {
    const task = this.#tasks.get(id)
    this.#tasks.delete(id)
    return task
  }

  /** `12.0 MiB of 40.0 MiB, 8.1 MiB/s, 3 s left` */
  describe(task: RunningTask): string {
    const seconds = Math.max(0.001, (this.#now() - task.started) / 1000)
    if (task.unit === 'items') return task.total === undefined ? `${task.done}` : `${task.done} of ${task.total}`
    const rate = task.done / seconds
    const parts = [
      task.total === undefined ? formatBytes(task.done) : `${formatBytes(task.done)} of ${formatBytes(task.total)}`,
    ]
    if (seconds >= 0.5 && task.done > 0) parts.push(`${formatBytes(rate)}/s`)
    if (task.total !== undefined && rate > 0 && seconds >= 1 && task.done < task.total)
      parts.push(`${formatDuration((task.total - task.done) / rate)} left`)
    return parts.join(', ')
  }

  summary(task: RunningTask, outcome: string): string {
    const seconds = (this.#now() - task.started) / 1000
    const size = task.unit === 'bytes' && task.done > 0 ? `${formatBytes(task.done)}, ` : ''
    return `${outcome} (${size}${seconds.toFixed(1)} s)`
  }
}

export function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}
