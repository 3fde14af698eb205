import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { type CertificateRequest as FullRequest, makeCertificate } from '../../../src/runtime/certificate.ts'

/** PEM texts. */
export interface KeyPair {
  readonly certificate: string
  readonly key: string
}

export type CertificateRequest = Pick<FullRequest, 'commonName' | 'organization' | 'use' | 'names'> & {
  /** How long it lasts; ten years for an authority and one for others, unless told (facts/k3s.md §7.6). Negative: it has ended. */
  readonly days?: number
}

const day = 86_400_000

/** A new P-256 key and its certificate, signed by the issuer or, for an authority without one, by itself. */
export function issue(asked: CertificateRequest, issuer?: KeyPair & { readonly commonName: string }): KeyPair {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const now = Date.now()
  const days = asked.days ?? (asked.use === 'authority' ? 3650 : 365)
  const certificate = makeCertificate({
    ...asked,
    serial: Buffer.concat([Buffer.from([1]), randomBytes(8)]),
    notBefore: new Date(Math.min(now, now + (days - 1) * day)),
    notAfter: new Date(now + days * day),
    key: privateKey,
    ...(issuer === undefined ? {} : { issuer: { commonName: issuer.commonName, key: createPrivateKey(issuer.key) } }),
  })
  return { certificate, key: privateKey.export({ type: 'sec1', format: 'pem' }).toString() }
}

/** True where the private key belongs to the public key of the certificate. */
export function sameKey(a: string, b: string): boolean {
  const spki = (pemText: string): string => createPublicKey(pemText).export({ type: 'spki', format: 'pem' }).toString()
  return spki(a) === spki(b)
}
