import { binary, installer, unknownKeys } from './k3s-conformance/before-start.ts'
import type { Chapter } from './k3s-conformance/bench.ts'
import { certificates } from './k3s-conformance/certificates.ts'
import { images } from './k3s-conformance/images.ts'
import { oneAgent } from './k3s-conformance/one-agent.ts'
import { oneServer } from './k3s-conformance/one-server.ts'
import { registries } from './k3s-conformance/registries.ts'
import { twoServers } from './k3s-conformance/two-servers.ts'

/**
 * What k3s does, as far as the product relies on it: one table for the stand-in and for a real k3s. Chapters and rows build on each
 * other, in this order, on the same hosts.
 */
export const conformance: readonly Chapter[] = [
  binary,
  installer,
  unknownKeys,
  oneServer,
  certificates,
  images,
  registries,
  oneAgent,
  twoServers,
]
