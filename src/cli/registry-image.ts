import { CloudimgError } from '../core/error.ts'
import type { Platform } from '../core/platform.ts'
import { familiarReference, formatReference, parseReference, type Reference } from '../core/reference.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { imageFor } from '../oci/document.ts'
import type { ImageSource } from '../oci/ends.ts'
import { findImage } from './image-argument.ts'
import { remoteAccess } from './remote-access.ts'
import type { Session } from './session.ts'

export interface ImageFlags {
  readonly insecure?: boolean
  /** Look into the local store instead of a registry. */
  readonly local?: boolean
}

export interface OpenedImage {
  readonly ref: Reference
  readonly source: ImageSource
  readonly root: Descriptor
}

/** An image where it lies: in the registry that its name says, or with `--local` in the store. @throws IMAGE_NOT_FOUND. */
export async function openImage(session: Session, text: string, flags: ImageFlags): Promise<OpenedImage> {
  if (flags.local === true) {
    const source = await session.store()
    const { ref, descriptor } = await findImage(source, text, session.ctx)
    return { ref, source, root: descriptor }
  }
  const ref = parseReference(text)
  const source = (await remoteAccess(session, flags.insecure)).source(ref)
  const root = await source.resolve(nameIn(ref), session.ctx)
  if (root !== undefined) return { ref, source, root }
  throw new CloudimgError(
    'IMAGE_NOT_FOUND',
    `looking for "${familiarReference(ref)}": ${ref.registry} has no such image`,
    {
      hint: `see what there is: cloudimg tags ${ref.registry}/${ref.repository}`,
    },
  )
}

/** What an image is called in its repository: the digest where there is one, else the tag. */
export function nameIn(ref: Reference): string {
  return ref.digest ?? ref.tag ?? 'latest'
}

/** The manifest for a platform; without one the document that the name stands for, index or manifest. */
export async function documentFor(
  { source, root }: OpenedImage,
  platform: Platform | undefined,
  session: Session,
): Promise<Descriptor> {
  return platform === undefined ? root : (await imageFor(source, root, platform, session.ctx)).descriptor
}

/** `registry/repository`, with no tag. @throws USAGE. */
export function parseRepository(text: string): Reference {
  const ref = parseReference(text, null)
  if (ref.tag === undefined && ref.digest === undefined) return ref
  throw new CloudimgError('USAGE', `reading repository "${text}": it names one image`, {
    hint: `write ${formatReference({ registry: ref.registry, repository: ref.repository })}`,
  })
}
