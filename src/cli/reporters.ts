import type { Event, TaskOutcome } from '../core/context.ts'
import { eventLines } from './event-lines.ts'
import { type RunningTask, TaskTable } from './task-table.ts'
import { type Reporter, stylerFor, type Styler, type Terminal } from './terminal.ts'

export type ProgressMode = 'auto' | 'tty' | 'plain' | 'json' | 'quiet'

/** The story goes to stderr; stdout is for answers. */
export function createReporter(mode: ProgressMode, terminal: Terminal, now: () => number = Date.now): Reporter {
  const chosen = mode === 'auto' ? (terminal.stderr.isTTY && terminal.env.TERM !== 'dumb' ? 'tty' : 'plain') : mode
  const style = stylerFor(terminal.stderr, terminal.env)
  switch (chosen) {
    case 'quiet':
      return quietReporter(terminal, style)
    case 'json':
      return { report: event => void terminal.stderr.write(`${JSON.stringify(event)}\n`), close: () => {} }
    case 'plain':
      return plainReporter(terminal, style, new TaskTable(now))
    case 'tty':
      return new LiveReporter(terminal, style, new TaskTable(now))
  }
}

function quietReporter(terminal: Terminal, style: Styler): Reporter {
  return {
    report: event => {
      if (event.kind === 'warning') terminal.stderr.write(`${eventLines(event, style).join('\n')}\n`)
    },
    close: () => {},
  }
}

const outcomeWords: Readonly<Record<TaskOutcome, string>> = {
  done: 'done',
  cached: 'cached',
  skipped: 'skipped',
  failed: 'failed',
}

function plainReporter(terminal: Terminal, style: Styler, tasks: TaskTable): Reporter {
  const line = (text: string): void => void terminal.stderr.write(`${text}\n`)
  return {
    report: event => {
      const text = finishedLine(event, tasks, style)
      if (text !== undefined) text.forEach(line)
    },
    close: () => {},
  }
}

/** Keeps the table and gives the lines that stay on the screen for an event. */
function finishedLine(event: Event, tasks: TaskTable, style: Styler): readonly string[] | undefined {
  switch (event.kind) {
    case 'task.start':
      tasks.start(event)
      return undefined
    case 'task.progress':
      tasks.progress(event)
      return undefined
    case 'task.output':
      return event.text
        .split('\n')
        .filter(text => text !== '')
        .map(text => style('dim', `    ${text}`))
    case 'task.end': {
      const task = tasks.end(event.id)
      // What turned out to be needless is nothing to tell of.
      return task === undefined || event.outcome === 'skipped'
        ? undefined
        : [endLine(task, event.outcome, event.note, tasks, style)]
    }
    case 'note':
    case 'phase':
    case 'host':
    case 'retry':
    case 'warning':
      return eventLines(event, style)
  }
}

function endLine(
  task: RunningTask,
  outcome: TaskOutcome,
  note: string | undefined,
  tasks: TaskTable,
  style: Styler,
): string {
  const words = tasks.summary(task, note ?? outcomeWords[outcome])
  const mark = outcome === 'failed' ? style('red', '✗') : style('green', '✓')
  return `  ${mark} ${task.title} ${style('dim', words)}`
}

const redrawMs = 100
const barWidth = 24

/** Finished things as lines, and below them what is under way, drawn anew ten times a second. */
class LiveReporter implements Reporter {
  readonly #terminal: Terminal
  readonly #style: Styler
  readonly #tasks: TaskTable
  #drawn = 0
  #timer: NodeJS.Timeout | undefined

  constructor(terminal: Terminal, style: Styler, tasks: TaskTable) {
    this.#terminal = terminal
    this.#style = style
    this.#tasks = tasks
  }

  report(event: Event): void {
    const lines = finishedLine(event, this.#tasks, this.#style)
    if (lines !== undefined && lines.length > 0) {
      this.#erase()
      this.#terminal.stderr.write(`${lines.join('\n')}\n`)
    }
    this.#timer ??= setTimeout(() => this.#draw(), redrawMs).unref()
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#erase()
  }

  #erase(): void {
    if (this.#drawn > 0) this.#terminal.stderr.write(`\u001B[${this.#drawn}A\u001B[J`)
    this.#drawn = 0
  }

  #draw(): void {
    this.#timer = undefined
    this.#erase()
    const rows = Math.max(1, (this.#terminal.stderr.rows ?? 24) - 2)
    const lines = this.#tasks.running.slice(0, rows).map(task => this.#line(task))
    if (lines.length === 0) return
    this.#terminal.stderr.write(`${lines.join('\n')}\n`)
    this.#drawn = lines.length
    this.#timer = setTimeout(() => this.#draw(), redrawMs).unref()
  }

  #line(task: RunningTask): string {
    const columns = this.#terminal.stderr.columns ?? 80
    const words = this.#tasks.describe(task)
    const filled =
      task.total === undefined || task.total === 0 ? undefined : Math.floor((barWidth * task.done) / task.total)
    const bar = filled === undefined ? '' : `[${'='.repeat(Math.min(barWidth, filled)).padEnd(barWidth)}] `
    const title = task.title.slice(0, Math.max(8, columns - words.length - bar.length - 6))
    const text = `  ${title} ${bar}${words}`.slice(0, columns - 1)
    return text.replace(words, this.#style('dim', words))
  }
}
