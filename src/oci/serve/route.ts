import { type Digest, isDigest } from '../../core/digest.ts'
import { CloudimgError } from '../../core/error.ts'
import { parseReference } from '../../core/reference.ts'
import { Refusal } from './answer.ts'

/** What a path of the distribution API names. */
export type Route =
  | { readonly kind: 'base' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'blob'; readonly repository: string; readonly digest: string }
  | { readonly kind: 'start-upload'; readonly repository: string }
  | { readonly kind: 'upload'; readonly repository: string; readonly session: string }
  | { readonly kind: 'manifest'; readonly repository: string; readonly name: string }
  | { readonly kind: 'tags'; readonly repository: string }
  | { readonly kind: 'referrers'; readonly repository: string; readonly digest: string }

// Repository paths may contain any of these words, so the last occurrence in the path is the one that counts.
const patterns: readonly (readonly [RegExp, (repository: string, last: string) => Route])[] = [
  [/^(.+)\/blobs\/uploads\/?$/, repository => ({ kind: 'start-upload', repository })],
  [/^(.+)\/blobs\/uploads\/([^/]+)$/, (repository, session) => ({ kind: 'upload', repository, session })],
  [/^(.+)\/blobs\/([^/]+)$/, (repository, digest) => ({ kind: 'blob', repository, digest })],
  [/^(.+)\/manifests\/([^/]+)$/, (repository, name) => ({ kind: 'manifest', repository, name })],
  [/^(.+)\/referrers\/([^/]+)$/, (repository, digest) => ({ kind: 'referrers', repository, digest })],
  [/^(.+)\/tags\/list$/, repository => ({ kind: 'tags', repository })],
]

/** @throws Refusal 404 for what is no path of the API, NAME_INVALID for a bad repository name. */
export function parseRoute(pathname: string): Route {
  let path: string
  try {
    path = decodeURIComponent(pathname)
  } catch {
    throw new Refusal(400, 'NAME_INVALID', 'the path is not valid percent-encoding')
  }
  if (path === '/v2' || path === '/v2/') return { kind: 'base' }
  if (path === '/v2/_catalog') return { kind: 'catalog' }
  if (!path.startsWith('/v2/')) throw new Refusal(404, 'UNSUPPORTED', 'not a path of the registry API')
  for (const [pattern, make] of patterns) {
    const match = pattern.exec(path.slice('/v2/'.length))
    if (match === null) continue
    checkRepository(match[1]!)
    return make(match[1]!, match[2] ?? '')
  }
  throw new Refusal(404, 'UNSUPPORTED', 'not a path of the registry API')
}

export function checkRepository(repository: string): void {
  checkReference(`host.invalid/${repository}:x`, 'NAME_INVALID', 'not a repository name')
}

/** True for a digest, false for a tag. @throws Refusal MANIFEST_INVALID where it is neither. */
export function isDigestName(name: string): name is Digest {
  if (isDigest(name)) return true
  checkReference(`host.invalid/x:${name}`, 'MANIFEST_INVALID', 'neither a tag nor a sha256 digest')
  return false
}

function checkReference(text: string, code: 'NAME_INVALID' | 'MANIFEST_INVALID', message: string): void {
  try {
    parseReference(text)
  } catch (error) {
    if (error instanceof CloudimgError) throw new Refusal(400, code, message)
    throw error
  }
}
