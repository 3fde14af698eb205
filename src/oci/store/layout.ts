import { homedir } from 'node:os'
import { join } from 'node:path'
import { type Digest, hexOf } from '../../core/digest.ts'
import type { Reference } from '../../core/reference.ts'

/** Where the store lies: `$CLOUDIMG_HOME`, else `$XDG_DATA_HOME/cloudimg`, else `~/.local/share/cloudimg`. */
export function defaultHome(env: NodeJS.ProcessEnv = process.env): string {
  if (env.CLOUDIMG_HOME !== undefined && env.CLOUDIMG_HOME !== '') return env.CLOUDIMG_HOME
  return join(env.XDG_DATA_HOME ?? join(homedir(), '.local/share'), 'cloudimg')
}

/** The store's folders. The one blob pool holds downloads, private copies of context files, layers and documents alike. */
export interface StoreLayout {
  readonly home: string
  readonly blobs: string
  readonly recipes: string
  readonly refs: string
  readonly cache: string
  readonly downloads: string
  readonly temporary: string
  /** What running processes rely on: a file of each. */
  readonly leases: string
  /** A file of each process that removes blobs right now. */
  readonly sweeps: string
  /** What fsck took out of the way. */
  readonly quarantine: string
}

export function storeLayout(home: string): StoreLayout {
  return {
    home,
    blobs: join(home, 'blobs/sha256'),
    recipes: join(home, 'recipes'),
    refs: join(home, 'refs'),
    cache: join(home, 'cache'),
    downloads: join(home, 'downloads'),
    temporary: join(home, 'tmp'),
    leases: join(home, 'leases'),
    sweeps: join(home, 'sweeps'),
    quarantine: join(home, 'quarantine'),
  }
}

export function blobPath(layout: StoreLayout, digest: Digest): string {
  return join(layout.blobs, hexOf(digest))
}

export function recipePath(layout: StoreLayout, digest: Digest): string {
  return join(layout.recipes, `${hexOf(digest)}.json`)
}

/** One file for each tag; `_tags` cannot be part of a repository's name, so names never collide. */
export function refPath(layout: StoreLayout, ref: Reference): string {
  return join(layout.refs, ref.registry, ref.repository, '_tags', `${ref.tag ?? 'latest'}.json`)
}
