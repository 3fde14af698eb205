import { spawn } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { requireProgram } from '../../scripts/lab/debian.ts'
import { must } from './command.ts'

/** Bare repositories below a directory, over smart HTTP on loopback. */
export interface GitServer extends AsyncDisposable {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** Requests so far. */
  readonly count: () => number
}

/** git's own http-backend behind a few lines of CGI (RFC 3875). */
export async function startGitServer(root: string): Promise<GitServer> {
  const backend = await requireProgram({ program: '/usr/lib/git-core/git-http-backend', package: 'git' })
  let count = 0
  const server = createServer((request, response) => {
    count++
    const url = new URL(request.url ?? '/', 'http://localhost')
    const child = spawn(backend, [], {
      env: {
        PATH: process.env.PATH,
        GIT_PROJECT_ROOT: root,
        GIT_HTTP_EXPORT_ALL: '1',
        GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
        REQUEST_METHOD: request.method,
        PATH_INFO: url.pathname,
        QUERY_STRING: url.search.slice(1),
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        CONTENT_LENGTH: request.headers['content-length'] ?? '',
        HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
        REMOTE_ADDR: '127.0.0.1',
      },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    request.pipe(child.stdin)
    child.stdin.on('error', () => undefined)
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.once('close', () => {
      const all = Buffer.concat(chunks)
      const end = all.indexOf('\r\n\r\n')
      const headers = all.subarray(0, end).toString('latin1').split('\r\n')
      for (const line of headers) {
        const [name = '', value = ''] = line.split(/: (.*)/s)
        if (name.toLowerCase() === 'status') response.statusCode = Number.parseInt(value, 10)
        else response.setHeader(name, value)
      }
      response.end(all.subarray(end + 4))
    })
  })
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    count: () => count,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

/** git in a repository of the test's own, with nothing of the developer's settings. */
export function gitIn(directory: string): (...args: readonly string[]) => Promise<string> {
  const env = {
    PATH: process.env.PATH ?? '',
    HOME: join(directory, '..'),
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'Test',
    GIT_AUTHOR_EMAIL: 'test@example.com',
    GIT_AUTHOR_DATE: '1700000000 +0000',
    GIT_COMMITTER_NAME: 'Test',
    GIT_COMMITTER_EMAIL: 'test@example.com',
    GIT_COMMITTER_DATE: '1700000000 +0000',
  }
  return async (...args) =>
    await must(['git', '-c', 'init.defaultBranch=main', '-c', 'protocol.file.allow=always', ...args], {
      cwd: directory,
      env,
    })
}
