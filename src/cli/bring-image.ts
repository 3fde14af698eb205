import { familiarReference, formatReference, parseReference, type Reference } from '../core/reference.ts'
import { copyImage } from '../oci/copy.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { findImage } from './image-argument.ts'
import { remoteAccess } from './remote-access.ts'
import type { Session } from './session.ts'

/**
 * A reference given by a person, from the store, or else from the registry that it names; with `pull` the registry
 * comes first. A short name is looked for in the store alone: a misspelt one should not go to docker.io.
 */
export async function bringImage(
  session: Session,
  text: string,
  pull: boolean,
): Promise<{ readonly ref: Reference; readonly descriptor: Descriptor }> {
  const store = await session.store()
  const ref = parseReference(text)
  const isShort = ref.registry === 'docker.io' && !text.startsWith('docker.io/')
  const isHere = (await store.resolve(formatReference(ref), session.ctx)) !== undefined
  if (pull || (!isHere && !isShort && ref.tag !== undefined)) await fetch(session, ref)
  return await findImage(store, text, session.ctx)
}

async function fetch(session: Session, ref: Reference): Promise<void> {
  const source = (await remoteAccess(session)).source(ref)
  const { digest: _digest, ...named } = { ...ref, tag: ref.tag ?? 'latest' }
  const name = ref.digest ?? named.tag
  const options = { title: `pulling ${familiarReference(ref)}` }
  await copyImage(source, name, await session.store(), formatReference(named), options, session.ctx)
}
