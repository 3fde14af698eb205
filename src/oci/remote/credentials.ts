import type { Context } from '../../core/context.ts'
import { CloudimgError, reasonOf } from '../../core/error.ts'
import type { Credential, Credentials } from './credential.ts'
import { credentialHelper } from './credential-helper.ts'
import { bestKey, credentialKey } from './credential-key.ts'
import {
  type AuthEntry,
  credentialFiles,
  type DockerConfig,
  dockerConfigPath,
  readDockerConfig,
  writeDockerConfig,
} from './docker-config.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Where a login was kept. */
export interface SavedCredential {
  /** The helper's name or the file's path. */
  readonly where: string
  /** The file holds the secret readable for its owner. */
  readonly plain: boolean
}

let shared: Credentials | undefined

/**
 * What docker and podman know on this machine: `$DOCKER_CONFIG/config.json` with its credential helpers, then
 * `$REGISTRY_AUTH_FILE` and podman's auth.json. One value for the process, so that tokens are shared.
 */
export function systemCredentials(): Credentials {
  shared ??= credentialsFrom(process.env)
  return shared
}

/** Each answer is looked up once for a repository: helpers may ask a person or a slow service. */
export function credentialsFrom(env: Environment): Credentials {
  const known = new Map<string, Promise<Credential | undefined>>()
  return {
    find: (registry, repository, ctx) => {
      const key = `${registry}/${repository}`
      const found = known.get(key) ?? findIn(credentialFiles(env), registry, repository, env, ctx)
      known.set(key, found)
      found.catch(() => known.delete(key))
      return found
    },
  }
}

async function findIn(
  files: readonly string[],
  registry: string,
  repository: string,
  env: Environment,
  ctx: Context,
): Promise<Credential | undefined> {
  for (const file of files) {
    const config = await readDockerConfig(file)
    const found =
      (await askHelper(config, registry, repository, env, ctx)) ?? readAuths(config, file, registry, repository)
    if (found !== undefined) return found
  }
  return undefined
}

// A helper that is configured but broken or not installed is told, not fatal: public images need no login.
async function askHelper(
  config: DockerConfig,
  registry: string,
  repository: string,
  env: Environment,
  ctx: Context,
): Promise<Credential | undefined> {
  const name = helperFor(config, registry, repository)
  if (name === undefined) return undefined
  try {
    return await credentialHelper(name, cleaned(env)).get(credentialKey(registry), ctx)
  } catch (error) {
    ctx.signal.throwIfAborted()
    ctx.events({
      kind: 'warning',
      code: 'credential-helper',
      message: `credentials for "${registry}": ${reasonOf(error)}`,
      hint: `install docker-credential-${name} or remove it from config.json`,
    })
    return undefined
  }
}

function helperFor(config: DockerConfig, registry: string, repository: string): string | undefined {
  const helpers = config.credHelpers ?? {}
  const key = bestKey(Object.keys(helpers), registry, repository)
  const name = key === undefined ? config.credsStore : helpers[key]
  return name === '' ? undefined : name
}

function readAuths(config: DockerConfig, file: string, registry: string, repository: string): Credential | undefined {
  const auths = config.auths ?? {}
  const key = bestKey(Object.keys(auths), registry, repository)
  return key === undefined ? undefined : readEntry(auths[key]!, file, key)
}

function readEntry(entry: AuthEntry, file: string, key: string): Credential | undefined {
  if (given(entry.identitytoken)) return { kind: 'identity-token', token: entry.identitytoken! }
  if (given(entry.registrytoken)) return { kind: 'registry-token', token: entry.registrytoken! }
  if (given(entry.auth)) {
    // Some writers fill the decoded text up with NUL bytes.
    const text = Buffer.from(entry.auth!, 'base64').toString('utf8').replace(/\0+$/, '')
    const colon = text.indexOf(':')
    if (colon < 0)
      throw new CloudimgError('USAGE', `reading credentials for "${key}" from "${file}": not USER:PASSWORD`)
    const [username, password] = [text.slice(0, colon), text.slice(colon + 1)]
    return username === '<token>' ? { kind: 'identity-token', token: password } : { kind: 'basic', username, password }
  }
  if (!given(entry.username)) return undefined
  return { kind: 'basic', username: entry.username!, password: entry.password ?? '' }
}

function given(value: string | undefined): boolean {
  return value !== undefined && value !== ''
}

function cleaned(env: Environment): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((pair): pair is [string, string] => pair[1] !== undefined))
}

/** Keeps a login where docker would: in the helper that is configured for the registry, else in config.json, mode 0600. */
export async function saveCredential(
  registry: string,
  credential: Credential,
  ctx: Context,
  env: Environment = process.env,
): Promise<SavedCredential> {
  const path = dockerConfigPath(env)
  const config = await readDockerConfig(path)
  const key = credentialKey(registry)
  const name = helperFor(config, registry, '')
  if (name !== undefined) await credentialHelper(name, cleaned(env)).store(key, credential, ctx)
  const entry = name === undefined ? toEntry(credential) : {}
  await writeDockerConfig(path, { ...config, auths: { ...withoutRegistry(config.auths, registry), [key]: entry } })
  return name === undefined ? { where: path, plain: true } : { where: `docker-credential-${name}`, plain: false }
}

function toEntry(credential: Credential): AuthEntry {
  switch (credential.kind) {
    case 'basic':
      return { auth: Buffer.from(`${credential.username}:${credential.password}`).toString('base64') }
    case 'identity-token':
      return { identitytoken: credential.token }
    case 'registry-token':
      return { registrytoken: credential.token }
  }
}

// All spellings of the registry itself; entries for single repositories below it stay.
function withoutRegistry(auths: DockerConfig['auths'], registry: string): Record<string, AuthEntry> {
  return Object.fromEntries(Object.entries(auths ?? {}).filter(([key]) => bestKey([key], registry, '') === undefined))
}

/** Forgets a login; false where there was none. */
export async function removeCredential(
  registry: string,
  ctx: Context,
  env: Environment = process.env,
): Promise<boolean> {
  const path = dockerConfigPath(env)
  const config = await readDockerConfig(path)
  const name = helperFor(config, registry, '')
  const erased = name !== undefined && (await credentialHelper(name, cleaned(env)).erase(credentialKey(registry), ctx))
  const auths = withoutRegistry(config.auths, registry)
  const removed = Object.keys(auths).length < Object.keys(config.auths ?? {}).length
  if (removed) await writeDockerConfig(path, { ...config, auths })
  return erased || removed
}
