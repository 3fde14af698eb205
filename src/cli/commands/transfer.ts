import type { Platform } from '../../core/platform.ts'
import { CloudimgError } from '../../core/error.ts'
import { familiarReference, formatReference, parseReference, type Reference } from '../../core/reference.ts'
import { copyImage } from '../../oci/copy.ts'
import { mountHints } from '../../oci/mount-hints.ts'
import { findImage } from '../image-argument.ts'
import { remoteAccess } from '../remote-access.ts'
import type { Session } from '../session.ts'

export interface TransferOptions {
  readonly platforms: readonly Platform[] | undefined
  readonly insecure: boolean
  readonly concurrency: number | undefined
}

/** `cloudimg push REF [TARGET]`: everything the registry lacks, the tag last. */
export async function push(
  session: Session,
  reference: string,
  target: string | undefined,
  options: TransferOptions,
): Promise<void> {
  const store = await session.store()
  const { ref, descriptor } = await findImage(store, reference, session.ctx)
  const to = target === undefined ? ref : parseReference(target)
  if (to.tag === undefined)
    throw new CloudimgError('USAGE', `pushing to "${formatReference(to)}": a tag is needed`, {
      hint: `write ${to.registry}/${to.repository}:TAG`,
    })
  const repository = (await remoteAccess(session, options.insecure)).repository(to)
  const mountFrom = await mountHints(store, await store.refs(), repository.place, session.ctx)
  const how = { ...copyOptions(options), mountFrom, title: `pushing ${familiarReference(to)}` }
  const pushed = await copyImage(store, formatReference(ref), repository, to.tag, how, session.ctx)
  session.answer(
    { name: formatReference(to), digest: pushed.digest, size: descriptor.size },
    `pushed ${familiarReference(to)}@${pushed.digest}`,
  )
}

/** `cloudimg pull REF`: into the local store, by the same name. */
export async function pull(session: Session, reference: string, options: TransferOptions): Promise<void> {
  const store = await session.store()
  const ref = parseReference(reference)
  const name = ref.digest ?? ref.tag ?? 'latest'
  // A digest alone is kept under a tag made of it, so that the image can be found and removed by name.
  const kept: Reference = ref.tag === undefined ? { ...ref, tag: name.replace(':', '-') } : ref
  const { digest: _digest, ...named } = kept
  const source = (await remoteAccess(session, options.insecure)).source(ref)
  const how = { ...copyOptions(options), title: `pulling ${familiarReference(ref)}` }
  const pulled = await copyImage(source, name, store, formatReference(named), how, session.ctx)
  session.answer(
    { name: formatReference(named), digest: pulled.digest },
    `pulled ${familiarReference(named)}@${pulled.digest}`,
  )
}

function copyOptions(options: TransferOptions): {
  readonly platforms?: readonly Platform[]
  readonly concurrency?: number
} {
  return {
    ...(options.platforms === undefined ? {} : { platforms: options.platforms }),
    ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
  }
}
