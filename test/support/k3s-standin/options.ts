import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse } from 'yaml'
import { Fatal, log } from './log.ts'
import { configFile } from './paths.ts'
import { agentKeys, flagKeys, serverKeys, unsupportedKeys } from './known-keys.ts'
import { profile } from './version.ts'

export type Role = 'server' | 'agent'

/** Values by flag name, in the order given; a boolean flag has the value `true`. */
export class Options {
  private readonly values: ReadonlyMap<string, readonly string[]>
  constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.values = values
  }
  one(name: string): string | undefined {
    return this.values.get(name)?.at(-1)
  }
  all(name: string): readonly string[] {
    return (this.values.get(name) ?? []).flatMap(value => value.split(',')).map(value => value.trim())
  }
  has(name: string): boolean {
    const value = this.one(name)
    return value !== undefined && value !== 'false'
  }
}

const variables: Readonly<Record<string, string>> = {
  K3S_TOKEN: 'token',
  K3S_TOKEN_FILE: 'token-file',
  K3S_AGENT_TOKEN: 'agent-token',
  K3S_AGENT_TOKEN_FILE: 'agent-token-file',
  K3S_URL: 'server',
  K3S_NODE_NAME: 'node-name',
  K3S_CLUSTER_INIT: 'cluster-init',
  K3S_KUBECONFIG_MODE: 'write-kubeconfig-mode',
}

/** Environment, then files, then flags: each later one wins. (facts/k3s.md §6.1) */
export function readOptions(role: Role, argv: readonly string[]): Options {
  const values = new Map<string, readonly string[]>()
  for (const [variable, name] of Object.entries(variables)) {
    const value = process.env[variable]
    if (value !== undefined && value !== '') values.set(name, [value])
  }
  const { args, config } = splitConfigFlag(argv)
  for (const [name, list] of readConfigFiles(config ?? process.env['K3S_CONFIG_FILE'] ?? configFile, role))
    values.set(name, list)
  for (const [name, list] of readFlags(args, role)) values.set(name, list)
  for (const name of values.keys()) {
    if (unsupportedKeys.has(name)) throw new Fatal(`k3s stand-in: "${name}": the stand-in does not know what this does`)
  }
  return new Options(values)
}

function splitConfigFlag(argv: readonly string[]): { args: readonly string[]; config: string | undefined } {
  const at = argv.findIndex(arg => arg === '--config' || arg === '-c')
  if (at < 0) return { args: argv, config: undefined }
  return { args: [...argv.slice(0, at), ...argv.slice(at + 2)], config: argv[at + 1] }
}

/** The main file, then its drop-ins in byte order; a key replaces, `key+` appends. */
export function readConfigFiles(main: string, role: Role): ReadonlyMap<string, readonly string[]> {
  const values = new Map<string, readonly string[]>()
  for (const file of [main, ...dropIns(`${main}.d`)]) {
    for (const [key, list] of readConfigFile(file, file === main && main !== configFile)) {
      const append = key.endsWith('+')
      const name = append ? key.slice(0, -1) : key
      if (!isKnown(name, role)) {
        if (role === 'agent' || !profile.serverSkipsUnknownKeys) throw undefinedFlag(name)
        log('warning', `Unknown flag --${name} found in config.yaml, skipping\n`)
        continue
      }
      values.set(name, append ? [...(values.get(name) ?? []), ...list] : list)
    }
  }
  return values
}

function dropIns(directory: string): readonly string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter(entry => !entry.isDirectory() && /\.ya?ml$/.test(entry.name))
      .map(entry => join(directory, entry.name))
      .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  } catch {
    return []
  }
}

function readConfigFile(path: string, mustExist: boolean): readonly (readonly [string, readonly string[]])[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (error) {
    if (!mustExist && (error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw new Fatal(`open ${path}: no such file or directory`)
  }
  // k3s' YAML reader is 1.1: unquoted 0644 is an octal number.
  const content: unknown = parse(text, { version: '1.1' })
  if (content === null || content === undefined) return []
  if (typeof content !== 'object' || Array.isArray(content)) throw new Fatal(`yaml: unmarshal errors in ${path}`)
  return Object.entries(content).map(([key, value]) => [key, (Array.isArray(value) ? value : [value]).map(String)])
}

function readFlags(argv: readonly string[], role: Role): ReadonlyMap<string, readonly string[]> {
  const values = new Map<string, readonly string[]>()
  for (let at = 0; at < argv.length; at++) {
    const match = /^--?([a-z0-9-]+)(?:=(.*))?$/s.exec(argv[at] ?? '')
    const name = shortFlags[match?.[1] ?? ''] ?? match?.[1]
    if (name === undefined) continue
    if (!isKnown(name, role)) throw undefinedFlag(match?.[1] ?? name)
    const value = match?.[2] ?? (flagKeys.has(name) ? 'true' : argv[++at])
    if (value === undefined) throw new Fatal(`flag needs an argument: -${name}`)
    values.set(name, [...(values.get(name) ?? []), value])
  }
  return values
}

const shortFlags: Readonly<Record<string, string>> = { t: 'token', s: 'server', d: 'data-dir', v: 'v' }

function isKnown(name: string, role: Role): boolean {
  return (role === 'server' ? serverKeys : agentKeys).has(name)
}

function undefinedFlag(name: string): Fatal {
  process.stderr.write(`Incorrect Usage: flag provided but not defined: -${name}\n\n`)
  return new Fatal(`flag provided but not defined: -${name}`)
}
