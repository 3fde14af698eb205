import { realpath } from 'node:fs/promises'
import { isAbsolute, relative, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import type { LockView } from '../artifact/lock-view.ts'
import { type Context, withTask } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { formatReference, parseReference } from '../core/reference.ts'
import { withFileErrors } from '../io/files.ts'
import { type Archive, type ArchivedImage, openArchive } from '../oci/archive/open-archive.ts'
import { copyImage } from '../oci/copy.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import { listManifests, readImage } from '../oci/document.ts'
import type { ImageSource } from '../oci/ends.ts'
import type { Store } from '../oci/store/store.ts'
import { describeSource, type LocalSource } from '../workload/image-request.ts'
import type { BroughtImage } from './base-images.ts'
import { saveFromDaemon } from './docker-daemon.ts'

/** Images that lie on this machine, in archives, layouts or a docker daemon; of all platforms that are there. */
export interface LocalImages {
  /** Names in full. @throws IMAGE_NOT_FOUND, ARCHIVE_INVALID, LOCK_MISMATCH, CONTEXT_INVALID for a path outside the context. */
  load(source: LocalSource, ctx: Context): Promise<readonly BroughtImage[]>
  /** All images of an archive file that belongs to the tree itself. */
  loadFile(path: string, name: string, ctx: Context): Promise<readonly BroughtImage[]>
}

export interface LocalImagesOptions {
  readonly store: Store
  readonly lock: LockView
  readonly contextDirectory: string
}

export function openLocalImages(options: LocalImagesOptions): LocalImages {
  return new Images(options)
}

class Images implements LocalImages {
  readonly #options: LocalImagesOptions
  readonly #loaded = new Map<string, Promise<readonly BroughtImage[]>>()

  constructor(options: LocalImagesOptions) {
    this.#options = options
  }

  load(source: LocalSource, ctx: Context): Promise<readonly BroughtImage[]> {
    return this.#once(describeSource(source), () => this.#load(source, ctx))
  }

  loadFile(path: string, name: string, ctx: Context): Promise<readonly BroughtImage[]> {
    return this.#once(path, () =>
      this.#copy(path, name, archive => archive.names().filter(({ name }) => name !== undefined), ctx),
    )
  }

  // Platforms are built side by side: an archive is read once for all of them.
  #once(key: string, work: () => Promise<readonly BroughtImage[]>): Promise<readonly BroughtImage[]> {
    const loaded = this.#loaded.get(key) ?? work()
    this.#loaded.set(key, loaded)
    return loaded
  }

  async #load(source: LocalSource, ctx: Context): Promise<readonly BroughtImage[]> {
    const what = describeSource(source)
    const { lock, contextDirectory } = this.#options
    const input =
      source.transport === 'docker-daemon'
        ? await saveFromDaemon(source.image!, ctx)
        : await pathInContext(contextDirectory, source.path, what)
    const images = await this.#copy(input, what, archive => choose(archive.names(), source, what), ctx)
    for (const { name, root } of images) {
      const locator = [source.transport, ...(source.path === '' ? [] : [source.path]), name].join(':')
      lock.record({ kind: 'image', locator, platform: 'any', digest: root }, ctx)
    }
    return images
  }

  async #copy(
    input: string | Readable,
    what: string,
    select: (archive: Archive) => readonly ArchivedImage[],
    ctx: Context,
  ): Promise<readonly BroughtImage[]> {
    return await withTask(ctx, `reading ${what}`, async () => {
      const archive = await openArchive(input, { temporary: this.#options.store.layout.temporary }, ctx)
      try {
        const found: BroughtImage[] = []
        for (const { name, descriptor } of select(archive))
          found.push(...(await this.#copyOne(archive, name!, descriptor, ctx)))
        return found
      } finally {
        await archive.close()
      }
    })
  }

  /** An archive of one platform may still have the index of all. */
  async #copyOne(archive: Archive, name: string, root: Descriptor, ctx: Context): Promise<readonly BroughtImage[]> {
    const { store } = this.#options
    const images: BroughtImage[] = []
    for (const manifest of await listManifests(archive, root, ctx)) {
      if (!(await archive.has(manifest, ctx))) continue
      await copyImage(single(archive, manifest), manifest.digest, store, undefined, { referrers: false }, ctx)
      images.push({ ...(await readImage(store, manifest, ctx)), name, root: root.digest })
    }
    return images
  }
}

/** The source, where every name stands for one manifest. */
function single(source: ImageSource, manifest: Descriptor): ImageSource {
  return {
    has: (blob, ctx) => source.has(blob, ctx),
    open: (blob, ctx, range) => source.open(blob, ctx, range),
    resolve: async () => manifest,
    referrers: async () => [],
  }
}

/** What the line means of what is there, by the name that the cluster will use. */
function choose(there: readonly ArchivedImage[], source: LocalSource, what: string): readonly ArchivedImage[] {
  const { image: wanted, as } = source
  const full = wanted === undefined ? undefined : formatReference(parseReference(wanted))
  const means = ({ name, tag }: ArchivedImage): boolean => wanted === undefined || name === full || tag === wanted
  // docker's daemon is asked for one image and gives that one, whatever it calls it.
  const chosen = source.transport === 'docker-daemon' ? there.slice(0, 1) : there.filter(means)
  if (chosen.length === 0) {
    const has = there.map(({ name, tag }) => name ?? tag ?? 'an image without a name').join(', ')
    throw new CloudimgError('IMAGE_NOT_FOUND', `looking for "${wanted ?? ''}" in "${what}": it has ${has || 'nothing'}`)
  }
  const naming = as ?? (source.transport === 'docker-daemon' ? full : undefined)
  if (naming !== undefined && chosen.length === 1) return [{ ...chosen[0]!, name: naming }]
  if (as !== undefined || chosen.some(({ name }) => name === undefined)) {
    const why = as === undefined ? 'an image in it has no name' : `"${as}" cannot name ${chosen.length} images`
    throw new CloudimgError('IMAGE_INVALID', `reading "${what}": ${why}`, {
      hint: 'name one image of it and what the cluster shall call it: oci:PATH:TAG@registry.local/app:1.0',
    })
  }
  return chosen
}

async function pathInContext(contextDirectory: string, path: string, what: string): Promise<string> {
  const root = await realpath(contextDirectory)
  const found = await withFileErrors('reading', path, () => realpath(resolve(root, path)))
  const inside = relative(root, found)
  if (inside !== '' && !inside.startsWith('..') && !isAbsolute(inside)) return found
  throw new CloudimgError('CONTEXT_INVALID', `reading "${what}": "${path}" is not in the build context`, {
    hint: `put the archive below "${contextDirectory}" (and into .dockerignore, if COPY shall not take it)`,
  })
}
