import { describe, expect, it, vi } from 'vitest'
import type { Event } from '../../../src/core/context.ts'
import { createReporter, type ProgressMode } from '../../../src/cli/reporters.ts'
import { formatDuration, TaskTable } from '../../../src/cli/task-table.ts'
import type { Terminal } from '../../../src/cli/terminal.ts'

function report(
  mode: ProgressMode,
  events: readonly Event[],
  options: { isTTY?: boolean; env?: Record<string, string>; everyMs?: number } = {},
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
  const reporter = createReporter(mode, terminal, () => clock)
  for (const event of events) {
    clock += options.everyMs ?? 500
    reporter.report(event)
  }
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
        '  ✓ sending k3s done (4.0 MiB, 1.5 s)',
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

const MiB = 1024 * 1024
const copy: readonly Event[] = [
  { kind: 'task.start', id: 1, title: 'pushing k3s:v1' },
  { kind: 'task.start', id: 2, title: 'blob a', parent: 1 },
  { kind: 'task.progress', id: 2, done: MiB, total: 4 * MiB, unit: 'bytes' },
  { kind: 'task.progress', id: 1, done: MiB, total: 9 * MiB, unit: 'bytes' },
  { kind: 'task.start', id: 3, title: 'blob b', parent: 1 },
  { kind: 'task.end', id: 3, outcome: 'cached', note: 'already there' },
  { kind: 'task.progress', id: 1, done: 6 * MiB, total: 9 * MiB, unit: 'bytes' },
  { kind: 'task.progress', id: 2, done: 4 * MiB, total: 4 * MiB, unit: 'bytes' },
  { kind: 'task.end', id: 2, outcome: 'done', note: 'copied' },
  { kind: 'task.end', id: 1, outcome: 'done', note: '1 copied (4.0 MiB), 1 already there (5.0 MiB)' },
]

describe('a sum of tasks', () => {
  it('is told with its parts, of which those that were there already are only counted', () => {
    expect(report('plain', copy)).toBe(
      [
        '  ✓ blob a copied (4.0 MiB, 3.5 s)',
        '  ✓ pushing k3s:v1: 1 copied (4.0 MiB), 1 already there (5.0 MiB), 4.5 s',
        '',
      ].join('\n'),
    )
  })

  it('gives a sign of life in a log every ten seconds, its parts do not', () => {
    const lines = report('plain', copy, { everyMs: 6000 }).split('\n')
    expect(lines.filter(line => line.includes('…'))).toEqual([
      '  … pushing k3s:v1: 1.0 MiB of 9.0 MiB',
      '  … pushing k3s:v1: 6.0 MiB of 9.0 MiB, 284 KiB/s, 11 s left',
    ])
  })
})

describe('the rate', () => {
  const table = (): { readonly at: (ms: number, done: number) => string } => {
    let clock = 0
    const tasks = new TaskTable(() => clock)
    tasks.start({ kind: 'task.start', id: 1, title: 'x' })
    return {
      at: (ms, done) => {
        clock = ms
        tasks.progress({ kind: 'task.progress', id: 1, done, total: 100 * MiB, unit: 'bytes' })
        return tasks.describe(tasks.running[0]!)
      },
    }
  }

  it('is that of the last seconds: a slow link is not hidden by a quick start', () => {
    const { at } = table()
    at(0, 0)
    expect(at(1000, 50 * MiB)).toBe('50.0 MiB of 100 MiB, 50.0 MiB/s, 1 s left')
    for (let second = 2; second < 12; second++) at(second * 1000, (50 + second - 1) * MiB)
    expect(at(12_000, 61 * MiB)).toBe('61.0 MiB of 100 MiB, 1.0 MiB/s, 39 s left')
  })
})

describe('several tasks at once', () => {
  const table = new TaskTable(() => 0)
  const start = (id: number): void => table.start({ kind: 'task.start', id, title: `layer ${id}` })
  const progress = (id: number, done: number): void =>
    void table.progress({ kind: 'task.progress', id, done, total: 10, unit: 'bytes' })

  it('have a sum, to which those count that ended meanwhile', () => {
    start(1)
    progress(1, 4)
    expect(table.overall).toBeUndefined()
    start(2)
    progress(2, 1)
    expect(table.overall).toMatchObject({ title: 'in all', done: 5, total: 20 })
    start(3)
    progress(1, 10)
    table.end(1)
    progress(3, 2)
    expect(table.overall).toMatchObject({ done: 13, total: 30 })
    table.end(2)
    table.end(3)
    start(4)
    start(5)
    progress(4, 1)
    progress(5, 1)
    expect(table.overall).toMatchObject({ done: 2, total: 20 })
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

it('tells a machine of progress ten times a second at most, and of the last byte', () => {
  const many = Array.from({ length: 100 }, (_, i): Event => {
    return { kind: 'task.progress', id: 1, done: i + 1, total: 100, unit: 'bytes' }
  })
  const told = report('json', [{ kind: 'task.start', id: 1, title: 'x' }, ...many], { everyMs: 10 })
    .trimEnd()
    .split('\n')
  expect(told).toHaveLength(1 + 10 + 1)
  expect(JSON.parse(told.at(-1)!)).toMatchObject({ done: 100 })
})

describe('a terminal', () => {
  it('shows parts under way and their sum below, and leaves nothing of them behind', async () => {
    let out = ''
    const stream = { write: (text: string) => void (out += text), isTTY: true, columns: 80, rows: 24 }
    const terminal = {
      stdout: stream,
      stderr: stream,
      stdin: process.stdin,
      env: { NO_COLOR: '1' },
    } as unknown as Terminal
    const reporter = createReporter('tty', terminal)
    for (const event of copy.slice(0, 7)) reporter.report(event)
    await vi.waitFor(() => expect(out).toContain('pushing'), { timeout: 10_000 })
    expect(out).toBe(
      [
        '    blob a       [======>                 ] 1.0 MiB of 4.0 MiB\n',
        '  pushing k3s:v1 [================>       ] 6.0 MiB of 9.0 MiB\n',
      ].join(''),
    )
    out = ''
    for (const event of copy.slice(7)) reporter.report(event)
    expect(out).toContain('\u001B[2A\u001B[J  ✓ blob a copied')
    reporter.close()
    expect(out.endsWith('\n')).toBe(true)
  })

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
