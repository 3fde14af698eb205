import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Context } from '../../../src/core/context.ts'
import { digestOf } from '../../../src/core/digest.ts'
import type { Host, UploadFile } from '../../../src/host/host.ts'
import { hostOver } from '../../../src/host/posix-host.ts'
import type { Shell } from '../../../src/host/shell.ts'
import { run } from '../../../src/io/exec.ts'
import { encodeHeader, tarEnd, tarPadding } from '../../../src/io/tar.ts'

const ctx: Context = { signal: new AbortController().signal, events: () => undefined }
let directory: string
let ran: string[]
let host: Host

// The machine itself, without becoming root: these scripts need no more than a shell.
function plainShell(): Shell {
  return {
    name: 'here',
    run: (argv, options, ctx) => {
      ran.push(argv[3] ?? argv.join(' '))
      return run(argv, options, ctx)
    },
    close: () => Promise.resolve(),
  }
}

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cloudimg-host-'))
  ran = []
  host = hostOver(plainShell())
})
afterEach(() => rm(directory, { recursive: true, force: true }))

function fileOf(content: Buffer, to: string, mode = 0o600): UploadFile {
  return {
    to,
    mode,
    size: content.length,
    digest: digestOf(content),
    open: offset => Promise.resolve(Readable.from([content.subarray(offset)])),
  }
}

describe('upload', () => {
  it('sends a file with its mode, and leaves an equal one alone', async () => {
    const to = join(directory, 'deep', "it's here")
    const file = fileOf(Buffer.from('content'), to, 0o640)
    expect(await host.upload(file, ctx)).toBe('sent')
    expect(await readFile(to, 'utf8')).toBe('content')
    expect((await stat(to)).mode & 0o7777).toBe(0o640)
    ran.length = 0
    expect(await host.upload(file, ctx)).toBe('unchanged')
    expect(ran).toEqual(['upload-look'])
  })

  it('goes on where a cut transfer stopped, and starts again when that part was damaged', async () => {
    const content = Buffer.alloc(16 * 1024 * 1024 + 5, 'abcdefg')
    const to = join(directory, 'large')
    const file = fileOf(content, to)
    const part = join(directory, `.large.${file.digest.slice(7, 19)}.part`)
    const offsets: number[] = []
    const watched: UploadFile = {
      ...file,
      open: (offset, ctx) => {
        offsets.push(offset)
        return file.open(offset, ctx)
      },
    }
    await writeFile(part, content.subarray(0, 1000))
    expect(await host.upload(watched, ctx)).toBe('sent')
    await writeFile(part, Buffer.alloc(1000, 'x'))
    await rm(to)
    expect(await host.upload(watched, ctx)).toBe('sent')
    expect(offsets).toEqual([1000, 1000, 0])
    expect(digestOf(await readFile(to))).toBe(file.digest)
  })

  it('refuses a source whose bytes are not what they should be, and leaves the target alone', async () => {
    const to = join(directory, 'f')
    await writeFile(to, 'old')
    const lying = {
      ...fileOf(Buffer.from('good'), to),
      open: () => Promise.resolve(Readable.from([Buffer.from('evil')])),
    }
    await expect(host.upload(lying, ctx)).rejects.toMatchObject({ code: 'DIGEST_MISMATCH' })
    expect(await readFile(to, 'utf8')).toBe('old')
  })
})

describe('stat and read', () => {
  it('answers in the order of the paths', async () => {
    await writeFile(join(directory, 'a b'), 'one', { mode: 0o600 })
    const [missing, file, folder] = await host.stat([join(directory, 'no'), join(directory, 'a b'), directory], ctx)
    expect(missing).toBeUndefined()
    expect(file).toEqual({ size: 3, mode: 0o600, digest: digestOf('one') })
    expect(folder?.digest).toBeUndefined()
  })

  it('reads a file, and knows an absent one from an unreadable one', async () => {
    await writeFile(join(directory, 'f'), 'text\n')
    expect(await host.read(join(directory, 'f'), ctx)).toBe('text\n')
    expect(await host.read(join(directory, 'none'), ctx)).toBeUndefined()
    await expect(host.read(directory, ctx)).rejects.toMatchObject({ code: 'COMMAND_FAILED' })
  })
})

describe('exec', () => {
  it('throws what the program said, without the secrets', async () => {
    const argv = ['sh', '-c', 'cat >&2; exit 3', 'leak']
    const failing = host.exec(argv, { input: 'token hunter2', secrets: ['hunter2'] }, ctx)
    await expect(failing).rejects.toMatchObject({ code: 'COMMAND_FAILED', data: { exitCode: 3 } })
    await expect(failing).rejects.toThrow('running "leak" on "here": exit code 3: token [redacted]')
  })
})

describe('unpack', () => {
  it('unpacks a tar stream', async () => {
    const content = Buffer.from('#!/bin/sh\n')
    const header = encodeHeader({
      type: 'file',
      path: 'scripts/x',
      mode: 0o755,
      uid: process.getuid!(),
      gid: process.getgid!(),
      size: content.length,
      mtime: 0,
    })
    await host.unpack(
      join(directory, 'rootfs'),
      Readable.from([header, content, tarPadding(content.length), tarEnd]),
      ctx,
    )
    const stats = await stat(join(directory, 'rootfs/scripts/x'))
    expect(stats.mode & 0o7777).toBe(0o755)
    expect(stats.mtimeMs).toBeGreaterThan(0)
  })
})
