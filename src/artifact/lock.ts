import * as z from 'zod'
import { MiB } from '../core/bytes.ts'
import { type Digest, isDigest } from '../core/digest.ts'
import { compareBytes, readFileIfPresent, writeFileAtomic } from '../io/files.ts'
import { type FileShape, parseLocatedYaml } from './located-yaml.ts'

interface Entry<K extends string> {
  readonly kind: K
  /** What it is called outside, after expansion; never a mirror's name for it. */
  readonly locator: string
  /** `linux/arm64`, or `any` for what all platforms share. */
  readonly platform: string
}

/** What came from outside. A tool is what layer digests depend on: a compressor's version. */
export type LockEntry =
  | (Entry<'artifact'> & { readonly digest: Digest; readonly size: number })
  | (Entry<'image'> & { readonly digest: Digest })
  | (Entry<'channel'> & { readonly version: string })
  /** `digest`: of the commit's tree as a plain tar, `.git` left out. */
  | (Entry<'git'> & { readonly commit: string; readonly digest: Digest })
  | (Entry<'tool'> & { readonly version: string })

export type LockKind = LockEntry['kind']
export type LockEntryOf<K extends LockKind> = Extract<LockEntry, { readonly kind: K }>

/** The content of `Kubefile.lock`: sorted by kind, locator and platform, one entry for each. */
export interface Lock {
  readonly entries: readonly LockEntry[]
}

export const emptyLock: Lock = { entries: [] }

const digest = z.string().refine(isDigest, 'is no sha256 digest')
const locator = z.string().min(1)
const platform = z.string().min(1)

const schema = z.strictObject({
  lockVersion: z.literal(1, { error: 'this cloudimg reads lock version 1 only' }),
  artifacts: z.array(z.strictObject({ locator, platform, digest, size: z.number().int().nonnegative() })).default([]),
  images: z.array(z.strictObject({ locator, platform, digest })).default([]),
  channels: z.array(z.strictObject({ locator, platform, version: z.string() })).default([]),
  gits: z.array(z.strictObject({ locator, platform, commit: z.string().regex(/^[0-9a-f]{40}$/), digest })).default([]),
  tools: z.array(z.strictObject({ locator, platform, version: z.string() })).default([]),
})

const shape: FileShape<typeof schema> = {
  rule: 'lock-schema',
  schema: () => schema,
  words: 'lockVersion artifacts images channels gits tools locator platform digest size version commit'.split(' '),
}

const sections = { artifacts: 'artifact', channels: 'channel', gits: 'git', images: 'image', tools: 'tool' } as const

/** An empty lock where there is no such file. @throws InvalidFileError with the places of what is wrong. */
export async function readLock(path: string): Promise<Lock> {
  const text = await readFileIfPresent(path, 64 * MiB)
  return text === undefined ? emptyLock : parseLock(text.toString('utf8'), path)
}

/** @throws InvalidFileError */
export function parseLock(text: string, filename: string): Lock {
  const read = parseLocatedYaml(text, filename, shape)
  return sorted([
    ...read.artifacts.map(entry => ({ kind: 'artifact' as const, ...entry })),
    ...read.images.map(entry => ({ kind: 'image' as const, ...entry })),
    ...read.channels.map(entry => ({ kind: 'channel' as const, ...entry })),
    ...read.gits.map(entry => ({ kind: 'git' as const, ...entry })),
    ...read.tools.map(entry => ({ kind: 'tool' as const, ...entry })),
  ])
}

const header = `# Written by cloudimg: what the Kubefile beside it took from outside, by sha256. Commit it.
# \`cloudimg lock --update NAME\` changes an entry.
`

/** The same entries give the same bytes, in whatever order they were found. */
export function formatLock(lock: Lock): string {
  const lines = Object.entries(sections).flatMap(([section, kind]) => {
    const entries = lock.entries.filter(entry => entry.kind === kind)
    return entries.length === 0 ? [] : [`${section}:`, ...entries.flatMap(formatEntry)]
  })
  return `${header}lockVersion: 1\n${lines.map(line => `${line}\n`).join('')}`
}

// Locators and versions as JSON strings, which YAML reads as they are: a "#" or ":" in one means nothing.
function formatEntry(entry: LockEntry): readonly string[] {
  const head = [`  - locator: ${JSON.stringify(entry.locator)}`, `    platform: ${entry.platform}`]
  if ('version' in entry) return [...head, `    version: ${JSON.stringify(entry.version)}`]
  if (entry.kind === 'git')
    return [...head, `    commit: ${JSON.stringify(entry.commit)}`, `    digest: ${entry.digest}`]
  const size = entry.kind === 'artifact' ? [`    size: ${entry.size}`] : []
  return [...head, `    digest: ${entry.digest}`, ...size]
}

/** Writes the lock whole, and only if it says something else than the file does. True if it was written. */
export async function writeLock(path: string, lock: Lock): Promise<boolean> {
  const text = formatLock(lock)
  const present = await readFileIfPresent(path, 64 * MiB)
  if (present === undefined ? lock.entries.length === 0 : present.toString('utf8') === text) return false
  await writeFileAtomic(path, text)
  return true
}

/** In the lock's order, without doubles: the last one counts. */
export function sorted(entries: readonly LockEntry[]): Lock {
  const byKey = new Map(entries.map(entry => [keyOf(entry), entry]))
  return { entries: [...byKey].sort(([a], [b]) => compareBytes(a, b)).map(([, entry]) => entry) }
}

export function keyOf(entry: Pick<LockEntry, 'kind' | 'locator' | 'platform'>): string {
  return `${entry.kind}\0${entry.locator}\0${entry.platform}`
}

/** What pins the entry: its digest, the version that a channel stood for, or a commit with its content. */
export function pinOf(entry: LockEntry): string {
  if (entry.kind === 'git') return `commit ${entry.commit} (${entry.digest})`
  return 'digest' in entry ? entry.digest : entry.version
}

export interface LockDifference {
  readonly added: readonly LockEntry[]
  readonly removed: readonly LockEntry[]
  readonly changed: readonly { readonly before: LockEntry; readonly after: LockEntry }[]
}

export function lockDifference(before: Lock, after: Lock): LockDifference {
  const old = new Map(before.entries.map(entry => [keyOf(entry), entry]))
  const now = new Map(after.entries.map(entry => [keyOf(entry), entry]))
  return {
    added: after.entries.filter(entry => !old.has(keyOf(entry))),
    removed: before.entries.filter(entry => !now.has(keyOf(entry))),
    changed: after.entries.flatMap(entry => {
      const previous = old.get(keyOf(entry))
      return previous === undefined || sameEntry(previous, entry) ? [] : [{ before: previous, after: entry }]
    }),
  }
}

/** Lines for people: `+` added, `-` removed, `~` changed. */
export function formatLockDifference(difference: LockDifference): readonly string[] {
  const name = (entry: LockEntry): string =>
    `${entry.kind} ${entry.locator}${entry.platform === 'any' ? '' : ` (${entry.platform})`}`
  return [
    ...difference.added.map(entry => `+ ${name(entry)} ${pinOf(entry)}`),
    ...difference.removed.map(entry => `- ${name(entry)} ${pinOf(entry)}`),
    ...difference.changed.map(({ before, after }) => `~ ${name(after)} ${pinOf(before)} -> ${pinOf(after)}`),
  ]
}

export function sameEntry(a: LockEntry, b: LockEntry): boolean {
  return keyOf(a) === keyOf(b) && pinOf(a) === pinOf(b) && sizeOf(a) === sizeOf(b)
}

function sizeOf(entry: LockEntry): number | undefined {
  return entry.kind === 'artifact' ? entry.size : undefined
}
