import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import { formatPlatform } from '../core/platform.ts'
import { parseReference } from '../core/reference.ts'
import { compareBytes } from '../io/files.ts'
import type { PlatformImage } from '../oci/document.ts'
import type { BlobReader } from '../oci/ends.ts'
import type { ContainerConfig } from '../oci/image.ts'
import type { TreeNode } from '../oci/merged-tree.ts'
import { layoutDirectory } from '../workload/image-layout.ts'
import { ImageTree } from './image-tree.ts'

/** A container image in a bundle; those of the runtime's own archive are known by name alone. */
export interface NamedImage {
  readonly name: string
  readonly digest?: Digest
}

export interface Change<T> {
  readonly key: string
  readonly before?: T
  readonly after?: T
}

export interface SizedFile {
  readonly path: string
  readonly size: number
}

export interface ImageDifference {
  readonly platform: string
  readonly same: boolean
  /** `runtime`, `version`, and what the runtime brings: `coredns` … */
  readonly versions: readonly Change<string>[]
  readonly images: {
    readonly added: readonly NamedImage[]
    readonly removed: readonly NamedImage[]
    /** Another digest under the name, or another tag of the one repository. */
    readonly moved: readonly { readonly before: NamedImage; readonly after: NamedImage }[]
  }
  /** Of the rootfs, without the container images below images/oci. */
  readonly files: {
    readonly added: readonly SizedFile[]
    readonly removed: readonly SizedFile[]
    readonly changed: readonly { readonly path: string; readonly before: number; readonly after: number }[]
  }
  /** `Env.PATH`, `Labels.maintainer`, `Cmd` … */
  readonly config: readonly Change<string>[]
  /** What a registry that has the first one is sent for the second. */
  readonly push: { readonly blobs: number; readonly bytes: number; readonly of: number }
  /** What a node that runs the first one is sent for the second. */
  readonly upgrade: { readonly files: number; readonly bytes: number }
}

/** What is different in `b`, for one platform. */
export async function diffImages(
  source: BlobReader,
  a: PlatformImage,
  b: PlatformImage,
  ctx: Context,
): Promise<ImageDifference> {
  const [before, after] = [await ImageTree.open(source, a, ctx), await ImageTree.open(source, b, ctx)]
  const entries = await diffEntries(before, after, ctx)
  const found = {
    versions: diffRecords(versionsOf(before), versionsOf(after)),
    images: diffNames(namedImages(before), namedImages(after)),
    files: withoutLayout(entries),
    config: diffRecords(flatConfig(a.config.config), flatConfig(b.config.config)),
  }
  const { added, removed, moved } = found.images
  const { files } = found
  const lists = [found.versions, added, removed, moved, files.added, files.removed, files.changed, found.config]
  return {
    platform: formatPlatform(b.platform),
    same: lists.every(({ length }) => length === 0),
    ...found,
    push: pushOf(a, b),
    upgrade: {
      files: entries.added.length + entries.changed.length,
      bytes: sum(entries.added.map(({ size }) => size)) + sum(entries.changed.map(change => change.after)),
    },
  }
}

async function diffEntries(a: ImageTree, b: ImageTree, ctx: Context): Promise<ImageDifference['files']> {
  const added: SizedFile[] = []
  const changed: { path: string; before: number; after: number }[] = []
  for (const [path, node] of b.nodes) {
    ctx.signal.throwIfAborted()
    const old = a.nodes.get(path)
    if (old === undefined) {
      if (node.type !== 'directory') added.push({ path, size: sizeOf(node) })
    } else if (!(await isSame(a, old, b, node, ctx))) changed.push({ path, before: sizeOf(old), after: sizeOf(node) })
  }
  const removed = [...a.nodes].flatMap(([path, node]) =>
    b.nodes.has(path) || node.type === 'directory' ? [] : [{ path, size: sizeOf(node) }],
  )
  return { added, removed, changed }
}

async function isSame(a: ImageTree, old: TreeNode, b: ImageTree, node: TreeNode, ctx: Context): Promise<boolean> {
  if (old.type !== node.type || old.mode !== node.mode || old.uid !== node.uid || old.gid !== node.gid) return false
  if (old.type === 'directory' || node.type === 'directory') return true
  if (old.linkTarget !== node.linkTarget || old.size !== node.size) return false
  if (node.type !== 'file' || a.placeOf(old) === b.placeOf(node)) return true
  return (await a.digestOf(old, ctx)) === (await b.digestOf(node, ctx))
}

function sizeOf(node: TreeNode): number {
  return node.type === 'directory' ? 0 : node.size
}

function withoutLayout({ added, removed, changed }: ImageDifference['files']): ImageDifference['files'] {
  const isOther = ({ path }: { readonly path: string }): boolean => !path.startsWith(`${layoutDirectory}/`)
  return { added: added.filter(isOther), removed: removed.filter(isOther), changed: changed.filter(isOther) }
}

function versionsOf({ metadata }: ImageTree): ReadonlyMap<string, string> {
  if (metadata === undefined) return new Map()
  const { runtime, version, components } = metadata
  return new Map([
    ['runtime', runtime],
    ...(version === undefined ? [] : [['version', version] as const]),
    ...Object.entries(components),
  ])
}

function namedImages({ metadata }: ImageTree): readonly NamedImage[] {
  const own = (metadata?.images ?? []).map(name => ({ name }))
  return [...own, ...(metadata?.collected ?? []).map(({ name, digest }) => ({ name, digest }))]
}

export function diffNames(before: readonly NamedImage[], after: readonly NamedImage[]): ImageDifference['images'] {
  const [old, fresh] = [byName(before), byName(after)]
  const moved = [...fresh.values()].flatMap(image => {
    const was = old.get(image.name)
    return was === undefined || was.digest === image.digest ? [] : [{ before: was, after: image }]
  })
  const added = [...fresh.values()].filter(({ name }) => !old.has(name))
  const removed = [...old.values()].filter(({ name }) => !fresh.has(name))
  for (const image of added) {
    const repository = repositoryOf(image)
    const others = removed.filter(other => repositoryOf(other) === repository)
    const same = added.filter(other => repositoryOf(other) === repository)
    if (others.length === 1 && same.length === 1) moved.push({ before: others[0]!, after: image })
  }
  const isMoved = (image: NamedImage): boolean => moved.some(pair => pair.before === image || pair.after === image)
  return {
    added: sorted(added.filter(image => !isMoved(image))),
    removed: sorted(removed.filter(image => !isMoved(image))),
    moved: moved.sort((x, y) => compareBytes(x.after.name, y.after.name)),
  }
}

function byName(images: readonly NamedImage[]): ReadonlyMap<string, NamedImage> {
  return new Map(images.map(image => [image.name, image]))
}

function repositoryOf({ name }: NamedImage): string {
  const { registry, repository } = parseReference(name)
  return `${registry}/${repository}`
}

function sorted(images: readonly NamedImage[]): readonly NamedImage[] {
  return [...images].sort((a, b) => compareBytes(a.name, b.name))
}

/** One entry for each variable, label, port and so on. */
function flatConfig(config: ContainerConfig = {}): ReadonlyMap<string, string> {
  const { Env = [], Labels = {}, ExposedPorts = {}, Volumes = {}, ...rest } = config
  return new Map([
    ...Env.map(text => {
      const equals = text.indexOf('=')
      return equals < 0
        ? ([`Env.${text}`, ''] as const)
        : ([`Env.${text.slice(0, equals)}`, text.slice(equals + 1)] as const)
    }),
    ...Object.entries(Labels).map(([key, value]) => [`Labels.${key}`, value] as const),
    ...Object.keys(ExposedPorts).map(port => [`ExposedPorts.${port}`, ''] as const),
    ...Object.keys(Volumes).map(path => [`Volumes.${path}`, ''] as const),
    ...Object.entries(rest).map(
      ([key, value]) => [key, typeof value === 'string' ? value : JSON.stringify(value)] as const,
    ),
  ])
}

function diffRecords(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): readonly Change<string>[] {
  const keys = [...new Set([...before.keys(), ...after.keys()])].sort(compareBytes)
  return keys.flatMap(key => {
    const [old, fresh] = [before.get(key), after.get(key)]
    if (old === fresh) return []
    return [{ key, ...(old === undefined ? {} : { before: old }), ...(fresh === undefined ? {} : { after: fresh }) }]
  })
}

function pushOf(a: PlatformImage, b: PlatformImage): ImageDifference['push'] {
  const blobsIn = ({ descriptor, manifest }: PlatformImage): ReadonlyMap<Digest, number> =>
    new Map([descriptor, manifest.config, ...manifest.layers].map(({ digest, size }) => [digest, size]))
  const [old, fresh] = [blobsIn(a), blobsIn(b)]
  const missing = [...fresh].filter(([digest]) => !old.has(digest))
  return { blobs: missing.length, bytes: sum(missing.map(([, size]) => size)), of: sum([...fresh.values()]) }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}
