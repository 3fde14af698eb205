import { lstatSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isCloudimgError } from '../core/error.ts'
import type { ContextFacts, NamedImage } from '../kubefile/lint/rule.ts'
import { parseImageList } from '../workload/image-list.ts'
import { discoverInManifest } from '../workload/discover-images.ts'
import { type BuildContext, cleanSource, type ContextEntry, findSources, walkContext } from './context.ts'

/** What lint rules ask of a build context. Manifests are read only where there is an image list to hold them against. */
export async function readContextFacts(context: BuildContext): Promise<ContextFacts> {
  const files = Array.from(walkContext(context, '')).filter(({ type }) => type === 'file')
  const lists = files.filter(({ path }) => /^(?:manifests\/)?imagelist$/i.test(path))
  const listed = (
    await Promise.all(lists.map(file => readImages(file, (text, path) => parseImageList(text, path).requests)))
  ).flat()
  const manifests =
    lists.length === 0 ? [] : files.filter(({ path }) => path.startsWith('manifests/') && /\.ya?ml$/i.test(path))
  const named = (
    await Promise.all(manifests.map(file => readImages(file, (text, path) => discoverInManifest(text, path).requests)))
  ).flat()
  return {
    find: source => find(context, source),
    isIgnored: source => isThere(context, source) && find(context, source).length === 0,
    named,
    listed: lists.length === 0 ? undefined : new Set(listed.map(({ image }) => image)),
  }
}

// What cannot be read is told by the build, in the tree that it makes.
async function readImages(
  { absolute, path }: ContextEntry,
  parse: (text: string, file: string) => readonly NamedImage[],
): Promise<readonly NamedImage[]> {
  try {
    return parse(await readFile(absolute, 'utf8'), path)
  } catch (error) {
    if (isCloudimgError(error)) return []
    throw error
  }
}

function find(context: BuildContext, source: string): ReturnType<ContextFacts['find']> {
  try {
    return findSources(context, source).map(({ entry: { path, type } }) => ({ path, type }))
  } catch (error) {
    if (isCloudimgError(error)) return []
    throw error
  }
}

function isThere(context: BuildContext, source: string): boolean {
  return lstatSync(join(context.root, cleanSource(source)), { throwIfNoEntry: false }) !== undefined
}
