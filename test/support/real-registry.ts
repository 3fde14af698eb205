import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { requireProgram } from '../../scripts/lab/debian.ts'
import { attempt } from './command.ts'
import { makeCertificates, type Certificates } from './certificates.ts'
import { freePort, startDaemon } from './daemon.ts'
import { makeScratch } from './scratch.ts'
import { startTokenServer, type Credentials, type TokenServer } from './token-server.ts'

export interface RealRegistryOptions {
  /** `basic`: htpasswd. `token`: a token server of our own, in this process. Nothing is asked unless told. */
  readonly auth?: 'basic' | 'token'
  /** HTTPS by a private authority. */
  readonly tls?: boolean
  /** With `auth: token`: whoever has no login may pull. */
  readonly anonymousPull?: boolean
  /** 127.0.0.1 unless told; a lab's `operatorIp` is where its hosts reach it. */
  readonly address?: string
}

export interface RealRegistry extends AsyncDisposable {
  /** `127.0.0.1:5000`, as in a reference. */
  readonly host: string
  readonly url: string
  /** What it lets in, where it asks. */
  readonly credentials: Credentials
  /** The authority's certificate, with `tls`. */
  readonly caFile: string | undefined
  /** What was asked of the token server, with `auth: token`. */
  readonly tokens: TokenServer | undefined
  /** `docker/registry/v2/…` is below. */
  readonly storage: string
  stop(): Promise<void>
}

/** bcrypt, since the registry takes nothing else; the password has what ends naive parsers. */
const login = {
  user: 'lab',
  password: 'pass:word',
  htpasswd: 'lab:$2b$04$cloudimgTestsSaltxxxxuFSGsd8X.KX1CnLsXykCogNfCjg8POEC\n',
} as const

/** Debian's docker-registry (distribution 2.8) with storage of its own; it serves when this returns. */
export async function startRealRegistry(options: RealRegistryOptions = {}): Promise<RealRegistry> {
  const program = await requireProgram({ program: 'docker-registry', package: 'docker-registry' })
  await using stack = new AsyncDisposableStack()
  const scratch = stack.use(await makeScratch())
  const address = options.address ?? '127.0.0.1'
  const host = `${address}:${await freePort(address)}`
  const certificates = options.tls === true ? await makeCertificates(scratch.path, address) : undefined
  const tokenOptions = { credentials: login, anonymousPull: options.anonymousPull === true }
  const tokens = options.auth === 'token' ? stack.use(await startTokenServer(scratch.path, tokenOptions)) : undefined
  const storage = join(scratch.path, 'storage')
  await mkdir(storage)
  await writeFile(join(scratch.path, 'htpasswd'), login.htpasswd)
  const config = join(scratch.path, 'config.yml')
  await writeFile(config, stringify(registryConfig(scratch.path, host, certificates, options.auth, tokens)))

  const url = `${certificates === undefined ? 'http' : 'https'}://${host}`
  const curl = [
    'curl',
    '-s',
    '-o',
    '/dev/null',
    ...(certificates ? ['--cacert', certificates.caFile] : []),
    `${url}/v2/`,
  ]
  const ready = async (): Promise<true | undefined> => ((await attempt(curl)).code === 0 ? true : undefined)
  stack.use(await startDaemon([program, 'serve', config], { log: join(scratch.path, 'log'), ready }))
  const parts = stack.move()
  const stop = async (): Promise<void> => await parts.disposeAsync()
  return {
    host,
    url,
    credentials: { user: login.user, password: login.password },
    caFile: certificates?.caFile,
    tokens,
    storage,
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

function registryConfig(
  directory: string,
  addr: string,
  certificates: Certificates | undefined,
  auth: RealRegistryOptions['auth'],
  tokens: TokenServer | undefined,
): object {
  const tls = certificates && { tls: { certificate: certificates.certFile, key: certificates.keyFile } }
  const basic = { htpasswd: { realm: 'cloudimg tests', path: join(directory, 'htpasswd') } }
  const token = tokens && {
    token: { realm: tokens.realm, service: tokens.service, issuer: tokens.issuer, rootcertbundle: tokens.certFile },
  }
  return {
    version: '0.1',
    log: { level: 'warn', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: join(directory, 'storage') }, delete: { enabled: true } },
    http: { addr, ...tls },
    ...(auth === undefined ? {} : { auth: auth === 'basic' ? basic : token }),
  }
}
