import type { Context } from '../../core/context.ts'
import { type Digest, isDigest } from '../../core/digest.ts'
import { each } from '../../core/each.ts'
import { CloudimgError } from '../../core/error.ts'
import { compareBytes } from '../../io/files.ts'
import { type Node, readReferrers, readSelected, uniqueBlobs } from '../copy.ts'
import type { Descriptor } from '../descriptor.ts'
import type { ImageSource } from '../ends.ts'

/** Blobs that a place has, each with the names of the images it belongs to there. */
export type Inventory = ReadonlyMap<Digest, readonly string[]>

/** The blobs of images; where the source is of this machine only those that are there. @throws what the source throws. */
export async function takeInventory(
  source: ImageSource,
  images: readonly { readonly name: string; readonly descriptor: Descriptor }[],
  ctx: Context,
): Promise<Inventory> {
  const inventory = new Map<Digest, string[]>()
  const lists = await each(images, 4, async ({ name, descriptor }) => {
    const graph = await readSelected(source, descriptor, undefined, name, ctx)
    const nodes = [graph, ...(await readReferrers(source, graph, ctx))]
    const blobs = [...uniqueBlobs(nodes), ...nodes.flatMap(documents)]
    const here = source.pieces === undefined ? blobs : await present(source, blobs, ctx)
    return { name, digests: new Set(here.map(({ digest }) => digest)) }
  })
  for (const { name, digests } of lists) {
    for (const digest of digests) inventory.set(digest, [...(inventory.get(digest) ?? []), name])
  }
  return inventory
}

function documents(node: Node): readonly Descriptor[] {
  return [node.descriptor, ...node.children.flatMap(documents)]
}

async function present(
  source: ImageSource,
  blobs: readonly Descriptor[],
  ctx: Context,
): Promise<readonly Descriptor[]> {
  const found = await each(blobs, 8, blob => source.has(blob, ctx))
  return blobs.filter((_, i) => found[i])
}

/** One line for each blob, `sha256:… name,name`, in byte order; `parseInventory` reads it. */
export function formatInventory(inventory: Inventory): string {
  const lines = [...inventory].map(([digest, names]) =>
    [digest, [...names].sort(compareBytes).join(',')].join(' ').trim(),
  )
  return lines
    .sort(compareBytes)
    .map(line => `${line}\n`)
    .join('')
}

/** Lines as `formatInventory` writes them; names may be missing, `#` begins a remark. @throws USAGE naming the line. */
export function parseInventory(text: string, what: string): Inventory {
  const inventory = new Map<Digest, readonly string[]>()
  for (const [i, line] of text.split('\n').entries()) {
    const [digest = '', names = ''] = line.replace(/#.*/, '').trim().split(/\s+/)
    if (digest === '') continue
    if (!isDigest(digest))
      throw new CloudimgError(
        'USAGE',
        `reading the inventory ${what}: line ${i + 1} does not begin with a sha256 digest`,
        {
          hint: 'make it on the other side with: cloudimg inventory > inventory.txt',
        },
      )
    inventory.set(digest, [...(inventory.get(digest) ?? []), ...names.split(',').filter(name => name !== '')])
  }
  return inventory
}

export function mergeInventories(inventories: readonly Inventory[]): Inventory {
  const merged = new Map<Digest, readonly string[]>()
  for (const [digest, names] of inventories.flatMap(inventory => [...inventory]))
    merged.set(digest, [...new Set([...(merged.get(digest) ?? []), ...names])])
  return merged
}
