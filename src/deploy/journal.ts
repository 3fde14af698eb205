import { open, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { mkdir } from 'node:fs/promises'
import * as z from 'zod'
import type { Undo } from '../runtime/step.ts'
import { MiB } from '../core/bytes.ts'
import { compareBytes, readFileIfPresent, readdirIfPresent, syncDirectory, withFileErrors } from '../io/files.ts'

const lineSchema = z.object({
  v: z.literal(1),
  op: z.string(),
  seq: z.number(),
  /** Milliseconds since 1970. */
  t: z.number(),
  host: z.string().optional(),
  step: z.string().optional(),
  event: z.enum(['begin', 'resume', 'start', 'done', 'failed', 'undone', 'end']),
  /** What was asked, in `begin`: a command with the same text resumes this operation. */
  command: z.string().optional(),
  epoch: z.number().optional(),
  message: z.string().optional(),
  /** In `start`: what takes the step back, or that nothing does. */
  undo: z.custom<Undo>(value => value === 'none' || (typeof value === 'object' && value !== null)).optional(),
})

export type JournalLine = z.infer<typeof lineSchema>
export type JournalEntry = Omit<JournalLine, 'v' | 'op' | 'seq' | 't'>

/** The record of one operation. What is written has reached the disk when `write` returns. */
export interface Journal {
  readonly op: string
  readonly path: string
  /** Lines of earlier, interrupted runs of the same operation. */
  readonly earlier: readonly JournalLine[]
  /** Its first line: what was asked. */
  readonly begin: JournalLine
  /** Returns the line as it stands there. */
  write(entry: JournalEntry): Promise<JournalLine>
  close(): Promise<void>
}

/** Only whole, valid lines count: the last one may be torn by a crash, and says nothing then. */
export function parseJournal(text: string): readonly JournalLine[] {
  return text.split('\n').flatMap(line => {
    try {
      return [lineSchema.parse(JSON.parse(line))]
    } catch {
      return []
    }
  })
}

export interface OpenJournal {
  readonly directory: string
  /** The whole of what is asked, as one text. */
  readonly command: string
  readonly newOp: string
  readonly now: () => number
}

/** Whether an operation for this command was begun and has not ended. */
export async function isUnfinished(directory: string, command: string): Promise<boolean> {
  return (await findUnfinished(directory, command)) !== undefined
}

/** Goes on with the latest operation for the same command that has not ended, else begins a new one. */
export async function openJournal({ directory, command, newOp, now }: OpenJournal): Promise<Journal> {
  const unfinished = await findUnfinished(directory, command)
  const op = unfinished?.op ?? newOp
  const path = join(directory, `${op}.jsonl`)
  const handle = await withFileErrors('writing', path, async () => {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const opened = await open(path, 'a', 0o600)
    await syncDirectory(directory)
    return opened
  })
  const earlier = unfinished?.lines ?? []
  let seq = Math.max(0, ...earlier.map(line => line.seq))
  // Hosts work side by side; lines stand in the order of their numbers.
  let last: Promise<void> = Promise.resolve()
  const journal: Omit<Journal, 'begin'> = {
    op,
    path,
    earlier,
    write: entry => {
      const line: JournalLine = { v: 1, op, seq: ++seq, t: now(), ...entry }
      const written = last.catch(() => undefined).then(() => append(handle, path, line))
      last = written
      return written.then(() => line)
    },
    close: () => handle.close(),
  }
  // A torn line is closed first, so that it does not swallow the next one.
  if (unfinished !== undefined && !unfinished.text.endsWith('\n')) await handle.write('\n')
  const begun = await journal.write({ event: unfinished === undefined ? 'begin' : 'resume', command })
  return { ...journal, begin: earlier.find(line => line.event === 'begin') ?? begun }
}

async function append(handle: FileHandle, path: string, line: JournalLine): Promise<void> {
  await withFileErrors('writing', path, async () => {
    await handle.write(`${JSON.stringify(line)}\n`)
    await handle.sync()
  })
}

/** What the latest operation was asked, where it has not ended. */
export async function unfinishedCommand(directory: string): Promise<string | undefined> {
  const latest = await newestUnfinished(directory)
  return latest === undefined ? undefined : commandOf(latest)
}

interface Unfinished {
  readonly op: string
  readonly text: string
  readonly lines: readonly JournalLine[]
}

/** The latest operation, where it is for this command and has not ended. */
export async function findUnfinished(directory: string, command: string): Promise<Unfinished | undefined> {
  const newest = await newestUnfinished(directory)
  return newest !== undefined && commandOf(newest) === command ? newest : undefined
}

/** The latest operation, whatever was asked, where it has not ended. */
export async function newestUnfinished(directory: string): Promise<Unfinished | undefined> {
  const names = (await readdirIfPresent(directory)).filter(name => name.endsWith('.jsonl')).sort(compareBytes)
  const newest = names.at(-1)
  if (newest === undefined) return undefined
  const text = (await readFileIfPresent(join(directory, newest), 256 * MiB))?.toString('utf8') ?? ''
  const lines = parseJournal(text)
  if (lines.some(line => line.event === 'end')) return undefined
  return { op: newest.slice(0, -'.jsonl'.length), text, lines }
}

function commandOf({ lines }: Unfinished): string | undefined {
  return lines.find(line => line.event === 'begin')?.command
}
