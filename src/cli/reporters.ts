import type { Event, TaskId } from '../core/context.ts'
import { eventLines } from './event-lines.ts'
import { finishedLines } from './finished-lines.ts'
import { LiveReporter } from './live-reporter.ts'
import { TaskTable } from './task-table.ts'
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
      return jsonReporter(terminal, now)
    case 'plain':
      return plainReporter(terminal, style, now)
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

const jsonEveryMs = 100

/** Each event a line; of a task's progress no more than ten a second, and the last one. */
function jsonReporter(terminal: Terminal, now: () => number): Reporter {
  const told = new Map<TaskId, number>()
  return {
    report: event => {
      if (event.kind === 'task.end') told.delete(event.id)
      if (event.kind === 'task.progress') {
        const at = now()
        if (event.done !== event.total && at - (told.get(event.id) ?? Number.NEGATIVE_INFINITY) < jsonEveryMs) return
        told.set(event.id, at)
      }
      terminal.stderr.write(`${JSON.stringify(event)}\n`)
    },
    close: () => {},
  }
}

/** In a log, something that takes long gives a sign of life this often. */
const heartbeatMs = 10_000

function plainReporter(terminal: Terminal, style: Styler, now: () => number): Reporter {
  const tasks = new TaskTable(now)
  const line = (text: string): void => void terminal.stderr.write(`${text}\n`)
  const told = new Map<TaskId, number>()
  const heartbeat = (event: Event): void => {
    if (event.kind === 'task.start' && event.parent === undefined) told.set(event.id, now())
    if (event.kind === 'task.end') told.delete(event.id)
    if (event.kind !== 'task.progress') return
    const before = told.get(event.id)
    const at = now()
    if (before === undefined || at - before < heartbeatMs) return
    told.set(event.id, at)
    const task = tasks.running.find(({ id }) => id === event.id)
    if (task !== undefined) line(style('dim', `  … ${task.title}: ${tasks.describe(task)}`))
  }
  return {
    report: event => {
      finishedLines(event, tasks, style).forEach(line)
      heartbeat(event)
    },
    close: () => {},
  }
}
