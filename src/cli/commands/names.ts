import { CloudimgError } from '../../core/error.ts'
import { familiarReference, formatReference, parseReference } from '../../core/reference.ts'
import { findImage } from '../image-argument.ts'
import type { Session } from '../session.ts'

/** `cloudimg tag SOURCE TARGET`: another name for the same image. */
export async function tag(session: Session, source: string, target: string): Promise<void> {
  const store = await session.store()
  const ref = parseReference(target)
  if (ref.digest !== undefined)
    throw new CloudimgError('USAGE', `tagging "${target}": a name with a digest cannot be given`, {
      hint: 'leave out @sha256:…',
    })
  const { descriptor } = await findImage(store, source, session.ctx)
  await store.tag(formatReference(ref), descriptor, session.ctx)
  session.answer({ name: formatReference(ref), digest: descriptor.digest }, '')
}

/** `cloudimg rmi REF…`: removes names; bytes that no name needs any more are left to the garbage collector. */
export async function removeImages(session: Session, references: readonly string[]): Promise<void> {
  const store = await session.store()
  const found = []
  for (const reference of references) found.push(await findImage(store, reference, session.ctx))
  for (const { ref } of found) await store.untag(ref)
  session.answer(
    { untagged: found.map(({ ref }) => formatReference(ref)) },
    found.map(({ ref }) => `untagged: ${familiarReference(ref)}`).join('\n'),
  )
}
