import { parseCertificates } from '../../src/runtime/certificates.ts'
import { renewalOf } from '../../src/runtime/k3s/renew.ts'
import { issue } from './k3s-standin/certificate.ts'
import type { SimHost } from './sim-host.ts'

/** As every node has one; it stands for all of them. */
export const certificatePath = '/var/lib/rancher/k3s/agent/client-kubelet.crt'

const made = new Map<number, string>()

/** One for each lifetime: worlds in which the same was brought about are equal. */
function certificateOf(days: number): string {
  const known = made.get(days) ?? issue({ commonName: 'system:node', use: 'client', days }).certificate
  made.set(days, known)
  return known
}

/** Gives a host a certificate with so many days left, a little more than whole ones. */
export function setCertificateDays(host: SimHost, days: number): void {
  host.write(certificatePath, certificateOf(days + 0.5))
}

export function certificateTexts(host: SimHost): string {
  const text = host.text(certificatePath)
  return `${text === undefined ? '' : `file ${certificatePath}\n${text}`}${host.certificates}`
}

export function hasExpired(host: SimHost): boolean {
  return remaining(host).some(days => days <= 0)
}

/** k3s starts: agents get new certificates, servers renew what is missing or ends within the window. (facts/k3s.md §7.6) */
export function renewAtStart(host: SimHost): void {
  const { windowDays } = renewalOf(host.version)
  const due = remaining(host).every(days => days < windowDays)
  if (due || host.units.has('k3s-agent')) setCertificateDays(host, 365)
}

function remaining(host: SimHost): readonly number[] {
  const text = host.text(certificatePath)
  return parseCertificates(text === undefined ? '' : `file x\n${text}`).map(
    ({ endsAt }) => (endsAt - Date.now()) / 86_400_000,
  )
}

/** The names in a list of k3s' own images, or in one of collected ones, as far as they are on the host. */
export function namesIn(host: SimHost, path: string): readonly string[] {
  const lines = (host.text(path) ?? '').split('\n').map(line => line.trim())
  return lines.filter(line => line !== '').map(line => line.split(' ')[3] ?? line)
}
