import type { ServerResponse } from 'node:http'
import { basename, join, normalize } from 'node:path'
import { readFileIfPresent } from '../../src/io/files.ts'
import { startServer, type SeenRequest, type TestServer } from './http-server.ts'

/** What is wrong with one file of the server. */
export type ReleaseFault =
  /** Answers this status. */
  | { readonly status: number }
  /** One bit of the byte at that place is another. */
  | { readonly flip: number }
  /** Only the first bytes are there, and the server believes that these are all. */
  | { readonly only: number }
  /** The connection ends after so many bytes of the answer. */
  | { readonly cut: number }

/** By file name: at every request, or at the first ones, one after another. */
export type ReleaseFaults = Readonly<Record<string, ReleaseFault | readonly ReleaseFault[]>>

export interface ReleaseServer extends TestServer {
  /** Replaces what was set before. */
  setFaults(faults: ReleaseFaults): void
  [Symbol.asyncDispose](): Promise<void>
}

/** A directory by HTTP, with ranges and ETags, and the faults that the test wants. */
export async function startReleaseServer(directory: string): Promise<ReleaseServer> {
  let faults: ReleaseFaults = {}
  const counts = new Map<string, number>()
  const faultOf = (name: string): ReleaseFault | undefined => {
    const count = counts.get(name) ?? 0
    counts.set(name, count + 1)
    const fault = faults[name]
    return isSequence(fault) ? fault[count] : fault
  }
  const server = await startServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.path, 'http://localhost').pathname)
    const content = await readFileIfPresent(join(directory, normalize(`/${path}`)))
    if (content === undefined) response.writeHead(404).end('no such file')
    else answer(request, response, content, faultOf(basename(path)))
  })
  return {
    ...server,
    setFaults: next => {
      faults = next
      counts.clear()
    },
    [Symbol.asyncDispose]: () => server.close(),
  }
}

function answer(request: SeenRequest, response: ServerResponse, whole: Buffer, fault: ReleaseFault | undefined): void {
  if (fault !== undefined && 'status' in fault) {
    // Who retries need not wait.
    response.writeHead(fault.status, { 'retry-after': '0' }).end('out of order')
    return
  }
  const content = damaged(whole, fault)
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
  if (from > 0 && from >= content.length) {
    response.writeHead(416, { 'content-range': `bytes */${content.length}` }).end()
    return
  }
  const range = { 'content-range': `bytes ${from}-${content.length - 1}/${content.length}` }
  const rest = content.subarray(from)
  response.writeHead(from > 0 ? 206 : 200, {
    etag: '"one"',
    'content-length': rest.length,
    ...(from > 0 ? range : {}),
  })
  if (fault === undefined || !('cut' in fault)) response.end(rest)
  else response.write(rest.subarray(0, fault.cut), () => setImmediate(() => response.destroy()))
}

function isSequence(fault: ReleaseFault | readonly ReleaseFault[] | undefined): fault is readonly ReleaseFault[] {
  return Array.isArray(fault)
}

function damaged(content: Buffer, fault: ReleaseFault | undefined): Buffer {
  if (fault === undefined) return content
  if ('only' in fault) return content.subarray(0, fault.only)
  if (!('flip' in fault)) return content
  const copy = Buffer.from(content)
  copy[fault.flip] = (copy[fault.flip] ?? 0) ^ 1
  return copy
}
