import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { formatReference, parseReference } from '../core/reference.ts'
import { type ArchivedImage, openArchive } from '../oci/archive/open-archive.ts'
import { copyImage } from '../oci/copy.ts'
import type { Store } from '../oci/store/store.ts'
import { openContext } from './context.ts'
import type { NamedContext, NamedPlace } from './named-context.ts'
import { layContext, type LayingContext } from './open-context.ts'

/** What `--build-context` names, brought here. @throws USAGE, what `layContext` and reading a layout throw. */
export async function openNamedContext(
  name: string,
  place: NamedPlace,
  laying: LayingContext,
  ctx: Context,
): Promise<NamedContext> {
  if (place.kind === 'image') return place
  if (place.kind === 'layout') return { kind: 'image', image: await loadLayout(name, place, laying.store, ctx) }
  const { directory, kubefile } = await layContext(place, laying, ctx)
  if (kubefile !== undefined) {
    throw new CloudimgError('USAGE', `opening the context "${name}": what came is no tar archive`, {
      hint: 'name a directory, a tar archive, a git repository or an image',
    })
  }
  return { kind: 'directory', context: await openContext(directory, undefined) }
}

/** Copies the image into the store, and gives it a name by its digest, for which no registry is asked. */
async function loadLayout(
  context: string,
  { path, name }: Extract<NamedPlace, { kind: 'layout' }>,
  store: Store,
  ctx: Context,
): Promise<string> {
  const archive = await openArchive(path, {}, ctx)
  try {
    const { digest } = chooseImage(archive.names(), path, name).descriptor
    await copyImage(archive, digest, store, undefined, {}, ctx)
    return formatReference({ registry: 'localhost', repository: repositoryOf(context), digest })
  } finally {
    await archive.close()
  }
}

function repositoryOf(context: string): string {
  return parseReference(`localhost/${context.replaceAll(/[^a-z0-9/]+/g, '-').replaceAll(/^-|-$/g, '')}`).repository
}

function chooseImage(images: readonly ArchivedImage[], path: string, name: string | undefined): ArchivedImage {
  const wanted = name ?? (images.length === 1 ? undefined : 'latest')
  const found = images.find(
    image => wanted === undefined || tagOf(image) === wanted || image.descriptor.digest === wanted,
  )
  if (found !== undefined) return found
  const has = images.map(image => tagOf(image) ?? image.descriptor.digest).join(', ')
  const missing = wanted === undefined ? 'no image in it' : `no "${wanted}" in it, found ${has || 'none'}`
  throw new CloudimgError('IMAGE_NOT_FOUND', `looking into the layout "${path}": ${missing}`, {
    hint: `name one: oci-layout://${path}:TAG`,
  })
}

function tagOf({ tag, name }: ArchivedImage): string | undefined {
  return tag ?? (name === undefined ? undefined : parseReference(name).tag)
}
