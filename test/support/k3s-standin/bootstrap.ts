import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from 'node:crypto'
import { Fatal } from './log.ts'
import type { Authorities } from './pki.ts'
import type { KubeObject, Store } from './store.ts'

/** Beside the objects of the API: nobody lists it. */
const key = 'bootstrap//authorities'

/** The authorities as the datastore has them, sealed with the server token: whoever brings both has the cluster. (facts/k3s.md §7.2) */
export async function openBootstrap(store: Store, password: string): Promise<Authorities | undefined> {
  const sealed = ((await store.get(key)) as { readonly sealed?: string } | undefined)?.sealed
  if (sealed === undefined) return undefined
  try {
    return JSON.parse(unseal(sealed, password)) as Authorities
  } catch {
    throw new Fatal(
      'starting kubernetes: preparing server: bootstrap data already found and encrypted with different token',
    )
  }
}

export async function sealBootstrap(store: Store, password: string, authorities: Authorities): Promise<void> {
  const object: KubeObject = { apiVersion: 'v1', kind: 'Bootstrap', metadata: { name: 'authorities' } }
  await store.put(key, { ...object, sealed: seal(JSON.stringify(authorities), password) })
}

function seal(text: string, password: string): string {
  const salt = randomBytes(16)
  const cipher = createCipheriv('aes-256-gcm', keyOf(password, salt), salt)
  return Buffer.concat([salt, cipher.update(text), cipher.final(), cipher.getAuthTag()]).toString('base64')
}

function unseal(sealed: string, password: string): string {
  const bytes = Buffer.from(sealed, 'base64')
  const [salt, body, tag] = [bytes.subarray(0, 16), bytes.subarray(16, -16), bytes.subarray(-16)]
  const decipher = createDecipheriv('aes-256-gcm', keyOf(password, salt), salt)
  decipher.setAuthTag(tag)
  return Buffer.concat([decipher.update(body), decipher.final()]).toString('utf8')
}

function keyOf(password: string, salt: Buffer): Buffer {
  return scryptSync(password, salt, 32, { N: 1024 })
}
