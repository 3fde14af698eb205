import { randomBytes } from 'node:crypto'
import { chmodSync, existsSync, lstatSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Cluster } from './cluster.ts'
import { readIfPresent, writeWhole } from './files.ts'
import { Fatal } from './log.ts'
import type { Options } from './options.ts'
import { serverDir } from './paths.ts'
import { formatToken, parseToken } from './token.ts'

export interface Passwords {
  readonly serverPassword: string
  readonly agentPassword: string
}

const tokenFile = join(serverDir, 'token')
const nodeTokenFile = join(serverDir, 'node-token')
const agentTokenFile = join(serverDir, 'agent-token')

/** The token of the options, of the files, or of a file; undefined where none is named. */
export function tokenOf(options: Options, name: 'token' | 'agent-token'): string | undefined {
  const file = options.one(`${name}-file`)
  const text = options.one(name) ?? (file === undefined ? undefined : readTokenFile(file))
  return text?.trim() === '' ? undefined : text?.trim()
}

/** Configured, else kept from the last start, else random. A changed one does not open the old data: `openBootstrap` tells. */
export function chooseTokens(options: Options, joinedAgentPassword: string | undefined): Passwords {
  const given = passwordIn(tokenOf(options, 'token'))
  const kept = passwordIn(readIfPresent(tokenFile)?.trim())
  const serverPassword = given ?? kept ?? randomBytes(16).toString('hex')
  const agentPassword = passwordIn(tokenOf(options, 'agent-token')) ?? joinedAgentPassword ?? serverPassword
  // Kept before anything is made with it, so that a power cut cannot leave data that no token opens.
  if (kept === undefined) writeWhole(tokenFile, serverPassword, 0o600)
  return { serverPassword, agentPassword }
}

/** token, with node-token and agent-token as links to it unless agents have their own. (facts/k3s.md §7.2) */
export function writeTokenFiles(cluster: Cluster, options: Options): void {
  const ca = cluster.authorities['server-ca'].certificate
  writeWhole(tokenFile, `${formatToken('server', cluster.serverPassword, ca)}\n`, 0o600)
  link(nodeTokenFile)
  if (tokenOf(options, 'agent-token') === undefined && cluster.agentPassword === cluster.serverPassword)
    return link(agentTokenFile)
  if (isLink(agentTokenFile)) rmSync(agentTokenFile)
  writeWhole(agentTokenFile, `${formatToken('node', cluster.agentPassword, ca)}\n`, 0o600)
  chmodSync(agentTokenFile, 0o600)
}

function link(path: string): void {
  if (isLink(path)) return
  rmSync(path, { force: true })
  symlinkSync(tokenFile, path)
}

function isLink(path: string): boolean {
  return existsSync(path) && lstatSync(path).isSymbolicLink()
}

function passwordIn(token: string | undefined): string | undefined {
  return token === undefined ? undefined : passwordOf(token)
}

export function passwordOf(token: string): string {
  return parseToken(token).password
}

function readTokenFile(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    throw new Fatal(`open ${path}: no such file or directory`)
  }
}
