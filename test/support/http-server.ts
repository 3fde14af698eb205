import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { buffer } from 'node:stream/consumers'

/** A request as a scripted server saw it, its body read. */
export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export interface TestServer {
  /** `http://127.0.0.1:PORT` */
  readonly url: string
  /** `127.0.0.1:PORT` */
  readonly host: string
  readonly seen: SeenRequest[]
  close(): Promise<void>
}

/** A loopback server that keeps what it was asked and answers as the test says. */
export async function startServer(
  answer: (request: SeenRequest, response: ServerResponse, server: TestServer) => void | Promise<void>,
): Promise<TestServer> {
  const seen: SeenRequest[] = []
  const { listener, attach } = scripted(seen, answer)
  const server = createServer(listener)
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const started: TestServer = {
    url: `http://${host}`,
    host,
    seen,
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>(resolve => {
        server.close(() => resolve())
      })
    },
  }
  attach(started)
  return started
}

function scripted(
  seen: SeenRequest[],
  answer: (request: SeenRequest, response: ServerResponse, server: TestServer) => void | Promise<void>,
): { readonly listener: RequestListener; readonly attach: (server: TestServer) => void } {
  let started: TestServer | undefined
  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await buffer(incoming)
    const request = { method: incoming.method ?? '', path: incoming.url ?? '', headers: incoming.headers, body }
    seen.push(request)
    if (started !== undefined) await answer(request, response, started)
  }
  return {
    listener: (incoming, response) => {
      handle(incoming, response).catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined))
    },
    attach: server => {
      started = server
    },
  }
}
