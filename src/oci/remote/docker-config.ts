import { realpath } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import * as z from 'zod'
import { MiB } from '../../core/bytes.ts'
import { CloudimgError } from '../../core/error.ts'
import { readFileIfPresent, statIfPresent, withFileErrors, writeFileAtomic } from '../../io/files.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** An entry of `auths` in docker's config.json; podman's auth.json has the same form. */
const authSchema = z.looseObject({
  auth: z.string().optional(),
  username: z.string().optional(),
  password: z.string().optional(),
  identitytoken: z.string().optional(),
  registrytoken: z.string().optional(),
})

const schema = z.looseObject({
  auths: z.record(z.string(), authSchema).optional(),
  credHelpers: z.record(z.string(), z.string()).optional(),
  credsStore: z.string().optional(),
})

export type AuthEntry = z.infer<typeof authSchema>
/** Fields that we do not know are kept. */
export type DockerConfig = z.infer<typeof schema>

/** `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json`: where docker looks, and where `login` writes. */
export function dockerConfigPath(env: Environment): string {
  const folder = given(env.DOCKER_CONFIG) ?? join(given(env.HOME) ?? homedir(), '.docker')
  return join(folder, 'config.json')
}

/** All files that may hold credentials, docker's before podman's. */
export function credentialFiles(env: Environment): readonly string[] {
  const { REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR, XDG_CONFIG_HOME, HOME } = env
  const configHome = given(XDG_CONFIG_HOME) ?? join(given(HOME) ?? homedir(), '.config')
  return [
    dockerConfigPath(env),
    ...(given(REGISTRY_AUTH_FILE) === undefined ? [] : [REGISTRY_AUTH_FILE!]),
    ...(given(XDG_RUNTIME_DIR) === undefined ? [] : [join(XDG_RUNTIME_DIR!, 'containers/auth.json')]),
    join(configHome, 'containers/auth.json'),
  ]
}

function given(value: string | undefined): string | undefined {
  return value === '' ? undefined : value
}

/** Empty where there is no such file. @throws USAGE where it is no such configuration: its content is never shown. */
export async function readDockerConfig(path: string): Promise<DockerConfig> {
  const text = (await readFileIfPresent(path, MiB))?.toString('utf8').replace(/^\uFEFF/, '')
  if (text === undefined || text.trim() === '') return {}
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    throw new CloudimgError('USAGE', `reading credentials from "${path}": not JSON`, {
      hint: `repair or remove ${path}`,
    })
  }
  const parsed = schema.safeParse(json)
  if (parsed.success) return parsed.data
  const where = parsed.error.issues[0]?.path.slice(0, 1).join('') ?? ''
  throw new CloudimgError('USAGE', `reading credentials from "${path}": "${where}" is not what docker writes there`)
}

/** For the owner's eyes only, never half written; a link stays a link. */
export async function writeDockerConfig(path: string, config: DockerConfig): Promise<void> {
  const target =
    (await statIfPresent(path)) === undefined ? path : await withFileErrors('reading', path, () => realpath(path))
  await writeFileAtomic(target, `${JSON.stringify(config, undefined, '\t')}\n`, 0o600)
}
