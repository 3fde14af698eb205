import { createHash, createPrivateKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto'
import { type CertificateRequest, makeCertificate } from '../certificate.ts'
import type { Cluster, HoleSource, PlannedNode } from '../runtime.ts'
import { registryPaths } from './registry-paths.ts'

/** As long as the authorities of k3s itself (facts/k3s.md §7.6). */
const years = 10

const authorityName = 'cloudimg registry authority'

/**
 * Everything that the registries of a cluster show and ask for follows from one secret, which lies on every server: the day it was
 * made and 32 bytes. So whoever adds a server needs to read that alone (docs/adr/0009-registry-modes.md).
 */
export function makeSeed(now: Date = new Date()): string {
  return `${now.toISOString().slice(0, 10)} ${randomBytes(32).toString('hex')}`
}

export function findSeed(text: string): string | undefined {
  return /^\d{4}-\d\d-\d\d [0-9a-f]{64}(?=\n?$)/.exec(text)?.[0]
}

/** What nodes trust and show, and what each server answers with. */
export function managedHoles(server: PlannedNode, { servers }: Cluster): readonly HoleSource[] {
  const derived = (hole: string, derive: (seed: string) => string): HoleSource => ({
    hole,
    from: 'registry-seed',
    derive,
  })
  return [
    { hole: 'registry-seed', host: server.host, path: registryPaths.seed, find: findSeed, make: makeSeed },
    derived('registry-ca', authority),
    derived('registry-client-certificate', seed => certificate(seed, 'client')),
    derived('registry-client-key', seed => pemOf(keyFor(seed, 'client'))),
    ...servers.flatMap(address => [
      derived(`registry-certificate/${address}`, seed => certificate(seed, 'server', address)),
      derived(`registry-key/${address}`, seed => pemOf(keyFor(seed, `server ${address}`))),
    ]),
  ]
}

export function authority(seed: string): string {
  return makeCertificate({ ...about(seed, authorityName), use: 'authority', key: keyFor(seed, 'authority') })
}

export function certificate(seed: string, use: 'client' | 'server', address?: string): string {
  const commonName = use === 'client' ? 'node' : address!
  return makeCertificate({
    ...about(seed, `${use} ${commonName}`),
    commonName,
    use,
    ...(address === undefined ? {} : { names: [address] }),
    key: keyFor(seed, address === undefined ? use : `${use} ${address}`),
    issuer: { commonName: authorityName, key: keyFor(seed, 'authority') },
  })
}

type About = Pick<CertificateRequest, 'commonName' | 'serial' | 'notBefore' | 'notAfter'>

/** Valid from the day before it was made: the clocks of nodes may be behind. */
function about(seed: string, commonName: string): About {
  const notBefore = new Date(`${seed.slice(0, 10)}T00:00:00Z`)
  notBefore.setUTCDate(notBefore.getUTCDate() - 1)
  const notAfter = new Date(notBefore)
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + years)
  const digest = createHash('sha256').update(`${seed} serial ${commonName}`).digest()
  return { commonName, serial: Buffer.concat([Buffer.from([1]), digest.subarray(0, 15)]), notBefore, notAfter }
}

// RFC 8410: an Ed25519 key is 32 bytes behind this head, whichever bytes they are.
const head = Buffer.from('302e020100300506032b657004220420', 'hex')

function keyFor(seed: string, purpose: string): KeyObject {
  const bytes = hkdfSync('sha256', Buffer.from(seed.slice(11), 'hex'), '', `cloudimg registry ${purpose}`, 32)
  return createPrivateKey({ key: Buffer.concat([head, Buffer.from(bytes)]), format: 'der', type: 'pkcs8' })
}

function pemOf(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' }).toString()
}
