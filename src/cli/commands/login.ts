import { CloudimgError } from '../../core/error.ts'
import { checkLogin } from '../../oci/remote/check-login.ts'
import { removeCredential, saveCredential } from '../../oci/remote/credentials.ts'
import { remoteAccess } from '../remote-access.ts'
import { askSecret, askText, readSecretFromStdin } from '../secret-input.ts'
import type { Session } from '../session.ts'

export interface LoginFlags {
  readonly username?: string
  readonly passwordStdin?: boolean
  readonly insecure?: boolean
}

/** `cloudimg login HOST`: shown to the registry first, then kept where docker would keep it. */
export async function login(session: Session, registry: string, flags: LoginFlags): Promise<void> {
  const { ctx, terminal } = session
  const host = registryHost(registry)
  const username = flags.username ?? (await askText(terminal, `User name for ${host}`, '--username'))
  const password =
    flags.passwordStdin === true
      ? await readSecretFromStdin(terminal, '--password-stdin')
      : await askSecret(terminal, `Password for ${username} at ${host}`, '--password-stdin')
  const credential = { kind: 'basic', username, password } as const
  const access = await remoteAccess(session, flags.insecure)
  await checkLogin(host, credential, { insecure: access.isInsecure(host) }, ctx)
  const saved = await saveCredential(host, credential, ctx)
  if (saved.plain) {
    ctx.events({
      kind: 'warning',
      code: 'plain-credentials',
      message: `the password is kept unencrypted in ${saved.where}`,
      hint: 'configure a credential helper: https://docs.docker.com/go/credential-store/',
    })
  }
  session.answer({ registry: host, username, where: saved.where }, `logged in to ${host} as ${username}`)
}

/** `cloudimg logout HOST`. */
export async function logout(session: Session, registry: string): Promise<void> {
  const host = registryHost(registry)
  const removed = await removeCredential(host, session.ctx)
  session.answer({ registry: host, removed }, removed ? `logged out of ${host}` : `not logged in to ${host}`)
}

function registryHost(text: string): string {
  const host = text.replace(/^https?:\/\//, '').replace(/\/+$/, '')
  if (host === '' || /[/\s@]/.test(host))
    throw new CloudimgError('USAGE', `reading registry "${text}": not a host`, { hint: 'write HOST or HOST:PORT' })
  return host
}
