import { BlockList, isIP } from 'node:net'
import { isLoopback } from './loopback.ts'

type Environment = Readonly<Record<string, string | undefined>>

/**
 * The proxy for a URL, by the rules that docker, podman and kubectl follow (Go's golang.org/x/net/http/httpproxy):
 * HTTPS_PROXY for https, HTTP_PROXY for http, NO_PROXY with names, `.suffixes`, addresses, CIDRs, ports and `*`; upper case
 * before lower case. This machine itself is never behind a proxy. @throws what `URL` throws for a proxy that is no URL.
 */
export function proxyFor(url: URL, env: Environment): URL | undefined {
  const value = first(env, url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY')
  if (value === undefined || isLoopback(url.hostname)) return undefined
  if (isExcepted(url, first(env, 'NO_PROXY') ?? '')) return undefined
  return new URL(/^[a-z][a-z0-9+.-]*:\/\//i.test(value) ? value : `http://${value}`)
}

function first(env: Environment, name: string): string | undefined {
  return [env[name], env[name.toLowerCase()]].find(value => value !== undefined && value !== '')
}

function isExcepted(url: URL, list: string): boolean {
  const host = bare(url.hostname.toLowerCase()).replace(/\.$/, '')
  const port = url.port === '' ? (url.protocol === 'https:' ? '443' : '80') : url.port
  return list
    .split(',')
    .map(entry => entry.trim().toLowerCase())
    .some(entry => entry !== '' && matches(entry, host, port))
}

function matches(entry: string, host: string, port: string): boolean {
  if (entry === '*') return true
  if (entry.includes('/')) return isInNetwork(entry, host)
  const ported = isIP(bare(entry)) === 0 ? /^(.*):(\d+)$/.exec(entry) : null
  if (ported !== null && ported[2] !== port) return false
  const name = bare(ported?.[1] ?? entry)
  if (isIP(name) !== 0) return name === host
  // `.example.com` and `*.example.com` stand for what is below, `example.com` for itself too.
  const suffix = name.replace(/^\*(?=\.)/, '')
  return suffix.startsWith('.') ? host.endsWith(suffix) : host === suffix || host.endsWith(`.${suffix}`)
}

function isInNetwork(entry: string, host: string): boolean {
  const [network = '', prefix = ''] = entry.split('/')
  const family = isIP(network)
  if (family === 0 || isIP(host) !== family || !/^\d{1,3}$/.test(prefix)) return false
  const list = new BlockList()
  const kind = family === 4 ? 'ipv4' : 'ipv6'
  if (Number(prefix) > (family === 4 ? 32 : 128)) return false
  list.addSubnet(network, Number(prefix), kind)
  return list.check(host, kind)
}

function bare(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1')
}
