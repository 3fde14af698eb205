import { createPublicKey, type KeyObject, sign } from 'node:crypto'
import { isIP } from 'node:net'
import { bits, integer, octets, oid, sequence, set, tagged, truth, utcTime, utf8 } from './der.ts'

export interface CertificateRequest {
  readonly commonName: string
  readonly organization?: string
  /** `authority` signs others, `server` answers TLS for `names`, `client` proves who asks. */
  readonly use: 'authority' | 'server' | 'client'
  /** Host names and addresses. */
  readonly names?: readonly string[]
  /** A positive number, big-endian. */
  readonly serial: Buffer
  readonly notBefore: Date
  readonly notAfter: Date
  /** Ed25519 or P-256. */
  readonly key: KeyObject
  /** Itself unless told. */
  readonly issuer?: { readonly commonName: string; readonly key: KeyObject }
}

/** An X.509 certificate as PEM (RFC 5280 §4.1). With Ed25519 the same request gives the same bytes. */
export function makeCertificate(request: CertificateRequest): string {
  const { commonName, organization, key } = request
  const issuer = request.issuer ?? { commonName, key }
  const isEdwards = issuer.key.asymmetricKeyType === 'ed25519'
  const algorithm = sequence(oid(isEdwards ? '1.3.101.112' : '1.2.840.10045.4.3.2'))
  const body = sequence(
    tagged(0, 'explicit', integer(Buffer.from([2]))),
    integer(request.serial),
    algorithm,
    nameOf(issuer.commonName),
    sequence(utcTime(request.notBefore), utcTime(request.notAfter)),
    nameOf(commonName, organization),
    createPublicKey(key).export({ type: 'spki', format: 'der' }),
    tagged(3, 'explicit', sequence(...extensions(request))),
  )
  const signature = sign(isEdwards ? null : 'sha256', body, issuer.key)
  return pem('CERTIFICATE', sequence(body, algorithm, bits(signature)))
}

function nameOf(commonName: string, organization?: string): Buffer {
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
