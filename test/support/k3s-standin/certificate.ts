import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { isIP } from 'node:net'
import { bits, integer, octets, oid, sequence, set, tagged, truth, utcTime, utf8 } from './der.ts'

/** PEM texts. */
export interface KeyPair {
  readonly certificate: string
  readonly key: string
}

export interface CertificateRequest {
  readonly commonName: string
  readonly organization?: string
  /** `authority` signs others, `server` answers TLS for `names`, `client` proves a user. */
  readonly use: 'authority' | 'server' | 'client'
  /** Host names and addresses. */
  readonly names?: readonly string[]
  /** How long it lasts; ten years for an authority and one for others, unless told (facts/k3s.md §7.6). Negative: it has ended. */
  readonly days?: number
}

const day = 86_400_000
const ecdsaWithSha256 = sequence(oid('1.2.840.10045.4.3.2'))

/** A new P-256 key and its certificate, signed by the issuer or, for an authority without one, by itself. (RFC 5280 §4.1) */
export function issue(request: CertificateRequest, issuer?: KeyPair & { readonly commonName: string }): KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const now = Date.now()
  const days = request.days ?? (request.use === 'authority' ? 3650 : 365)
  const begin = Math.min(now, now + (days - 1) * day)
  const body = sequence(
    tagged(0, 'explicit', integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ecdsaWithSha256,
    name(issuer?.commonName ?? request.commonName),
    sequence(utcTime(new Date(begin)), utcTime(new Date(now + days * day))),
    name(request.commonName, request.organization),
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(3, 'explicit', sequence(...extensions(request))),
  )
  const signature = sign('sha256', body, issuer === undefined ? privateKey : createPrivateKey(issuer.key))
  return {
    certificate: pem('CERTIFICATE', sequence(body, ecdsaWithSha256, bits(signature))),
    key: privateKey.export({ type: 'sec1', format: 'pem' }).toString(),
  }
}

/** True where the private key belongs to the public key of the certificate. */
export function sameKey(a: string, b: string): boolean {
  const spki = (pemText: string): string => createPublicKey(pemText).export({ type: 'spki', format: 'pem' }).toString()
  return spki(a) === spki(b)
}

function name(commonName: string, organization?: string): Buffer {
  const attribute = (type: string, value: string): Buffer => set(sequence(oid(type), utf8(value)))
  return sequence(
    ...(organization === undefined ? [] : [attribute('2.5.4.10', organization)]),
    attribute('2.5.4.3', commonName),
  )
}

function extensions({ use, names = [] }: CertificateRequest): readonly Buffer[] {
  if (use === 'authority') {
    // keyCertSign and digitalSignature, keyEncipherment, as k3s' authorities have.
    return [extension('2.5.29.15', bits(Buffer.from([0xa4]), 2), true), extension('2.5.29.19', sequence(truth()), true)]
  }
  const purpose = use === 'server' ? '1.3.6.1.5.5.7.3.1' : '1.3.6.1.5.5.7.3.2'
  const usage = [
    extension('2.5.29.15', bits(Buffer.from([0xa0]), 5), true),
    extension('2.5.29.37', sequence(oid(purpose))),
  ]
  return names.length === 0 ? usage : [...usage, extension('2.5.29.17', sequence(...names.map(alternativeName)))]
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [truth()] : []), octets(value))
}

function alternativeName(text: string): Buffer {
  if (isIP(text) === 0) return tagged(2, 'implicit', Buffer.from(text))
  return tagged(7, 'implicit', addressBytes(text))
}

function addressBytes(text: string): Buffer {
  if (isIP(text) === 4) return Buffer.from(text.split('.').map(Number))
  const [head = '', tail] = text.split('::')
  const groups = (part: string): string[] => (part === '' ? [] : part.split(':'))
  const right = tail === undefined ? [] : groups(tail)
  const middle = tail === undefined ? 0 : 8 - groups(head).length - right.length
  const all = [...groups(head), ...Array.from({ length: middle }, () => '0'), ...right]
  return Buffer.from(all.map(group => group.padStart(4, '0')).join(''), 'hex')
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
