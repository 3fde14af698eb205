import { mkdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Readable } from 'node:stream'
import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import { redactUrl } from '../core/redact.ts'
import { withFileErrors } from '../io/files.ts'
import { limits } from '../io/limits.ts'
import type { Descriptor } from '../oci/descriptor.ts'
import type { ScratchDirectory } from '../oci/store/scratch-directory.ts'
import type { Store } from '../oci/store/store.ts'
import { unpackLayers } from '../oci/unpack.ts'
import type { GitSource } from './git-source.ts'
import type { ContextPlace } from './named-context.ts'
import type { BuildSources } from './sources.ts'
import type { TreeFile } from './tree.ts'
import { readTreeText } from './tree-content.ts'
import { ingestArchive } from './unpack-archive.ts'

/** A context on disk. */
export interface LaidContext {
  readonly directory: string
  /** What came was no archive but a Kubefile; the directory is empty then. */
  readonly kubefile: string | undefined
}

export interface LayingContext {
  readonly store: Store
  readonly sources: () => Promise<Pick<BuildSources, 'fetch' | 'git'>>
  readonly stdin: Readable
  /** Where what has to be unpacked goes to. */
  readonly scratch: () => Promise<ScratchDirectory>
}

/**
 * A context as a directory: itself, or what an archive or a commit has in it, unpacked.
 * @throws USAGE where there is nothing, what fetching and unpacking throw.
 */
export async function layContext(place: ContextPlace, laying: LayingContext, ctx: Context): Promise<LaidContext> {
  switch (place.kind) {
    case 'path': {
      const { path } = place
      const stats = await withFileErrors('opening the context', path, () => stat(path))
      if (stats.isDirectory()) return { directory: path, kubefile: undefined }
      const content = { from: 'context', path, identity: '', racy: true } as const
      const laid = await layFile(fileOf(stats.size, content), path, laying, ctx)
      if (laid.kubefile === undefined) return laid
      throw new CloudimgError('USAGE', `opening the context "${path}": it is neither a directory nor a tar archive`, {
        hint: `to name the Kubefile, write -f ${path}`,
      })
    }
    case 'stdin': {
      const { digest, size } = await laying.store.ingest(laying.stdin, 'application/octet-stream', ctx)
      return await layFile(fileOf(size, { from: 'pool', digest }), 'standard input', laying, ctx)
    }
    case 'url': {
      const { digest, size } = await (await laying.sources()).fetch(place.url, undefined, ctx)
      return await layFile(fileOf(size, { from: 'pool', digest }), redactUrl(place.url), laying, ctx)
    }
    case 'git':
      return await layGit(place.source, laying, ctx)
  }
}

function fileOf(size: number, content: TreeFile['content']): TreeFile {
  return { type: 'file', path: 'context', mode: 0o644, uid: 0, gid: 0, size, content }
}

async function layFile(file: TreeFile, name: string, laying: LayingContext, ctx: Context): Promise<LaidContext> {
  const tar = await ingestArchive(laying.store, file, name, ctx)
  const { path } = await laying.scratch()
  const directory = join(path, 'context')
  if (tar !== undefined) {
    await unpackTars(laying.store, [tar], directory, ctx)
    return { directory, kubefile: undefined }
  }
  if (file.size > limits.kubefileBytes) {
    throw new CloudimgError(
      'USAGE',
      `opening the context from ${name}: it is no tar archive, and too large for a Kubefile`,
      {
        hint: 'pack the context with tar; gzip and zstd are understood',
      },
    )
  }
  await mkdir(directory)
  return { directory, kubefile: await readTreeText(laying.store, file, ctx) }
}

async function layGit(source: GitSource, laying: LayingContext, ctx: Context): Promise<LaidContext> {
  const { tars, tree, commit } = await (await laying.sources()).git(source, ctx)
  const { subdirectory, remote } = source
  if (!tree.isDirectory(subdirectory)) {
    throw new CloudimgError(
      'USAGE',
      `opening the context: commit ${commit} of ${remote} has no directory "${subdirectory}"`,
      {
        hint: 'behind the ":" stands a directory of the repository',
      },
    )
  }
  const { path } = await laying.scratch()
  const directory = join(path, basename(remote, '.git'))
  await unpackTars(laying.store, tars, directory, ctx)
  return { directory: join(directory, subdirectory), kubefile: undefined }
}

/** Whose files they are on disk is nothing to a context. */
async function unpackTars(store: Store, tars: readonly Descriptor[], directory: string, ctx: Context): Promise<void> {
  const quiet: Context = {
    ...ctx,
    events: event => {
      if (event.kind !== 'warning' || event.code !== 'unpack-owners') ctx.events(event)
    },
  }
  await unpackLayers(store, tars, directory, quiet)
}
