import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { encodeHeader, readTar, tarEnd, tarPadding, type TarEntry } from '../../../src/io/tar.ts'

const entry = (path: string, more: Partial<TarEntry> = {}): TarEntry => ({
  type: 'file',
  path,
  mode: 0o644,
  uid: 0,
  gid: 0,
  size: 0,
  mtime: 0,
  ...more,
})

async function* chunked(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function readAll(bytes: Buffer, chunk = 1000): Promise<(TarEntry & { text: string; contentOffset: number })[]> {
  const out = []
  for await (const { content, ...rest } of readTar(chunked(bytes, chunk), 'test.tar')) {
    let text = ''
    for await (const part of content()) text += part.toString()
    out.push({ ...rest, text })
  }
  return out
}

function archive(...items: [TarEntry, string?][]): Buffer {
  return Buffer.concat([
    ...items.flatMap(([item, content = '']) => {
      const size = Buffer.byteLength(content)
      return [encodeHeader({ ...item, size }), Buffer.from(content), tarPadding(size)]
    }),
    tarEnd,
  ])
}

const directory = mkdtempSync(join(tmpdir(), 'cloudimg-tar-'))
afterAll(() => rmSync(directory, { recursive: true }))

describe('writing', () => {
  it('is listed by GNU tar just as its own --format=ustar archive, and is as long', () => {
    const long = `${'d'.repeat(90)}/${'e'.repeat(60)}/f`
    mkdirSync(join(directory, `${'d'.repeat(90)}/${'e'.repeat(60)}`), { recursive: true })
    writeFileSync(join(directory, 'a'), 'hello')
    writeFileSync(join(directory, long), 'x'.repeat(513))
    symlinkSync('a', join(directory, 'link'))
    mkdirSync(join(directory, 'sub'))
    chmodSync(join(directory, 'sub'), 0o755)
    chmodSync(join(directory, 'a'), 0o4755)
    chmodSync(join(directory, long), 0o644)
    const args = [
      '--format=ustar',
      '--owner=0',
      '--group=0',
      '--numeric-owner',
      '--mtime=@7',
      '--no-recursion',
      '-b1',
      '-cf',
      '-',
    ]
    const expected = execFileSync('tar', [...args, '-C', directory, 'a', long, 'link', 'sub'])
    const ours = archive(
      [entry('a', { mode: 0o4755, mtime: 7 }), 'hello'],
      [entry(long, { mtime: 7 }), 'x'.repeat(513)],
      [entry('link', { type: 'symlink', mode: 0o777, mtime: 7, linkTarget: 'a' })],
      [entry('sub', { type: 'directory', mode: 0o755, mtime: 7 })],
    )
    const list = (input: Buffer): string =>
      execFileSync('tar', ['--numeric-owner', '--full-time', '-tvf', '-'], { input }).toString()
    expect(list(ours)).toBe(list(expected))
    expect(ours).toHaveLength(expected.length)
  })

  it.each([
    ['a path that ustar cannot split', entry('p'.repeat(300))],
    ['a name that is not ASCII', entry('größe/日本')],
    ['a long link', entry('l', { type: 'symlink', linkTarget: 't'.repeat(200) })],
    ['a hard link', entry('h', { type: 'hardlink', linkTarget: 'a' })],
    ['a large owner', entry('o', { uid: 3_000_000, gid: 4_000_000 })],
    ['an attribute with a newline', entry('x', { xattrs: { 'user.a': Buffer.from('1\n2\0') } })],
    ['a device', entry('dev', { type: 'character-device', deviceMajor: 1, deviceMinor: 3 })],
  ])('%s is read back as it was', async (_, item) => {
    const [read] = await readAll(archive([item]))
    expect(read).toMatchObject({ ...item, path: item.path })
  })

  it('is read by GNU tar, PAX names included', () => {
    const listed = execFileSync('tar', ['-tf', '-'], {
      input: archive([entry('p'.repeat(300)), 'abc'], [entry('größe'), 'd']),
    }).toString()
    expect(listed).toContain('p'.repeat(300))
    expect(listed.split('\n')).toHaveLength(3)
  })
})

describe('reading', () => {
  it.each([1, 7, 512, 1 << 20])('gives the same entries in chunks of %i bytes', async chunk => {
    const bytes = archive([entry('a'), 'hello'], [entry('b'), 'y'.repeat(1025)])
    const read = await readAll(bytes, chunk)
    expect(read.map(item => [item.path, item.text.length])).toEqual([
      ['a', 5],
      ['b', 1025],
    ])
    expect(bytes.toString('latin1', read[1]!.contentOffset, read[1]!.contentOffset + 3)).toBe('yyy')
  })

  it('skips content that nobody asked for', async () => {
    const paths = []
    for await (const item of readTar(chunked(archive([entry('a'), 'hello'], [entry('b'), 'x']), 100), 'x'))
      paths.push(item.path)
    expect(paths).toEqual(['a', 'b'])
  })

  it.each([
    ['text', Buffer.alloc(512, 'x'), 'ARCHIVE_INVALID'],
    ['a cut in a header', archive([entry('a'), 'hello']).subarray(0, 300), 'ARCHIVE_INVALID'],
    ['a cut in the content', archive([entry('a'), 'x'.repeat(2000)]).subarray(0, 1200), 'ARCHIVE_INVALID'],
    ['a missing end', archive([entry('a'), 'hello']).subarray(0, 1024), 'ARCHIVE_INVALID'],
  ])('refuses %s', async (_, bytes, code) => {
    await expect(readAll(bytes)).rejects.toMatchObject({ code })
  })

  it.each(['broken', 'left early'])('lets its source go when %s', async how => {
    let closed = false
    const source = async function* (): AsyncGenerator<Buffer> {
      try {
        yield how === 'broken' ? Buffer.alloc(512, 'x') : archive([entry('a'), 'hello'])
        yield Buffer.alloc(512)
      } finally {
        closed = true
      }
    }
    const reading = async (): Promise<void> => {
      for await (const item of readTar(source(), 'x')) if (item.path === 'a') break
    }
    const code = await reading().catch((error: unknown) => (error as { code?: string }).code)
    expect(code).toBe(how === 'broken' ? 'ARCHIVE_INVALID' : undefined)
    expect(closed).toBe(true)
  })

  it('reads long names as GNU tar writes them', async () => {
    const name = 'n'.repeat(180)
    writeFileSync(join(directory, name), 'z')
    const bytes = execFileSync('tar', ['--format=gnu', '-C', directory, '-cf', '-', name])
    expect((await readAll(bytes))[0]).toMatchObject({ path: name, text: 'z' })
  })
})
