import { CloudimgError } from '../../core/error.ts'
import { familiarReference, formatReference, parseReference, type Reference } from '../../core/reference.ts'
import { formatInventory, takeInventory } from '../../oci/archive/inventory.ts'
import type { Descriptor } from '../../oci/descriptor.ts'
import { findImage } from '../image-argument.ts'
import { remoteAccess } from '../remote-access.ts'
import type { Session } from '../session.ts'

export interface InventoryFlags {
  readonly remote?: boolean
  readonly insecure?: boolean
}

interface NamedImage {
  readonly name: string
  readonly descriptor: Descriptor
}

/** `cloudimg inventory [REF…]`: what this side has, for `save --have` on the other. */
export async function inventory(session: Session, references: readonly string[], flags: InventoryFlags): Promise<void> {
  if (flags.remote === true && references.length === 0)
    throw new CloudimgError('USAGE', 'taking an inventory of a registry: no repository is named', {
      hint: 'write: cloudimg inventory --remote REGISTRY/REPOSITORY',
    })
  const found = flags.remote === true ? await remote(session, references, flags) : await local(session, references)
  session.answer({ blobs: Object.fromEntries(found) }, () => formatInventory(found))
}

async function local(session: Session, references: readonly string[]) {
  const { ctx } = session
  const store = await session.store()
  const named: NamedImage[] = []
  for (const reference of references) {
    const { ref, descriptor } = await findImage(store, reference, ctx)
    named.push({ name: formatReference(ref), descriptor })
  }
  const all = async (): Promise<readonly NamedImage[]> =>
    (await store.refs()).map(({ name, target }) => ({ name, descriptor: target }))
  return await takeInventory(store, references.length === 0 ? await all() : named, ctx)
}

async function remote(session: Session, references: readonly string[], flags: InventoryFlags) {
  const { ctx } = session
  const access = await remoteAccess(session, flags.insecure === true)
  const merged = new Map<`sha256:${string}`, readonly string[]>()
  for (const reference of references) {
    const ref = parseReference(reference, null)
    const repository = access.repository(ref)
    const names = wantedOf(ref) ?? (await Array.fromAsync(repository.tags(ctx)))
    const images: NamedImage[] = []
    for (const name of names) {
      const descriptor = await repository.resolve(name, ctx)
      if (descriptor !== undefined) images.push({ name: formatReference(named(ref, name)), descriptor })
      else throw unknown(ref, name)
    }
    for (const [digest, of] of await takeInventory(repository, images, ctx))
      merged.set(digest, [...(merged.get(digest) ?? []), ...of])
  }
  return merged
}

function wantedOf({ tag, digest }: Reference): readonly string[] | undefined {
  const name = digest ?? tag
  return name === undefined ? undefined : [name]
}

function named(ref: Reference, name: string): Reference {
  return ref.digest === undefined ? { ...ref, tag: name } : ref
}

function unknown(ref: Reference, name: string): CloudimgError {
  const what = familiarReference(named(ref, name))
  return new CloudimgError('IMAGE_NOT_FOUND', `taking an inventory of "${what}": the registry has no such image`)
}
