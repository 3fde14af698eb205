import type { Event } from '../core/context.ts'
import { finishedLines } from './finished-lines.ts'
import type { RunningTask, TaskTable } from './task-table.ts'
import type { Reporter, Styler, Terminal } from './terminal.ts'

const redrawMs = 100
const barWidth = 24
/** Below it the bar gives way to words. */
const barFromColumns = 72

/** Finished things as lines, and below them what is under way, drawn anew ten times a second, each time by one write. */
export class LiveReporter implements Reporter {
  readonly #terminal: Terminal
  readonly #style: Styler
  readonly #tasks: TaskTable
  /** Lines on the screen that the next drawing replaces. */
  #drawn = 0
  #timer: NodeJS.Timeout | undefined

  constructor(terminal: Terminal, style: Styler, tasks: TaskTable) {
    this.#terminal = terminal
    this.#style = style
    this.#tasks = tasks
  }

  report(event: Event): void {
    const lines = finishedLines(event, this.#tasks, this.#style)
    // Before the first drawing of what runs, lines alone: what is over at once should not flash up.
    if (lines.length > 0) this.#paint(lines, this.#drawn > 0 ? this.#live() : [])
    this.#timer ??= setTimeout(() => this.#tick(), redrawMs).unref()
  }

  close(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#paint([], [])
  }

  #tick(): void {
    this.#timer = undefined
    const live = this.#live()
    this.#paint([], live)
    if (live.length > 0) this.#timer = setTimeout(() => this.#tick(), redrawMs).unref()
  }

  #paint(finished: readonly string[], live: readonly string[]): void {
    const erase = this.#drawn === 0 ? '' : `\u001B[${this.#drawn}A\u001B[J`
    const text = [...finished, ...live].map(line => `${line}\n`).join('')
    if (erase !== '' || text !== '') this.#terminal.stderr.write(erase + text)
    this.#drawn = live.length
  }

  #live(): readonly string[] {
    const rows = Math.max(2, (this.#terminal.stderr.rows ?? 24) - 2)
    const { running, overall } = this.#tasks
    const all = overall === undefined ? running : [...running, overall]
    // The sums stand last and are what people look for: where room is short, parts give way.
    const shown =
      all.length <= rows ? all : [...all.slice(0, rows - 1 - sums(all)), ...all.slice(all.length - sums(all))]
    const width = Math.max(...shown.map(task => indent(task).length + task.title.length))
    const lines = shown.map(task => this.#line(task, width))
    const hidden = all.length - shown.length
    if (hidden > 0) lines.splice(lines.length - sums(all), 0, this.#style('dim', `    and ${hidden} more`))
    return lines
  }

  #line(task: RunningTask, width: number): string {
    const columns = this.#terminal.stderr.columns ?? 80
    const words = this.#tasks.describe(task)
    const bar = columns < barFromColumns ? '' : barOf(task)
    const room = Math.max(12, columns - words.length - bar.length - 2)
    const title = shorten(`${indent(task)}${task.title}`, room).padEnd(Math.min(room, width))
    const text = `${title} ${bar}`
    const rest = Math.max(0, columns - 1 - text.length)
    return `${text.slice(0, columns - 1)}${this.#style('dim', words.slice(0, rest))}`
  }
}

function indent({ parent }: RunningTask): string {
  return parent === undefined ? '  ' : '    '
}

function sums(tasks: readonly RunningTask[]): number {
  return tasks.filter(({ isSum }) => isSum).length
}

function barOf({ done, total }: RunningTask): string {
  if (total === undefined || total === 0) return ''
  const filled = Math.min(barWidth, Math.floor((barWidth * done) / total))
  return `[${`${'='.repeat(filled)}${filled < barWidth ? '>' : ''}`.padEnd(barWidth).slice(0, barWidth)}] `
}

function shorten(title: string, room: number): string {
  return title.length <= room ? title : `${title.slice(0, room - 1)}…`
}
