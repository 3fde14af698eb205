import { X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { issue, type CertificateRequest, type KeyPair } from './certificate.ts'
import { writeWhole } from './files.ts'
import { tlsDir } from './paths.ts'
import { profile } from './version.ts'

export type AuthorityName = 'server-ca' | 'client-ca' | 'request-header-ca'
export const authorityNames: readonly AuthorityName[] = ['server-ca', 'client-ca', 'request-header-ca']

/** The three authorities: what a joining server gets from the first one. PEM texts. */
export type Authorities = Readonly<Record<AuthorityName, KeyPair>>

/** Those on disk, or new ones; `given` where this server joins others. */
export function ensureAuthorities(given?: Authorities): Authorities {
  const stamp = Math.floor(Date.now() / 1000)
  const pairs = authorityNames.map(name => {
    const fresh = (): KeyPair => given?.[name] ?? issue({ commonName: `k3s-${name}@${stamp}`, use: 'authority' })
    return [name, ensurePair(name, fresh)] as const
  })
  return Object.fromEntries(pairs) as unknown as Authorities
}

/** A leaf of ours on disk, made anew where its names no longer cover what is asked, or where it ends soon. (facts/k3s.md §7.6) */
export function ensureLeaf(file: string, request: CertificateRequest, authority: KeyPair): KeyPair {
  const present = readPair(file)
  if (present !== undefined && coversNames(present.certificate, request.names ?? []) && lasts(present)) return present
  return savePair(file, issueFrom(authority, request))
}

export function issueFrom(authority: KeyPair, request: CertificateRequest): KeyPair {
  const commonName = /CN=(.*)/.exec(new X509Certificate(authority.certificate).subject)?.[1] ?? ''
  return issue({ ...leafDays(), ...request }, { ...authority, commonName })
}

/** Some other lifetime than a year, by a variable that the real one knows too (rancher/dynamiclistener, from 0.3.4 on). */
function leafDays(): { readonly days?: number } {
  const days = Number(process.env['CATTLE_NEW_SIGNED_CERT_EXPIRATION_DAYS'] ?? '')
  return days > 0 ? { days } : {}
}

function lasts({ certificate }: KeyPair): boolean {
  return new Date(new X509Certificate(certificate).validTo).getTime() > Date.now() + profile.renewalDays * 86_400_000
}

function coversNames(certificate: string, names: readonly string[]): boolean {
  const alternative = new X509Certificate(certificate).subjectAltName ?? ''
  return names.every(name => alternative.split(', ').some(entry => entry.endsWith(`:${name}`)))
}

function ensurePair(file: string, fresh: () => KeyPair): KeyPair {
  return readPair(file) ?? savePair(file, fresh())
}

function readPair(file: string): KeyPair | undefined {
  const [certificate, key] = [join(tlsDir, `${file}.crt`), join(tlsDir, `${file}.key`)]
  if (!existsSync(certificate) || !existsSync(key)) return undefined
  return { certificate: readFileSync(certificate, 'utf8'), key: readFileSync(key, 'utf8') }
}

// The certificate last: it is there only if its key is.
function savePair(file: string, pair: KeyPair): KeyPair {
  writeWhole(join(tlsDir, `${file}.key`), pair.key, 0o600)
  writeWhole(join(tlsDir, `${file}.crt`), pair.certificate, 0o644)
  return pair
}
