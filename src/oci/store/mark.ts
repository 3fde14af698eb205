import { type Digest, digestOf, isDigest } from '../../core/digest.ts'
import { CloudimgError } from '../../core/error.ts'
import { parseJson } from '../../core/json.ts'
import { readFileIfPresent, statIfPresent } from '../../io/files.ts'
import { limits } from '../../io/limits.ts'
import { blobPath, recipePath, type StoreLayout } from './layout.ts'
import { parseRecipe } from './recipe.ts'

/** Every digest that can be reached from what was marked; both the documents and the parts of recipes. */
export class Marks {
  readonly #layout: StoreLayout
  readonly #reached = new Set<Digest>()
  readonly #documents = new Set<Digest>()

  constructor(layout: StoreLayout) {
    this.#layout = layout
  }

  has(digest: Digest): boolean {
    return this.#reached.has(digest)
  }

  get all(): ReadonlySet<Digest> {
    return this.#reached
  }

  /**
   * Marks a digest, what its document names where it is one, and the blobs that its recipe is made of. What is not there is
   * marked too, and leads nowhere. `known`: that it is a manifest or index, not any blob.
   * @throws IMAGE_INVALID for a document or recipe that was changed: what it needs is not known then.
   */
  async add(digest: Digest, known: 'document' | 'any' = 'any'): Promise<void> {
    if (this.#documents.has(digest)) return
    this.#documents.add(digest)
    await this.#addLeaf(digest)
    const bytes = await this.#readDocument(digest)
    if (bytes === undefined) return
    const { documents, leaves } = childrenOf(bytes)
    if ((known === 'document' || documents.length + leaves.length > 0) && digestOf(bytes) !== digest)
      throw broken(`document ${digest}`)
    for (const leaf of leaves) await this.#addLeaf(leaf)
    for (const document of documents) await this.add(document, 'document')
  }

  async #readDocument(digest: Digest): Promise<Buffer | undefined> {
    const path = blobPath(this.#layout, digest)
    const stats = await statIfPresent(path)
    if (stats === undefined || stats.size > limits.manifestBytes) return undefined
    return await readFileIfPresent(path)
  }

  async #addLeaf(digest: Digest): Promise<void> {
    if (this.#reached.has(digest)) return
    this.#reached.add(digest)
    const path = recipePath(this.#layout, digest)
    const text = await readFileIfPresent(path)
    if (text === undefined) return
    for (const segment of parseRecipe(text.toString('utf8'), path).segments)
      if ('blob' in segment) this.#reached.add(segment.blob)
  }
}

function broken(what: string): CloudimgError {
  return new CloudimgError('IMAGE_INVALID', `looking for what ${what} needs: it was changed on the disk`, {
    hint: 'run: cloudimg fsck --repair',
  })
}

/** What a document of the store names. Lenient: a field of another kind is no reason to lose what the others name. */
function childrenOf(bytes: Buffer): { readonly documents: readonly Digest[]; readonly leaves: readonly Digest[] } {
  const json = parseJson(bytes.toString('utf8')) as Readonly<Record<string, unknown>> | undefined
  const { manifests, config, layers, blobs } = json ?? {}
  return { documents: digestsIn([manifests]), leaves: digestsIn([config, layers, blobs]) }
}

function digestsIn(values: readonly unknown[]): readonly Digest[] {
  return values.flat().flatMap(value => {
    const digest = typeof value === 'object' && value !== null && 'digest' in value ? value.digest : undefined
    return typeof digest === 'string' && isDigest(digest) ? [digest] : []
  })
}
