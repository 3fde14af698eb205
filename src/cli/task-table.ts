import { formatBytes } from '../core/bytes.ts'
import type { Event, TaskId } from '../core/context.ts'

export interface RunningTask {
  readonly id: TaskId
  readonly title: string
  readonly parent: TaskId | undefined
  readonly started: number
  /** Other tasks are its parts, and its count is their sum. */
  isSum: boolean
  done: number
  total: number | undefined
  unit: 'bytes' | 'items'
  /** Counts of the last seconds, oldest first. */
  readonly samples: { readonly at: number; readonly done: number }[]
}

/** A rate is that of the last five seconds: what went before says nothing about what is left. */
const windowMs = 5000
const sampleMs = 250

const emptyTask = { isSum: false, done: 0, total: undefined, unit: 'bytes' } as const

/** The tasks under way, as events tell of them; times in milliseconds. */
export class TaskTable {
  readonly #tasks = new Map<TaskId, RunningTask>()
  readonly #now: () => number
  /** All tasks on their own, those that ended included, since nothing was under way. */
  #overall: RunningTask
  #ended = { done: 0, total: 0 }

  constructor(now: () => number) {
    this.#now = now
    this.#overall = this.#newOverall()
  }

  /** Parts first, in the order of their start; sums after them. */
  get running(): readonly RunningTask[] {
    const tasks = [...this.#tasks.values()]
    return [...tasks.filter(task => !task.isSum), ...tasks.filter(task => task.isSum)]
  }

  /** The sum of what is under way, where several tasks are and none of them is a sum already. */
  get overall(): RunningTask | undefined {
    const alone = this.#alone()
    return alone.length > 1 && alone.every(task => !task.isSum && task.total !== undefined) ? this.#overall : undefined
  }

  #alone(): readonly RunningTask[] {
    return [...this.#tasks.values()].filter(({ parent, unit }) => parent === undefined && unit === 'bytes')
  }

  #newOverall(): RunningTask {
    const started = this.#now()
    return { ...emptyTask, id: 0, title: 'in all', parent: undefined, started, isSum: true, samples: [] }
  }

  #sumUp(): void {
    const alone = this.#alone()
    this.#overall.done = alone.reduce((sum, { done }) => sum + done, this.#ended.done)
    this.#overall.total = alone.reduce((sum, { total = 0 }) => sum + total, this.#ended.total)
    this.#sample(this.#overall)
  }

  start(event: Extract<Event, { kind: 'task.start' }>): void {
    if (this.#tasks.size === 0) {
      this.#overall = this.#newOverall()
      this.#ended = { done: 0, total: 0 }
    }
    const parent = event.parent === undefined ? undefined : this.#tasks.get(event.parent)
    if (parent !== undefined) parent.isSum = true
    const { id, title } = event
    this.#tasks.set(id, { ...emptyTask, id, title, parent: event.parent, started: this.#now(), samples: [] })
  }

  progress(event: Extract<Event, { kind: 'task.progress' }>): RunningTask | undefined {
    const task = this.#tasks.get(event.id)
    if (task === undefined) return undefined
    task.done = event.done
    task.unit = event.unit
    if (event.total !== undefined) task.total = event.total
    this.#sample(task)
    if (task.parent === undefined) this.#sumUp()
    return task
  }

  #sample({ samples, done }: RunningTask): void {
    const at = this.#now()
    const last = samples.at(-1)
    if (last !== undefined && at - last.at < sampleMs) return
    samples.push({ at, done })
    while (samples.length > 2 && at - samples[1]!.at >= windowMs) samples.shift()
  }

  end(id: TaskId): RunningTask | undefined {
    const task = this.#tasks.get(id)
    this.#tasks.delete(id)
    if (task?.parent === undefined && task?.unit === 'bytes') {
      this.#ended.done += task.done
      this.#ended.total += task.total ?? task.done
    }
    return task
  }

  /** `12.0 MiB of 40.0 MiB, 8.1 MiB/s, 3 s left`; `12 s` of what counts nothing. */
  describe(task: RunningTask): string {
    const now = this.#now()
    const { done, total, unit } = task
    if (done === 0 && total === undefined) return formatDuration((now - task.started) / 1000)
    const count = (value: number): string => (unit === 'bytes' ? formatBytes(value) : String(value))
    const parts = [total === undefined ? count(done) : `${count(done)} of ${count(total)}`]
    const rate = recentRate(task, now)
    if (unit === 'bytes' && now - task.started >= 500 && rate > 0) parts.push(`${formatBytes(rate)}/s`)
    if (total !== undefined && rate > 0 && now - task.started >= 1000 && done < total)
      parts.push(`${formatDuration((total - done) / rate)} left`)
    return parts.join(', ')
  }

  /** `done (12.0 MiB, 0.4 s)`; of a sum, whose outcome tells the bytes, `3 copied (312 MiB), 4.1 s`. */
  summary(task: RunningTask, outcome: string): string {
    const seconds = ((this.#now() - task.started) / 1000).toFixed(1)
    if (task.isSum) return `${outcome}, ${seconds} s`
    const size = task.unit === 'bytes' && task.done > 0 ? `${formatBytes(task.done)}, ` : ''
    return `${outcome} (${size}${seconds} s)`
  }
}

/** Bytes or items a second. */
function recentRate({ samples, done, started }: RunningTask, now: number): number {
  const from = samples[0] ?? { at: started, done: 0 }
  return Math.max(0, done - from.done) / Math.max(0.001, (now - from.at) / 1000)
}

export function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`
}
