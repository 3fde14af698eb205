import * as z from 'zod'
import type { Digest } from '../core/digest.ts'

/** The files of a snapshot as it is brought to the operator: the state, the token that opens it, and what they are. */
export const snapshotParts = ['datastore', 'token', 'about.json'] as const

const aboutSchema = z.object({
  v: z.literal(1),
  cluster: z.string(),
  datastore: z.enum(['sqlite', 'etcd']),
  version: z.string(),
  /** The node that it was taken on. */
  node: z.string(),
  /** Seconds since 1970, by that node's clock. */
  takenAt: z.number(),
})

export type SnapshotAbout = z.infer<typeof aboutSchema>

/** @throws where it is not what `about.json` looks like. */
export function parseSnapshotAbout(text: string): SnapshotAbout {
  return aboutSchema.parse(JSON.parse(text))
}

/** A snapshot that a cluster shall go on with: its state as bytes, and what they were taken from. */
export interface SnapshotState extends Pick<SnapshotAbout, 'datastore' | 'version'> {
  readonly digest: Digest
  readonly size: number
  /** k3s packs snapshots where it is told to, and goes by the name of the file. */
  readonly isZip: boolean
}
