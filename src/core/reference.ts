import { type Digest, isDigest } from './digest.ts'
import { CloudimgError } from './error.ts'

/** An image name in full: `registry/repository[:tag][@digest]`. Where both stand, the digest wins and the tag is for people. */
export interface Reference {
  readonly registry: string
  readonly repository: string
  readonly tag?: string
  readonly digest?: Digest
}

// distribution-spec 1.1, "Pulling manifests".
const repositoryPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/
const registryPattern = /^(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?)(?::[0-9]{1,5})?$/

/**
 * Docker's rules: the first component is a registry iff it has a `.` or `:` or is `localhost`; else docker.io, and
 * `library/` before a single component. Without tag and digest the tag is `latest`, or none where `defaultTag` is null.
 * @throws USAGE naming what is wrong; a `+` in the tag suggests `-`.
 */
export function parseReference(text: string, defaultTag: string | null = 'latest'): Reference {
  const fail = (why: string, hint?: string): never => {
    throw new CloudimgError('USAGE', `reading image reference "${text}": ${why}`, hint === undefined ? {} : { hint })
  }
  const at = text.indexOf('@')
  const name = at < 0 ? text : text.slice(0, at)
  const digest = at < 0 ? undefined : text.slice(at + 1)
  if (digest !== undefined && !isDigest(digest)) fail(`"${digest}" is no sha256 digest`)
  const colon = name.lastIndexOf(':')
  const tagged = colon > name.lastIndexOf('/')
  const path = tagged ? name.slice(0, colon) : name
  const tag = tagged ? name.slice(colon + 1) : undefined
  if (tag !== undefined && !tagPattern.test(tag)) {
    if (tag.includes('+')) fail(`a tag cannot contain "+"`, `write ${text.replaceAll('+', '-')}`)
    fail(`"${tag}" is no tag`)
  }
  const slash = path.indexOf('/')
  const first = slash < 0 ? '' : path.slice(0, slash)
  const named = slash >= 0 && (first.includes('.') || first.includes(':') || first === 'localhost')
  const registry = named ? (first === 'index.docker.io' ? 'docker.io' : first) : 'docker.io'
  const rest = named ? path.slice(slash + 1) : path
  const repository = registry === 'docker.io' && !rest.includes('/') ? `library/${rest}` : rest
  if (!registryPattern.test(registry)) fail(`"${registry}" is no registry host`)
  if (!repositoryPattern.test(repository)) {
    fail(
      `"${rest}" is no repository name`,
      rest === rest.toLowerCase() ? undefined : `write it in lower case: ${text.toLowerCase()}`,
    )
  }
  if (registry.length + 1 + repository.length > 255) fail('the name is longer than 255 characters')
  const finalTag = tag ?? (digest === undefined ? (defaultTag ?? undefined) : undefined)
  return {
    registry,
    repository,
    ...(finalTag === undefined ? {} : { tag: finalTag }),
    ...(digest === undefined ? {} : { digest: digest as Digest }),
  }
}

export function formatReference(ref: Reference): string {
  return `${ref.registry}/${ref.repository}${ref.tag === undefined ? '' : `:${ref.tag}`}${ref.digest === undefined ? '' : `@${ref.digest}`}`
}

/** As people type it: without `docker.io/` and `library/`. */
export function familiarReference(ref: Reference): string {
  return formatReference(ref).replace(/^docker\.io\/(library\/)?/, '')
}

/** The name by which a node finds an image: the CRI drops the tag where a digest stands too. */
export function nodeName({ tag, digest, ...rest }: Reference): string {
  return formatReference({ ...rest, ...(digest === undefined ? { tag: tag ?? 'latest' } : { digest }) })
}
