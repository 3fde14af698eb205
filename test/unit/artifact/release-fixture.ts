import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import type { ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { Platform } from '../../../src/core/platform.ts'
import type { FetchEnvironment } from '../../../src/artifact/fetch.ts'
import { emptyLock, type Lock } from '../../../src/artifact/lock.ts'
import { type LockOptions, openLock } from '../../../src/artifact/lock-view.ts'
import { parseMirror } from '../../../src/artifact/mirror.ts'
import { directoryPool } from '../../../src/artifact/pool.ts'
import { compareBytes } from '../../../src/io/files.ts'
import { encodeHeader, tarEnd, tarPadding } from '../../../src/io/tar.ts'
import type { SeenRequest } from '../../support/http-server.ts'
import { testContext } from '../../support/test-context.ts'

export const tag = 'v1.31.4+k3s1'
export const amd64: Platform = { os: 'linux', arch: 'amd64' }
export const arm64: Platform = { os: 'linux', arch: 'arm64' }
export const armv7: Platform = { os: 'linux', arch: 'arm', variant: 'v7' }
export const images = ['docker.io/rancher/mirrored-coredns-coredns:1.12.0', 'docker.io/rancher/mirrored-pause:3.6']

export function sha256(content: Buffer | string): string {
  return createHash('sha256').update(content).digest('hex')
}

/** A tar of small files. */
export function tarOf(files: Readonly<Record<string, string>>): Buffer {
  const parts = Object.entries(files).flatMap(([path, text]) => {
    const content = Buffer.from(text)
    const head = encodeHeader({ type: 'file', path, mode: 0o644, uid: 0, gid: 0, size: content.length, mtime: 0 })
    return [head, content, tarPadding(content.length)]
  })
  return Buffer.concat([...parts, tarEnd])
}

/** docker-archive metadata that names the images. */
export function dockerArchive(names: readonly string[] = images): Buffer {
  return tarOf({
    'manifest.json': JSON.stringify(names.map(name => ({ Config: 'c.json', RepoTags: [name], Layers: [] }))),
  })
}

/** The assets of a small release, named and summed as upstream does it. */
export function makeRelease(arch: 'amd64' | 'arm64' = 'amd64'): Map<string, Buffer> {
  const tar = dockerArchive()
  const binary = arch === 'amd64' ? 'k3s' : `k3s-${arch}`
  const archive = `k3s-airgap-images-${arch}.tar`
  const summed: [string, Buffer][] = [
    [archive, tar],
    [`${archive}.gz`, gzipSync(tar)],
    [`${archive}.zst`, zstdCompressSync(tar)],
    [binary, Buffer.alloc(300_000, `binary for ${arch} `)],
  ]
  return new Map([
    ...summed,
    [`sha256sum-${arch}.txt`, Buffer.from(summed.map(([name, data]) => `${sha256(data)}  ${name}\n`).join(''))],
    ['k3s-images.txt', Buffer.from(`${images.join('\n')}\n`)],
    ['install.sh', Buffer.from('#!/bin/sh\necho installer\n')],
  ])
}

export async function writeRelease(directory: string, release: ReadonlyMap<string, Buffer>): Promise<void> {
  for (const [name, content] of release) {
    await mkdir(dirname(join(directory, name)), { recursive: true })
    await writeFile(join(directory, name), content)
  }
}

/** Answers as a file server does: whole, a range, or 416; If-Range by ETag. */
export function serveFile(request: SeenRequest, response: ServerResponse, content: Buffer | undefined): void {
  if (content === undefined) {
    response.writeHead(404).end('no such file')
    return
  }
  const etag = `"${sha256(content).slice(0, 16)}"`
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? Number.NaN)
  const condition = request.headers['if-range']
  if (Number.isNaN(from) || (condition !== undefined && condition !== etag)) {
    response.writeHead(200, { etag, 'content-length': content.length }).end(content)
  } else if (from >= content.length) {
    response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end()
  } else {
    const range = `bytes ${from}-${content.length - 1}/${content.length}`
    response.writeHead(206, { etag, 'content-length': content.length - from, 'content-range': range })
    response.end(content.subarray(from))
  }
}

/** A context that tells when a download has got so far: what the other side does next depends on no clock. */
export function watchingContext(): ReturnType<typeof testContext> & { reached(bytes: number): Promise<void> } {
  const ctx = testContext()
  const waiting = new Map<number, () => void>()
  let last = 0
  return {
    ...ctx,
    events: event => {
      ctx.events(event)
      if (event.kind !== 'task.progress') return
      last = event.done
      waiting.get(last)?.()
    },
    reached: async bytes => {
      if (last === bytes) return
      await new Promise<void>(resolve => waiting.set(bytes, resolve))
    },
  }
}

/** A home for one test: pool, lock, mirrors; `dispose` removes it. */
export class Workbench {
  readonly directory: string

  private constructor(directory: string) {
    this.directory = directory
  }

  static async open(): Promise<Workbench> {
    return new Workbench(await mkdtemp(join(tmpdir(), 'cloudimg-artifact-')))
  }

  environment(
    options: {
      readonly mirrors?: readonly string[]
      readonly lock?: Lock
      readonly offline?: boolean
    } & LockOptions = {},
  ): FetchEnvironment {
    return {
      pool: directoryPool(this.home),
      lock: openLock(options.lock ?? emptyLock, options),
      mirrors: (options.mirrors ?? []).map(text => parseMirror(text, this.directory)),
      offline: options.offline ?? false,
      retry: { attempts: 3, delayMs: 1, maxDelayMs: 2 },
    }
  }

  get home(): string {
    return join(this.directory, 'home')
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  /** Names of what lies in the pool. */
  async blobs(): Promise<string[]> {
    return this.#list('blobs/sha256')
  }

  async downloads(): Promise<string[]> {
    return this.#list('downloads')
  }

  async #list(folder: string): Promise<string[]> {
    return (await readdir(join(this.home, folder)).catch(() => [])).sort(compareBytes)
  }

  async dispose(): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
  }
}
