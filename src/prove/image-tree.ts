import { createHash } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { MiB } from '../core/bytes.ts'
import { type ClusterMetadata, parseClusterMetadata } from '../core/cluster-metadata.ts'
import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import type { PlatformImage } from '../oci/document.ts'
import type { BlobReader } from '../oci/ends.ts'
import { mergeLayers } from '../oci/layer-reader.ts'
import { leafOpener } from '../oci/list-rootfs.ts'
import type { LeafNode, TreeNode } from '../oci/merged-tree.ts'

/** One platform's tree with the layers that its files come from; contents are read when they are asked for. */
export class ImageTree {
  readonly image: PlatformImage
  readonly nodes: ReadonlyMap<string, TreeNode>
  readonly metadata: ClusterMetadata | undefined
  readonly kubefile: string | undefined
  readonly #open: ReturnType<typeof leafOpener>

  private constructor(
    image: PlatformImage,
    nodes: ReadonlyMap<string, TreeNode>,
    open: ReturnType<typeof leafOpener>,
    texts: { readonly metadata: string | undefined; readonly kubefile: string | undefined },
  ) {
    this.image = image
    this.nodes = nodes
    this.#open = open
    this.metadata = texts.metadata === undefined ? undefined : parseClusterMetadata(texts.metadata)
    this.kubefile = texts.kubefile
  }

  static async open(source: BlobReader, image: PlatformImage, ctx: Context): Promise<ImageTree> {
    const { layers } = image.manifest
    const nodes = new Map((await mergeLayers(source, layers, ctx)).entries())
    const open = leafOpener(source, layers)
    const read = async (path: string): Promise<string | undefined> => {
      const node = nodes.get(path)
      if (node?.type !== 'file' || node.size > MiB) return undefined
      return (await buffer(await open(node, ctx))).toString('utf8')
    }
    return new ImageTree(image, nodes, open, { metadata: await read('Metadata'), kubefile: await read('Kubefile') })
  }

  /** What tells a file's content without reading it: equal ones are equal, others may be. */
  placeOf({ place }: LeafNode): string {
    return `${this.image.manifest.layers[place.layer]!.digest} ${place.entry}`
  }

  async digestOf(node: LeafNode, ctx: Context): Promise<Digest> {
    const hash = createHash('sha256')
    for await (const chunk of await this.#open(node, ctx)) hash.update(chunk as Buffer)
    return `sha256:${hash.digest('hex')}`
  }
}
