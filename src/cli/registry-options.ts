import type { Command } from 'commander'
import { MiB } from '../core/bytes.ts'
import { CloudimgError } from '../core/error.ts'
import type { RegistryChoice } from '../deploy/options.ts'
import { parseRegistry } from '../deploy/registry/choose-registry.ts'
import { readFileIfPresent } from '../io/files.ts'

/** Where nodes ask for images that they lack. */
export interface RegistryFlags {
  readonly registry?: string
  readonly registryUsername?: string
  readonly registryPasswordEnv?: string
  readonly registryCa?: string
  readonly registryPush?: boolean
}

export function addRegistryOptions(command: Command): Command {
  return command
    .option(
      '--registry <mode>',
      'where nodes ask for images that they lack: none, embedded, managed, or a URL; what the cluster has unless told (docs/cluster-registry.md)',
    )
    .option('--registry-username <name>', 'whom nodes log in as at that URL')
    .option('--registry-password-env <variable>', 'the environment variable that holds the password')
    .option('--registry-ca <file>', 'the authority of that URL’s certificate, PEM')
    .option('--registry-push', 'push images of the bundle that the registry of the URL lacks')
}

/** Undefined where nothing was said. @throws USAGE for what does not go together. */
export async function registryChoice(
  flags: RegistryFlags,
  env: Readonly<Record<string, string | undefined>>,
): Promise<RegistryChoice | undefined> {
  const { registry, registryUsername: username, registryPasswordEnv: variable, registryCa } = flags
  const choice = registry === undefined ? undefined : parseRegistry(registry)
  if (choice?.mode !== 'url') {
    if (username === undefined && variable === undefined && registryCa === undefined) return choice
    throw new CloudimgError('USAGE', 'reading the registry: a login or an authority, but no URL', {
      hint: 'say --registry https://HOST[:PORT][/PREFIX] too',
    })
  }
  return {
    ...choice,
    ...(username === undefined && variable === undefined ? {} : { login: loginOf(username, variable, env) }),
    ...(registryCa === undefined ? {} : { authority: await readAuthority(registryCa) }),
  }
}

function loginOf(
  username: string | undefined,
  variable: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): NonNullable<RegistryChoice['login']> {
  const hint = 'say --registry-username NAME --registry-password-env VARIABLE'
  if (username === undefined || variable === undefined)
    throw new CloudimgError('USAGE', 'reading the login of the registry: one half of it is missing', { hint })
  const password = env[variable]
  if (password === undefined || password === '')
    throw new CloudimgError('USAGE', `reading the login of the registry: $${variable} is not set`, {
      hint: `set ${variable} to the password`,
    })
  if (/[\n\r]/.test(password))
    throw new CloudimgError('USAGE', `reading the login of the registry: $${variable} has more than one line`)
  return { username, password }
}

async function readAuthority(path: string): Promise<string> {
  const text = (await readFileIfPresent(path, MiB))?.toString('utf8')
  if (text?.includes('-----BEGIN CERTIFICATE-----') === true) return text
  const why = text === undefined ? 'no such file' : 'it holds no certificate'
  throw new CloudimgError('USAGE', `reading --registry-ca "${path}": ${why}`, {
    hint: 'name a file with the authority as PEM',
  })
}
