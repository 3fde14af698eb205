import { appendFile, mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Journal, openJournal, parseJournal } from '../../../src/deploy/journal.ts'

let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cloudimg-journal-'))
})
afterEach(() => rm(home, { recursive: true, force: true }))

async function open(newOp: string, command = 'x'): Promise<Journal> {
  return await openJournal({ directory: join(home, 'c'), command, newOp, now: () => 7 })
}

describe('openJournal', () => {
  it('is for its owner alone, one line for each entry', async () => {
    const journal = await open('op1')
    await journal.write({ event: 'start', host: 'h', step: 's' })
    await journal.close()
    expect((await stat(journal.path)).mode & 0o777).toBe(0o600)
    expect((await stat(join(home, 'c'))).mode & 0o777).toBe(0o700)
    expect((await readFile(journal.path, 'utf8')).trimEnd().split('\n')).toEqual([
      '{"v":1,"op":"op1","seq":1,"t":7,"event":"begin","command":"x"}',
      '{"v":1,"op":"op1","seq":2,"t":7,"event":"start","host":"h","step":"s"}',
    ])
  })

  it('goes on with what has not ended, after a torn line too', async () => {
    const first = await open('op1')
    await first.write({ event: 'start', step: 's' })
    await first.close()
    await appendFile(first.path, '{"v":1,"op":"op1","seq":3,"ev')
    const second = await open('op2')
    await second.write({ event: 'done', step: 's' })
    await second.close()
    expect(second.op).toBe('op1')
    const lines = parseJournal(await readFile(first.path, 'utf8'))
    expect(lines.map(line => [line.seq, line.event])).toEqual([
      [1, 'begin'],
      [2, 'start'],
      [3, 'resume'],
      [4, 'done'],
    ])
  })

  it.each([
    ['it has ended', 'x', true],
    ['it was another command', 'y', false],
  ])('begins anew where %s', async (_, command, ended) => {
    const first = await open('op1')
    if (ended) await first.write({ event: 'end' })
    await first.close()
    const second = await open('op2', command)
    await second.close()
    expect(second.op).toBe('op2')
  })

  it('keeps lines in the order of their numbers, whoever waits', async () => {
    const journal = await open('op1')
    await Promise.all(Array.from({ length: 20 }, () => journal.write({ event: 'start' })))
    await journal.close()
    expect(parseJournal(await readFile(journal.path, 'utf8')).map(line => line.seq)).toEqual(
      Array.from({ length: 21 }, (_, index) => index + 1),
    )
  })
})
