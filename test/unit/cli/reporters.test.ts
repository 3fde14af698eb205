import { describe, expect, it } from 'vitest'
import type { Event } from '../../../src/core/context.ts'
import { createReporter, type ProgressMode } from '../../../src/cli/reporters.ts'
import { formatDuration } from '../../../src/cli/task-table.ts'
import type { Terminal } from '../../../src/cli/terminal.ts'

function report(
  mode: ProgressMode,
  events: readonly Event[],
  options: { isTTY?: boolean; env?: Record<string, string> } = {},
): string {
  let out = ''
  let clock = 0
  const stream = {
    write: (text: string) => void (out += text),
    isTTY: options.isTTY ?? false,
    columns: 80,
    rows: 24,
  } as unknown as NodeJS.WriteStream
  const terminal: Terminal = { stdout: stream, stderr: stream, stdin: process.stdin, env: options.env ?? {} }
  const reporter = createReporter(mode, terminal, () => (clock += 500))
  for (const event of events) reporter.report(event)
  reporter.close()
  return out
}

const story: readonly Event[] = [
  { kind: 'phase', title: 'Send' },
  { kind: 'task.start', id: 1, title: 'sending k3s' },
  { kind: 'task.progress', id: 1, done: 1024 * 1024, total: 4 * 1024 * 1024, unit: 'bytes' },
  { kind: 'task.progress', id: 1, done: 4 * 1024 * 1024, total: 4 * 1024 * 1024, unit: 'bytes' },
  { kind: 'task.end', id: 1, outcome: 'done' },
  { kind: 'host', host: 'h1', sentence: 'send k3s', outcome: 'start' },
  { kind: 'host', host: 'h1', sentence: 'send k3s', outcome: 'changed' },
  { kind: 'retry', what: 'GET x', attempt: 2, of: 5, delayMs: 1500, reason: 'the connection was cut' },
  { kind: 'warning', code: 'a-rule', message: 'something', hint: 'do this' },
  { kind: 'note', message: 'pinned x' },
]

describe('plain', () => {
  it('writes lines, no control characters, nothing for what is only under way', () => {
    expect(report('auto', story)).toBe(
      [
        '==> Send',
        '  ✓ sending k3s done (4.0 MiB, 0.5 s)',
        '    h1: send k3s … done',
        'retry 2/5 in 1.5 s: GET x: the connection was cut',
        'warning[a-rule]: something',
        '  hint: do this',
        'pinned x',
        '',
      ].join('\n'),
    )
  })

  it('has colour where it is forced, and never with NO_COLOR', () => {
    expect(report('plain', story, { env: { FORCE_COLOR: '1' } })).toContain('\u001B[')
    expect(report('plain', story, { env: { FORCE_COLOR: '1', NO_COLOR: '1' } })).not.toContain('\u001B[')
  })
})

describe('quiet', () => {
  it('lets warnings through, nothing else', () => {
    expect(report('quiet', story)).toBe('warning[a-rule]: something\n  hint: do this\n')
  })
})

describe('json', () => {
  it('is one event a line', () => {
    expect(
      report('json', story)
        .trimEnd()
        .split('\n')
        .map(line => JSON.parse(line) as Event),
    ).toEqual(story)
  })
})

describe('a terminal', () => {
  it('leaves finished things as lines', () => {
    expect(report('auto', story, { isTTY: true, env: { TERM: 'xterm' } })).toContain('sending k3s')
  })

  it('that cannot move its cursor gets plain lines', () => {
    expect(report('auto', story, { isTTY: true, env: { TERM: 'dumb' } })).not.toContain('\u001B[')
  })
})

describe('durations', () => {
  it.each([
    [0.2, '1 s'],
    [59, '59 s'],
    [61, '1 min 1 s'],
    [3700, '1 h 1 min'],
  ])('%d s is %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text))
})
