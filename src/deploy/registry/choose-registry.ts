import { CloudimgError } from '../../core/error.ts'
import type { Registry } from '../../runtime/runtime.ts'
import type { ClusterOptions, RegistryChoice } from '../options.ts'

/** What was asked for, without its secrets; undefined where nothing was said. */
export function chosenRegistry(choice: RegistryChoice | undefined): Registry | undefined {
  if (choice === undefined) return undefined
  const { mode, url, login, authority } = choice
  if (mode !== 'url') return { mode }
  if (url === undefined) throw new CloudimgError('BUG', 'choosing a registry: its URL is missing')
  const hasAuthority = authority !== undefined
  return { mode, url, hasAuthority, ...(login === undefined ? {} : { username: login.username }) }
}

/** Values that the user brought, by hole. */
export function givenSecrets({ datastoreEndpoint, registry }: ClusterOptions = {}): Readonly<Record<string, string>> {
  const { login, authority } = registry ?? {}
  return {
    ...(datastoreEndpoint === undefined ? {} : { 'datastore-endpoint': datastoreEndpoint }),
    // Between quotes, in JSON's escapes, which are YAML's too.
    ...(login === undefined ? {} : { 'registry-password': JSON.stringify(login.password).slice(1, -1) }),
    ...(authority === undefined ? {} : { 'registry-ca': authority }),
  }
}

/**
 * `none`, `embedded`, `managed`, or the URL of a registry: `https://host[:port][/prefix]`, `http://…` where it speaks no TLS.
 * @throws USAGE for anything else, credentials in the URL included.
 */
export function parseRegistry(text: string): Pick<RegistryChoice, 'mode' | 'url'> {
  if (text === 'none' || text === 'embedded' || text === 'managed') return { mode: text }
  const fail = (why: string, hint: string): never => {
    throw new CloudimgError('USAGE', `reading the registry: ${why}`, { hint })
  }
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !['http:', 'https:'].includes(url.protocol))
    return fail(
      `"${text.replace(/\/\/[^/]*@/, '//…@')}" is no registry`,
      'say none, embedded, managed, or https://HOST[:PORT][/PREFIX]',
    )
  if (url.username !== '' || url.password !== '')
    return fail('its URL holds credentials', 'say --registry-username NAME and --registry-password-env VARIABLE')
  if (url.search !== '' || url.hash !== '') return fail(`"${text}" has more than a path`, 'leave out what follows it')
  const prefix = url.pathname.replaceAll(/^\/+|\/+$/g, '')
  if (prefix !== '' && !/^[a-z0-9]+(?:[._/-]+[a-z0-9]+)*$/.test(prefix))
    return fail(
      `"${prefix}" cannot begin the name of a repository`,
      'use lower-case letters, digits, and . _ - / between them',
    )
  return { mode: 'url', url: `${url.protocol}//${url.host}${prefix === '' ? '' : `/${prefix}`}` }
}
