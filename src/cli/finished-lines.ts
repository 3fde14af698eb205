import type { Event, TaskOutcome } from '../core/context.ts'
import { eventLines } from './event-lines.ts'
import type { RunningTask, TaskTable } from './task-table.ts'
import type { Styler } from './terminal.ts'

const outcomeWords: Readonly<Record<TaskOutcome, string>> = {
  done: 'done',
  cached: 'cached',
  skipped: 'skipped',
  failed: 'failed',
}

/** Keeps the table and gives the lines that stay on the screen for an event; empty where nothing is to be told. */
export function finishedLines(event: Event, tasks: TaskTable, style: Styler): readonly string[] {
  switch (event.kind) {
    case 'task.start':
      tasks.start(event)
      return []
    case 'task.progress':
      tasks.progress(event)
      return []
    case 'task.output':
      return event.text
        .split('\n')
        .filter(text => text !== '')
        .map(text => style('dim', `    ${text}`))
    case 'task.end': {
      const task = tasks.end(event.id)
      return task === undefined || isUntold(task, event.outcome) ? [] : [endLine(task, event, tasks, style)]
    }
    case 'note':
    case 'phase':
    case 'host':
    case 'retry':
    case 'warning':
      return eventLines(event, style)
  }
}

// What turned out to be needless is nothing to tell of; the parts that were there already are counted by their sum.
function isUntold(task: RunningTask, outcome: TaskOutcome): boolean {
  return outcome === 'skipped' || (outcome === 'cached' && task.parent !== undefined)
}

function endLine(
  task: RunningTask,
  { outcome, note }: Extract<Event, { kind: 'task.end' }>,
  tasks: TaskTable,
  style: Styler,
): string {
  const words = tasks.summary(task, note ?? outcomeWords[outcome])
  const mark = outcome === 'failed' ? style('red', '✗') : style('green', '✓')
  return `  ${mark} ${task.title}${task.isSum ? ':' : ''} ${style('dim', words)}`
}
