import { mkdir, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { type Digest, hexOf } from '../../core/digest.ts'
import { statIfPresent, withFileErrors } from '../../io/files.ts'
import type { ServedName } from './serve-store.ts'

/**
 * What clients deleted by digest from a repository of the embedded registry: an empty file for each, in
 * `served-deletions/<host>/<repository>/_digests/<hex>`. The bytes lie in a pool that builds, other repositories and names
 * share, so a client cannot remove them; the repository answers 404, and gc removes what nothing else needs.
 */
export class Deletions {
  readonly #directory: string

  constructor(home: string) {
    this.#directory = join(home, 'served-deletions')
  }

  // `_digests` cannot be a part of a repository's name: names never collide.
  #path({ host, repository }: ServedName, digest: Digest): string {
    return join(this.#directory, host, repository, '_digests', hexOf(digest))
  }

  async has(name: ServedName, digest: Digest): Promise<boolean> {
    return (await statIfPresent(this.#path(name, digest))) !== undefined
  }

  async set(name: ServedName, digest: Digest, deleted: boolean): Promise<void> {
    const path = this.#path(name, digest)
    await withFileErrors('noting a deletion in', path, async () => {
      if (!deleted) return await rm(path, { force: true })
      await mkdir(dirname(path), { recursive: true })
      await writeFile(path, '')
    })
  }
}
