import { readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  emptyLock,
  formatLock,
  formatLockDifference,
  type Lock,
  type LockEntry,
  lockDifference,
  parseLock,
  readLock,
  sorted,
  writeLock,
} from '../../../src/artifact/lock.ts'
import { isNamed, openLock } from '../../../src/artifact/lock-view.ts'
import type { Digest } from '../../../src/core/digest.ts'
import { InvalidFileError } from '../../../src/core/invalid-file.ts'
import { testContext } from '../../support/test-context.ts'
import { Workbench } from './release-fixture.ts'

const digestA: Digest = `sha256:${'a'.repeat(64)}`
const digestB: Digest = `sha256:${'b'.repeat(64)}`
const binary: LockEntry = {
  kind: 'artifact',
  locator: 'https://github.com/k3s-io/k3s/releases/download/v1.31.4%2Bk3s1/k3s',
  platform: 'linux/amd64',
  digest: digestA,
  size: 42,
}
const channel: LockEntry = {
  kind: 'channel',
  locator: 'https://c.example/stable',
  platform: 'any',
  version: 'v1.31.4+k3s1',
}
const image: LockEntry = { kind: 'image', locator: 'docker.io/library/alpine:3.20', platform: 'any', digest: digestB }
const tool: LockEntry = { kind: 'tool', locator: 'zstd', platform: 'any', version: '1.5.7' }

let bench: Workbench

beforeEach(async () => {
  bench = await Workbench.open()
})
afterEach(async () => {
  await bench.dispose()
})

describe('the file', () => {
  it('says the same in the same bytes, in whatever order it was learned', () => {
    const text = formatLock(sorted([image, tool, binary, channel]))
    expect(text).toBe(formatLock(sorted([channel, binary, image, tool])))
    expect(text).toMatchInlineSnapshot(`
      "# Written by cloudimg: what the Kubefile beside it took from outside, by sha256. Commit it.
      # \`cloudimg lock --update NAME\` changes an entry.
      lockVersion: 1
      artifacts:
        - locator: "https://github.com/k3s-io/k3s/releases/download/v1.31.4%2Bk3s1/k3s"
          platform: linux/amd64
          digest: sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
          size: 42
      channels:
        - locator: "https://c.example/stable"
          platform: any
          version: "v1.31.4+k3s1"
      images:
        - locator: "docker.io/library/alpine:3.20"
          platform: any
          digest: sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
      tools:
        - locator: "zstd"
          platform: any
          version: "1.5.7"
      "
    `)
  })

  it.each([
    ['nothing', []],
    ['one of each', [binary, channel, image, tool]],
    ['odd names', [{ ...binary, locator: 'https://x/#a: "b"\\ü?c=1&d={e}' }]],
  ])('is read as it was written: %s', (_name, entries: readonly LockEntry[]) => {
    expect(parseLock(formatLock(sorted(entries)), 'Kubefile.lock')).toEqual(sorted(entries))
  })

  it('is written once, and only if it says something new', async () => {
    const path = bench.path('Kubefile.lock')
    expect(await writeLock(path, emptyLock)).toBe(false)
    expect(await writeLock(path, sorted([binary]))).toBe(true)
    await utimes(path, 1, 1)
    expect(await writeLock(path, sorted([binary]))).toBe(false)
    expect((await stat(path)).mtimeMs).toBe(1000)
    expect(await writeLock(path, sorted([binary, image]))).toBe(true)
    expect(await readLock(path)).toEqual(sorted([binary, image]))
    expect(await readFile(path, 'utf8')).toBe(formatLock(sorted([binary, image])))
  })

  it('may be absent', async () => {
    expect(await readLock(bench.path('none.lock'))).toEqual(emptyLock)
  })

  it.each([
    ['a later version', 'lockVersion: 2\n', 1, /reads lock version 1 only/],
    [
      'a broken digest',
      'lockVersion: 1\nimages:\n  - locator: a\n    platform: any\n    digest: sha256:12\n',
      5,
      /no sha256 digest/,
    ],
    ['a conflict', 'lockVersion: 1\n<<<<<<< HEAD\nimages: []\n', 2, /./],
    ['an unknown word', 'lockVersion: 1\nartefacts: []\n', 2, /unknown key "artefacts"/],
  ])('with %s is refused at its place', async (_name, text, line, message) => {
    await writeFile(bench.path('bad.lock'), text)
    const error: unknown = await readLock(bench.path('bad.lock')).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(InvalidFileError)
    const [first] = (error as InvalidFileError).diagnostics
    expect(first).toMatchObject({ message: expect.stringMatching(message) as string, span: { start: { line } } })
  })
})

describe('a run', () => {
  it('obeys what is pinned and adds what is new, keeping what it does not use', () => {
    const ctx = testContext()
    const view = openLock(sorted([binary]))
    view.record(image, ctx)
    expect(view.find('artifact', 'https://other', 'any')).toBeUndefined()
    expect(view.result()).toEqual(sorted([binary, image]))
    expect(view.result({ prune: true })).toEqual(sorted([image]))
    expect(ctx.seen).toEqual([{ kind: 'note', message: `pinned docker.io/library/alpine:3.20 ${digestB}` }])
  })

  it('keeps platforms apart', () => {
    const view = openLock(sorted([binary]))
    expect(view.find('artifact', binary.locator, 'linux/amd64')).toEqual(binary)
    expect(view.find('artifact', binary.locator, 'linux/arm64')).toBeUndefined()
  })

  it('says nothing twice', () => {
    const ctx = testContext()
    const view = openLock(emptyLock)
    view.record(binary, ctx)
    view.record(binary, ctx)
    expect(ctx.seen).toHaveLength(1)
  })

  it.each([
    ['digest', { ...binary, digest: digestB }],
    ['size', { ...binary, size: 43 }],
  ])('refuses another %s than the pinned one', (_name, entry) => {
    expect(() => openLock(sorted([binary])).record(entry as LockEntry, testContext())).toThrow(
      expect.objectContaining({ code: 'LOCK_MISMATCH' }),
    )
  })

  it('that is --locked refuses what is missing, wherever it is asked', () => {
    const view = openLock(sorted([binary]), { locked: true })
    expect(view.find('artifact', binary.locator, 'linux/amd64')).toEqual(binary)
    expect(view.peek('image', image.locator, 'any')).toBeUndefined()
    expect(() => view.find('image', image.locator, 'any')).toThrow(
      expect.objectContaining({
        code: 'LOCK_MISMATCH',
        message: 'reading the lock: it has no image "docker.io/library/alpine:3.20"',
      }),
    )
    expect(() => view.record(image, testContext())).toThrow(expect.objectContaining({ code: 'LOCK_MISMATCH' }))
  })

  it('that updates an entry looks again, and keeps it if it was not met', () => {
    const view = openLock(sorted([binary, channel]), { update: entry => entry.kind === 'channel' })
    expect(view.find('channel', channel.locator, 'any')).toBeUndefined()
    expect(view.result()).toEqual(sorted([binary, channel]))
    const now: LockEntry = { ...channel, version: 'v1.32.0+k3s1' }
    view.record(now, testContext())
    expect(view.result()).toEqual(sorted([binary, now]))
  })
})

it.each([
  [binary, 'k3s', true],
  [binary, 'v1.31.4+k3s1', true],
  [binary, binary.locator, true],
  [binary, 'k3', false],
  [channel, 'stable', true],
  [image, 'docker.io/library/alpine:3.20', true],
  [image, 'alpine:3.20', true],
  [image, 'alpine', false],
])('%o is meant by --update %s: %s', (entry, name, expected) => {
  expect(isNamed(entry, name)).toBe(expected)
})

it('shows a difference in lines', () => {
  const before: Lock = sorted([binary, image])
  const after: Lock = sorted([{ ...binary, digest: digestB }, channel])
  expect(formatLockDifference(lockDifference(before, after))).toEqual([
    '+ channel https://c.example/stable v1.31.4+k3s1',
    `- image docker.io/library/alpine:3.20 ${digestB}`,
    `~ artifact ${binary.locator} (linux/amd64) ${digestA} -> ${digestB}`,
  ])
  expect(formatLockDifference(lockDifference(before, before))).toEqual([])
})
