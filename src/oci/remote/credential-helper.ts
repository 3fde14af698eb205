import * as z from 'zod'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { redactSecrets } from '../../core/redact.ts'
import { run } from '../../io/exec.ts'
import type { Credential } from './credential.ts'

/** A program `docker-credential-NAME` that keeps secrets for docker (docker-credential-helpers). */
export interface CredentialHelper {
  readonly name: string
  /** Undefined where the helper knows nothing for that key. */
  get(key: string, ctx: Context): Promise<Credential | undefined>
  store(key: string, credential: Credential, ctx: Context): Promise<void>
  /** False where the helper knew nothing for that key. */
  erase(key: string, ctx: Context): Promise<boolean>
}

const schema = z.object({ Username: z.string(), Secret: z.string() })

/** Docker's word for "the secret is an identity token", in place of a user name. */
const tokenUser = '<token>'

export function credentialHelper(name: string, env: Readonly<Record<string, string>>): CredentialHelper {
  const call = async (
    action: string,
    input: string,
    secrets: readonly string[],
    ctx: Context,
  ): Promise<string | undefined> => {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name))
      throw new CloudimgError('USAGE', `asking the credential helper "${name}": not a name of a program`)
    const result = await run([`docker-credential-${name}`, action], { input, env }, ctx)
    if (result.code === 0) return result.stdout
    const said = `${result.stdout}\n${result.stderr}`.trim()
    if (/credentials not found|no credentials server url|not found in native keychain/i.test(said)) return undefined
    throw new CloudimgError(
      'COMMAND_FAILED',
      `asking docker-credential-${name} to ${action}: ${redactSecrets(said, secrets).slice(0, 500) || `it ended with ${result.code}`}`,
      { data: { exitCode: result.code } },
    )
  }
  return {
    name,
    get: async (key, ctx) => {
      const answer = await call('get', key, [], ctx)
      return answer === undefined ? undefined : readAnswer(answer, name)
    },
    store: async (key, credential, ctx) => {
      const { Username, Secret } = toHelper(credential)
      await call('store', JSON.stringify({ ServerURL: key, Username, Secret }), [Secret], ctx)
    },
    erase: async (key, ctx) => (await call('erase', key, [], ctx)) !== undefined,
  }
}

function readAnswer(text: string, name: string): Credential | undefined {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    json = undefined
  }
  const parsed = schema.safeParse(json)
  if (!parsed.success)
    throw new CloudimgError('COMMAND_FAILED', `asking docker-credential-${name} to get: its answer is not readable`)
  const { Username, Secret } = parsed.data
  if (Secret === '') return undefined
  if (Username === tokenUser) return { kind: 'identity-token', token: Secret }
  return { kind: 'basic', username: Username, password: Secret }
}

function toHelper(credential: Credential): { readonly Username: string; readonly Secret: string } {
  if (credential.kind === 'basic') return { Username: credential.username, Secret: credential.password }
  return { Username: tokenUser, Secret: credential.token }
}
