import type { Event } from '../core/context.ts'
import type { Styler } from './terminal.ts'

type LineEvent = Exclude<Event, { kind: 'task.start' | 'task.progress' | 'task.end' | 'task.output' }>

const outcomes = {
  start: '',
  changed: ' … done',
  unchanged: ' … nothing to do',
  failed: ' … failed',
  ok: '',
} as const

/** The lines for events that stand for themselves; tasks are followed by the reporters. Empty where nothing is to be said. */
export function eventLines(event: LineEvent, style: Styler): readonly string[] {
  switch (event.kind) {
    case 'note':
      return [event.message]
    case 'phase':
      return [`${style('cyan', '==>')} ${style('bold', event.title)}`]
    case 'host':
      return event.outcome === 'start'
        ? []
        : [
            `    ${style('bold', event.host)}: ${event.sentence}${style(event.outcome === 'failed' ? 'red' : 'dim', outcomes[event.outcome])}`,
          ]
    case 'retry':
      return [
        style(
          'yellow',
          `retry ${event.attempt}/${event.of} in ${(event.delayMs / 1000).toFixed(1)} s: ${event.what}: ${event.reason}`,
        ),
      ]
    case 'warning':
      return [
        `${style('yellow', `warning[${event.code}]`)}: ${event.message}`,
        ...(event.hint === undefined ? [] : [`  hint: ${event.hint}`]),
      ]
  }
}
