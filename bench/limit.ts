/**
 * The least that a build and a push must do, measured in the same run: every byte read and hashed once, on all cores, and
 * every byte sent to the same registry by curl.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { Worker, isMainThread, workerData } from 'node:worker_threads'

export interface Limit {
  readonly hashSeconds: number
  readonly putSeconds: number
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name))
}

function hashFiles(files: readonly string[]): void {
  const buffer = Buffer.allocUnsafe(1 << 20)
  for (const file of files) {
    const input = openSync(file, 'r')
    const hash = createHash('sha256')
    for (let bytes = 0; (bytes = readSync(input, buffer)) > 0;) hash.update(buffer.subarray(0, bytes))
    hash.digest()
    closeSync(input)
  }
}

/** Largest first, always to the core with the least to do. */
function share(files: readonly string[], parts: number): string[][] {
  const shares = Array.from({ length: parts }, () => ({ bytes: 0, files: [] as string[] }))
  const sized = files.map(file => ({ file, bytes: statSync(file).size })).sort((a, b) => b.bytes - a.bytes)
  for (const { file, bytes } of sized) {
    const least = shares.reduce((a, b) => (b.bytes < a.bytes ? b : a))
    least.bytes += bytes
    least.files.push(file)
  }
  return shares.map(({ files }) => files)
}

export async function hashOnAllCores(context: string): Promise<number> {
  const shares = share(filesBelow(context), availableParallelism())
  const started = process.hrtime.bigint()
  await Promise.all(
    shares.map(
      files =>
        new Promise<void>((resolve, reject) => {
          const worker = new Worker(new URL(import.meta.url), { workerData: { hash: files } })
          worker.once('error', reject)
          worker.once('exit', () => resolve())
        }),
    ),
  )
  return Number(process.hrtime.bigint() - started) / 1e9
}

/** One PUT of every large file, one after the other, as the registry's specification has it. */
export function putWithCurl(context: string, repository: string): number {
  const slash = repository.indexOf('/')
  const base = `http://${repository.slice(0, slash)}/v2/${repository.slice(slash + 1)}/blobs/uploads/`
  const files = filesBelow(context).filter(file => statSync(file).size > 1 << 20)
  let seconds = 0
  for (const file of files) {
    const digest = `sha256:${createHash('sha256').update(readWhole(file)).digest('hex')}`
    const started = process.hrtime.bigint()
    const head = curl(['-X', 'POST', '-D', '-', '-o', '/dev/null', base])
    const location = /^location: (.*?)\r?$/im.exec(head)?.[1]
    if (location === undefined) throw new Error(`starting an upload at ${base}: no Location: ${head}`)
    const url = `${location}${location.includes('?') ? '&' : '?'}digest=${encodeURIComponent(digest)}`
    curl(['-f', '-T', file, '-H', 'Content-Type: application/octet-stream', '-H', 'Expect:', url])
    seconds += Number(process.hrtime.bigint() - started) / 1e9
  }
  return seconds
}

function readWhole(file: string): Buffer {
  const buffer = Buffer.allocUnsafe(statSync(file).size)
  const input = openSync(file, 'r')
  for (let at = 0; at < buffer.length;) at += readSync(input, buffer, at, buffer.length - at, at)
  closeSync(input)
  return buffer
}

function curl(args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync('curl', ['-sS', ...args], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`running curl ${args.join(' ')}: ${stderr}`)
  return stdout
}

if (!isMainThread && Array.isArray((workerData as { hash?: unknown } | null)?.hash))
  hashFiles((workerData as { hash: string[] }).hash)
