import { X509Certificate } from 'node:crypto'
import type { Certificate } from './runtime.ts'

const dayMs = 86_400_000

/** What a runtime's look prints: `file PATH` and the file's text, again and again. The first certificate of each is its own. */
export function parseCertificates(text: string): readonly Certificate[] {
  return text
    .split(/^file /m)
    .slice(1)
    .flatMap(part => {
      const [path = ''] = part.split('\n', 1)
      const pem = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/.exec(part)?.[0]
      if (pem === undefined) return []
      const { validTo, ca } = new X509Certificate(pem)
      return [{ path, endsAt: new Date(validTo).getTime(), isAuthority: ca }]
    })
}

/** Whole days, rounded down; negative where it has ended. `now` in milliseconds since 1970. */
export function daysLeft(certificate: Certificate, now: number): number {
  return Math.floor((certificate.endsAt - now) / dayMs)
}

/** Those that a node is known by: its authorities sign them, and are no part of this. */
export function leavesOf(certificates: readonly Certificate[]): readonly Certificate[] {
  return certificates.filter(certificate => !certificate.isAuthority)
}
