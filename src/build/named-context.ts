import { CloudimgError } from '../core/error.ts'
import { familiarReference, formatReference, parseReference } from '../core/reference.ts'
import type { BuildContext } from './context.ts'
import { type GitSource, isGitSource, parseGitSource } from './git-source.ts'

/** Where a context is: a directory or archive of this machine, a URL of an archive, a git repository, standard input. */
export type ContextPlace =
  | { readonly kind: 'path'; readonly path: string }
  | { readonly kind: 'url'; readonly url: string }
  | { readonly kind: 'git'; readonly source: GitSource }
  | { readonly kind: 'stdin' }

/** What `--build-context` names. */
export type NamedPlace =
  | Exclude<ContextPlace, { readonly kind: 'stdin' }>
  | { readonly kind: 'image'; readonly image: string }
  /** An OCI image layout: a directory or a tar. */
  | { readonly kind: 'layout'; readonly path: string; readonly name: string | undefined }

/** A named context at hand: COPY takes from a directory, FROM and COPY from an image. */
export type NamedContext =
  { readonly kind: 'directory'; readonly context: BuildContext } | { readonly kind: 'image'; readonly image: string }

/** By `contextKey`. */
export type NamedContexts = ReadonlyMap<string, NamedContext>

export function parseContextPlace(text: string): ContextPlace {
  if (text === '-') return { kind: 'stdin' }
  if (isGitSource(text)) return { kind: 'git', source: parseGitSource(text) }
  return /^https?:\/\//i.test(text) ? { kind: 'url', url: text } : { kind: 'path', path: text }
}

/** `NAME=PATH`, `NAME=URL`, `NAME=docker-image://REF`, `NAME=oci-layout://PATH[:TAG][@DIGEST]`. @throws USAGE */
export function parseBuildContext(text: string): { readonly name: string; readonly place: NamedPlace } {
  const equals = text.indexOf('=')
  const [name, value] = [text.slice(0, equals), text.slice(equals + 1)]
  const fail = (why: string): never => {
    throw new CloudimgError('USAGE', `reading --build-context "${text}": ${why}`, {
      hint: 'write NAME=PATH, NAME=URL, NAME=docker-image://REFERENCE or NAME=oci-layout://PATH:TAG',
    })
  }
  if (equals <= 0 || value === '') fail('it has not the form NAME=PLACE')
  return { name: contextKey(name), place: parseNamedPlace(value, fail) }
}

function parseNamedPlace(value: string, fail: (why: string) => never): NamedPlace {
  const [, scheme, rest = ''] = /^([a-z][a-z-]*):\/\/(.+)$/.exec(value) ?? []
  if (scheme === 'docker-image') return { kind: 'image', image: formatReference(parseReference(rest)) }
  if (scheme === 'oci-layout') return parseLayout(rest)
  const place = parseContextPlace(value)
  if (place.kind === 'stdin') return fail('standard input is no named context')
  return place.kind === 'path' && scheme !== undefined ? fail(`"${scheme}" is no kind of place`) : place
}

function parseLayout(text: string): NamedPlace {
  const [, path = text, digest, tag] = /^(.+?)(?:@(sha256:[0-9a-f]{64})|:([\w][\w.-]{0,127}))?$/.exec(text) ?? []
  return { kind: 'layout', path, name: digest ?? tag }
}

/** `alpine`, `alpine:latest` and `docker.io/library/alpine` are one name, as in BuildKit; stages have no capitals. */
export function contextKey(name: string): string {
  try {
    return familiarReference(parseReference(name.toLowerCase())).replace(/:latest$/, '')
  } catch {
    return name.toLowerCase()
  }
}
