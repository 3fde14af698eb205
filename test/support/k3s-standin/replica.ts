import { join } from 'node:path'
import { etcdDir } from './etcd.ts'
import { writeWhole } from './files.ts'
import type { RemoteStore } from './remote-store.ts'

export const replicaFile = join(etcdDir, 'replica.json')

let seen = ''

/**
 * A server that does not lead keeps the data too, so that it can go on alone. It asks for them, and may lack what was written in the
 * last second; etcd's members lack nothing that was acknowledged.
 */
export async function replicate(store: RemoteStore): Promise<void> {
  const objects = (await store.dump()).filter(([key]) => !key.startsWith('registry/coordination.k8s.io/'))
  const text = JSON.stringify(objects)
  if (text === seen) return
  writeWhole(replicaFile, text)
  seen = text
}
