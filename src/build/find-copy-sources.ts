import type { Context } from '../core/context.ts'
import { CloudimgError } from '../core/error.ts'
import type { Store } from '../oci/store/store.ts'
import type { CopySourceItem } from './copy-rules.ts'
import { type CopyMatch, type CopySource, below, treeSource } from './copy-source.ts'
import { gitLocator, type GitSource } from './git-source.ts'
import type { CopyItem, CopyStep } from './plan.ts'
import type { BuildSources } from './sources.ts'
import type { TreeFile } from './tree.ts'
import { unpackArchive } from './unpack-archive.ts'
import { urlFileName } from './url-file-name.ts'

interface Outside {
  readonly store: Store
  readonly sources: Pick<BuildSources, 'fetch' | 'git'>
}

/** A COPY's or ADD's sources with everything at hand: URLs fetched, archives read where they are to be unpacked. */
export async function findCopySources(
  step: CopyStep,
  source: CopySource,
  outside: Outside,
  ctx: Context,
): Promise<readonly CopySourceItem[]> {
  const items: CopySourceItem[] = []
  for (const item of step.sources) items.push(...(await findItem(item, step, source, outside, ctx)))
  return items
}

async function findItem(
  item: CopyItem,
  step: CopyStep,
  source: CopySource,
  outside: Outside,
  ctx: Context,
): Promise<readonly CopySourceItem[]> {
  switch (item.kind) {
    case 'text':
      return [{ kind: 'found', name: item.name, entry: textFile(item.name, item.text) }]
    case 'url': {
      const match = await fetchFile(item, step, outside, ctx)
      return [step.unpack ? await unpacked(match, outside.store, ctx) : { kind: 'found', ...match }]
    }
    case 'git':
      return [await gitContent(item.source, outside, ctx)]
    case 'path': {
      if (!step.unpack || step.parents) return [item]
      const matches = source.find(item.path)
      if (matches.length === 0) return [item]
      return await Promise.all(matches.map(match => unpacked(match, outside.store, ctx)))
    }
  }
}

async function unpacked({ name, entry }: CopyMatch, store: Store, ctx: Context): Promise<CopySourceItem> {
  const tree = entry.type === 'file' ? await unpackArchive(store, entry, name, ctx) : undefined
  if (tree === undefined) return { kind: 'found', name, entry }
  return { kind: 'archive', name, content: treeSource(tree, `archive "${name}"`) }
}

async function gitContent(source: GitSource, { sources }: Outside, ctx: Context): Promise<CopySourceItem> {
  const { tree, commit } = await sources.git(source, ctx)
  const name = gitLocator(source)
  const { subdirectory } = source
  if (!tree.isDirectory(subdirectory)) {
    throw new CloudimgError(
      'CONTEXT_INVALID',
      `adding git "${name}": commit ${commit} has no directory "${subdirectory}"`,
      {
        hint: 'behind the ":" stands a directory of the repository',
      },
    )
  }
  return { kind: 'archive', name, content: below(treeSource(tree, `git "${name}"`), subdirectory) }
}

/** As ADD has them: for their owner alone, root (facts/oci.md §4.4). */
async function fetchFile(
  { url, checksum }: Extract<CopyItem, { kind: 'url' }>,
  { target }: CopyStep,
  { sources }: Outside,
  ctx: Context,
): Promise<CopyMatch> {
  const name = urlFileName(url)
  if (name === '' && /(?:^|\/)\.{0,2}$/.test(target)) {
    throw new CloudimgError('CONTEXT_INVALID', `adding "${url}": its path ends without a file name`, {
      hint: `name the file in the target: ${target}NAME`,
    })
  }
  const { digest, size } = await sources.fetch(url, checksum, ctx)
  const entry: TreeFile = {
    type: 'file',
    path: name,
    mode: 0o600,
    uid: 0,
    gid: 0,
    size,
    content: { from: 'pool', digest },
  }
  return { name, entry }
}

function textFile(path: string, text: string): TreeFile {
  const bytes = Buffer.from(text)
  return { type: 'file', path, mode: 0o644, uid: 0, gid: 0, size: bytes.length, content: { from: 'memory', bytes } }
}
