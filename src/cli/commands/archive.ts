import { createWriteStream } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Context } from '../../core/context.ts'
import { CloudimgError } from '../../core/error.ts'
import { hostPlatform, type Platform, samePlatform } from '../../core/platform.ts'
import { familiarReference, formatReference, parseReference } from '../../core/reference.ts'
import { temporaryBeside, withFileErrors } from '../../io/files.ts'
import { openArchive } from '../../oci/archive/open-archive.ts'
import type { ArchiveOptions, ArchiveRoot } from '../../oci/archive/plan-archive.ts'
import { saveArchive } from '../../oci/archive/save-archive.ts'
import { saveDirectory } from '../../oci/archive/save-directory.ts'
import { copyImage } from '../../oci/copy.ts'
import type { Store } from '../../oci/store/store.ts'
import { bringImage } from '../bring-image.ts'
import type { Session } from '../session.ts'

export interface SaveFlags {
  readonly output?: string
  readonly format: 'hybrid' | 'oci-dir'
  readonly platforms: readonly Platform[] | undefined
  readonly pull?: boolean
}

/** `cloudimg save REF…`: one archive that podman, ctr and docker load, or an OCI layout directory. */
export async function save(session: Session, references: readonly string[], flags: SaveFlags): Promise<void> {
  const { ctx, terminal } = session
  const store = await session.store()
  const roots: ArchiveRoot[] = []
  for (const reference of references) {
    const { ref, descriptor } = await bringImage(session, reference, flags.pull === true)
    roots.push({ name: ref, descriptor, ...(flags.platforms === undefined ? {} : { platforms: flags.platforms }) })
  }
  if (flags.format === 'oci-dir') {
    if (flags.output === undefined)
      throw new CloudimgError('USAGE', 'saving as oci-dir: no directory is named', { hint: 'name one with --output' })
    await saveDirectory(store, roots, flags.output, {}, ctx)
  } else if (flags.output === undefined) {
    if (terminal.stdout.isTTY)
      throw new CloudimgError('USAGE', 'saving to a terminal: an archive is no text', {
        hint: 'name a file with --output, or pipe it',
      })
    await saveArchive(store, roots, terminal.stdout, loaderOptions(flags), ctx)
    return
  } else await saveFile(store, roots, flags.output, loaderOptions(flags), ctx)
  const names = roots.map(root => familiarReference(root.name))
  session.answer({ saved: names, output: flags.output }, `saved ${names.join(', ')} to ${flags.output}`)
}

/** docker sees one platform only: this machine's where it is among those saved. */
function loaderOptions({ platforms }: SaveFlags): ArchiveOptions {
  const own = hostPlatform()
  if (platforms === undefined || platforms.some(platform => samePlatform(platform, own))) return {}
  return { platform: platforms[0]! }
}

/** The file appears under its name when it is whole. */
async function saveFile(
  store: Store,
  roots: readonly ArchiveRoot[],
  output: string,
  options: ArchiveOptions,
  ctx: Context,
): Promise<void> {
  const path = resolve(output)
  const temporary = temporaryBeside(path)
  try {
    await withFileErrors('writing', path, async () => (await open(temporary, 'wx')).close())
    await saveArchive(store, roots, createWriteStream(temporary, { flags: 'r+' }), options, ctx)
    await withFileErrors('writing', path, () => rename(temporary, path))
  } finally {
    await rm(temporary, { force: true })
  }
}

export interface LoadFlags {
  readonly input?: string
}

/** `cloudimg load`: every image of an archive of ours, docker's, podman's or skopeo's, by its own name. */
export async function load(session: Session, flags: LoadFlags): Promise<void> {
  const { ctx, terminal } = session
  const store = await session.store()
  if (flags.input === undefined && terminal.stdin.isTTY) {
    throw new CloudimgError('USAGE', 'loading from a terminal: there is nothing to read', {
      hint: 'name a file with --input, or pipe one in',
    })
  }
  const archive = await openArchive(flags.input ?? terminal.stdin, { temporary: store.layout.temporary }, ctx)
  try {
    const loaded: { readonly name: string; readonly digest: string }[] = []
    for (const image of archive.names()) {
      const name = image.name === undefined ? undefined : formatReference(parseReference(image.name))
      const copied = await copyImage(
        archive,
        image.name ?? image.descriptor.digest,
        store,
        name,
        { title: `loading ${name ?? 'an image without a name'}` },
        ctx,
      )
      loaded.push({ name: name ?? copied.digest, digest: copied.digest })
    }
    if (loaded.length === 0) throw new CloudimgError('IMAGE_NOT_FOUND', 'loading the archive: there is no image in it')
    session.answer({ loaded }, loaded.map(({ name, digest }) => `loaded ${name}@${digest}`).join('\n'))
  } finally {
    await archive.close()
  }
}
