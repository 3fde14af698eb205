import { createServer, request as forward, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { closeConnections, readBody, send } from '../../../src/io/http.ts'
import { proxyFor } from '../../../src/io/proxy.ts'
import { startServer } from '../../support/http-server.ts'
import { testContext } from '../../support/test-context.ts'

const both = { HTTP_PROXY: 'http://plain:3128', HTTPS_PROXY: 'http://tls:3128' }

describe('the proxy for a URL', () => {
  it.each([
    ['https://r.example/v2/', both, 'http://tls:3128/'],
    ['http://r.example/v2/', both, 'http://plain:3128/'],
    ['https://r.example/', { HTTP_PROXY: 'http://plain:3128' }, undefined],
    ['https://r.example/', { https_proxy: 'http://lower' }, 'http://lower/'],
    ['https://r.example/', { HTTPS_PROXY: 'http://upper', https_proxy: 'http://lower' }, 'http://upper/'],
    ['https://r.example/', { HTTPS_PROXY: '', https_proxy: 'http://lower' }, 'http://lower/'],
    ['https://r.example/', { HTTPS_PROXY: 'tls:3128' }, 'http://tls:3128/'],
    ['https://127.0.0.1:5000/', both, undefined],
    ['http://localhost:5000/', both, undefined],
    ['http://[::1]:5000/', both, undefined],
  ])('%s with %j is %s', (url, env, expected) => {
    expect(proxyFor(new URL(url), env as Record<string, string>)?.href).toBe(expected)
  })

  it.each([
    ['r.example', '*', true],
    ['r.example', 'r.example', true],
    ['r.example', 'R.Example', true],
    ['sub.r.example', 'r.example', true],
    ['other-r.example', 'r.example', false],
    ['r.example', '.r.example', false],
    ['sub.r.example', '.r.example', true],
    ['sub.r.example', '*.r.example', true],
    ['r.example', '*.r.example', false],
    ['r.example:5000', 'r.example:5000', true],
    ['r.example:5000', 'r.example:5001', false],
    ['r.example', 'r.example:443', true],
    ['10.1.2.3', '10.1.0.0/16', true],
    ['10.2.2.3', '10.1.0.0/16', false],
    ['10.1.2.3', '10.1.2.3', true],
    ['10.1.2.30', '10.1.2.3', false],
    ['10.1.2.3:5000', '10.1.2.3:5000', true],
    ['[fd00::1]', 'fd00::/8', true],
    ['[fd00::1]', 'fd00::1', true],
    ['[fd00::1]:5000', '[fd00::1]:5000', true],
    ['r.example', '10.0.0.0/8', false],
    ['r.example', '10.0.0.0/99, nonsense/8,, r.example ', true],
  ])('%s is left out by NO_PROXY=%s: %s', (host, list, excepted) => {
    expect(proxyFor(new URL(`https://${host}/`), { ...both, NO_PROXY: list }) === undefined).toBe(excepted)
    expect(proxyFor(new URL(`https://${host}/`), { ...both, no_proxy: list }) === undefined).toBe(excepted)
  })
})

describe('a request behind a proxy', () => {
  const servers: Server[] = []
  afterEach(async () => {
    vi.unstubAllEnvs()
    await closeConnections()
    for (const server of servers.splice(0)) server.closeAllConnections()
  })

  /** A proxy to which every host name is `port` on this machine; it keeps what it was asked for. */
  async function startProxy(port: number): Promise<{ readonly url: string; readonly asked: string[] }> {
    const asked: string[] = []
    const proxy = createServer((request, response) => {
      asked.push(`${request.method} ${request.url} ${request.headers['proxy-authorization'] ?? ''}`.trim())
      const { pathname } = new URL(request.url!)
      forward({ port, path: pathname, host: '127.0.0.1' }, answer => answer.pipe(response)).end()
    })
    proxy.on('connect', (request, socket) => {
      asked.push(`CONNECT ${request.url}`)
      const tunnel = connect(port, '127.0.0.1', () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        tunnel.pipe(socket).pipe(tunnel)
      })
      tunnel.on('error', () => socket.destroy())
      socket.on('error', () => tunnel.destroy())
    })
    servers.push(proxy)
    await new Promise<void>(resolve => {
      proxy.listen(0, '127.0.0.1', resolve)
    })
    return { url: `http://user:p%40ss@127.0.0.1:${(proxy.address() as AddressInfo).port}`, asked }
  }

  it('goes through it, with the user and the password that its URL names', async () => {
    const server = await startServer((_request, response) => void response.end('there'))
    const proxy = await startProxy(Number(new URL(server.url).port))
    vi.stubEnv('HTTP_PROXY', proxy.url)
    const response = await send({ method: 'GET', url: new URL('http://registry.example/x') }, testContext())
    expect((await readBody(response)).toString()).toBe('there')
    const basic = `Basic ${Buffer.from('user:p@ss').toString('base64')}`
    expect(proxy.asked).toEqual([`GET http://registry.example/x ${basic}`])
    await server.close()
  })

  it('is a tunnel where it is https', async () => {
    const server = await startServer((_request, response) => void response.end('no TLS here'))
    const proxy = await startProxy(Number(new URL(server.url).port))
    vi.stubEnv('HTTPS_PROXY', proxy.url)
    const sending = send({ method: 'GET', url: new URL('https://registry.example/x') }, testContext())
    await expect(sending).rejects.toMatchObject({ code: 'NETWORK' })
    expect(proxy.asked).toEqual(['CONNECT registry.example:443'])
    await server.close()
  })

  it('does not start where the proxy is no URL, and its password is not shown', async () => {
    vi.stubEnv('HTTP_PROXY', 'http://user:secret@:bad:')
    const sending = send({ method: 'GET', url: new URL('http://registry.example/x') }, testContext())
    await expect(sending).rejects.toMatchObject({ code: 'USAGE', message: expect.not.stringContaining('secret') })
  })
})
