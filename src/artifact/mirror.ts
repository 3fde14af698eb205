import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { CloudimgError } from '../core/error.ts'
import { redactUrl } from '../core/redact.ts'
import type { Artifact, ArtifactFile } from './artifact.ts'
import { spellTag } from './distribution.ts'

/** `--mirror FROM=TO`: another place for what lies below a URL, or for all of a template's sources at once. */
export type Mirror =
  | { readonly kind: 'prefix'; readonly from: URL; readonly bases: readonly URL[] }
  | { readonly kind: 'template'; readonly template: string; readonly bases: readonly URL[] }

/**
 * `https://github.com/k3s-io=https://mirror.example/k3s-io` or `k3s=BASE`. TO and BASE are an https:, http: or file: URL or
 * a path, which is looked up from `directory`. @throws USAGE
 */
export function parseMirror(text: string, directory: string): Mirror {
  const fail = (why: string): never => {
    throw new CloudimgError('USAGE', `reading --mirror "${text}": ${why}`, {
      hint: 'write --mirror https://from.example/path=https://to.example/path, or --mirror k3s=DIRECTORY',
    })
  }
  const equals = text.indexOf('=')
  if (equals <= 0 || equals === text.length - 1) fail('it has not the form FROM=TO')
  const from = text.slice(0, equals)
  const bases = parseBase(text.slice(equals + 1), directory) ?? fail('TO is no https:, http: or file: URL and no path')
  if (/^https?:\/\//i.test(from) && URL.canParse(from)) return { kind: 'prefix', from: new URL(from), bases }
  if (/^[a-z0-9][a-z0-9.-]*$/.test(from)) return { kind: 'template', template: from, bases }
  return fail(`"${from}" is neither a URL nor the name of a template`)
}

// A path is taken as it is written, then percent-decoded: both happen to release directories that were downloaded.
function parseBase(text: string, directory: string): readonly URL[] | undefined {
  if (/^(https?|file):\/\//i.test(text)) return URL.canParse(text) ? [new URL(text)] : undefined
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return undefined
  const plain = pathToFileURL(resolve(directory, text))
  const decoded = /%[0-9a-f]{2}/i.test(text) ? decodePercent(text) : undefined
  return decoded === undefined || decoded === text ? [plain] : [plain, pathToFileURL(resolve(directory, decoded))]
}

/** Undefined where the text is not percent-encoded UTF-8. */
export function decodePercent(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

/** Where a file of a release is looked for, in order. A mirror of the template stands for all of upstream's sources. */
export function locationsOf(
  file: ArtifactFile,
  artifact: Pick<Artifact, 'template' | 'version'>,
  mirrors: readonly Mirror[],
): readonly URL[] {
  const own = mirrors.filter(mirror => mirror.kind === 'template' && mirror.template === artifact.template)
  if (own.length === 0) return unique(file.sources.flatMap(url => rewrite(url, mirrors)))
  const asset = encodeURIComponent(file.asset)
  return unique(
    own
      .flatMap(mirror => mirror.bases)
      .flatMap(base => [
        ...tagDirectories(artifact.version, base).map(tag => below(base, `${tag}/${asset}`)),
        below(base, asset),
      ]),
  )
}

/** `channels.json` of a mirror that stands for the template; undefined where upstream is asked. */
export function mirroredChannels(template: string, mirrors: readonly Mirror[]): readonly URL[] | undefined {
  const own = mirrors.filter(mirror => mirror.kind === 'template' && mirror.template === template)
  if (own.length === 0) return undefined
  return unique(own.flatMap(mirror => mirror.bases).map(base => below(base, 'channels.json')))
}

/** The places that stand for a URL: those of the longest matching prefix, or the URL itself. */
export function rewrite(url: URL, mirrors: readonly Mirror[]): readonly URL[] {
  const matching = mirrors.flatMap(mirror => {
    const rest = mirror.kind === 'prefix' ? restBelow(url, mirror.from) : undefined
    return rest === undefined ? [] : [{ rest, bases: mirror.bases }]
  })
  if (matching.length === 0) return [url]
  const shortest = Math.min(...matching.map(match => match.rest.length))
  return matching
    .filter(match => match.rest.length === shortest)
    .flatMap(({ rest, bases }) =>
      bases.flatMap(base => spellings(rest, base).map(path => below(base, path, url.search))),
    )
}

// What follows the prefix in the path; only whole path segments count, so that a prefix never matches another host or name.
function restBelow(url: URL, from: URL): string | undefined {
  if (url.origin !== from.origin) return undefined
  const prefix = from.pathname.replace(/\/$/, '')
  const rest = url.pathname.slice(prefix.length)
  return url.pathname.startsWith(prefix) && (rest === '' || rest.startsWith('/')) ? rest.replace(/^\//, '') : undefined
}

// A file: URL is percent-decoded once: a directory that was saved under the name "v1%2Bk3s1" needs its % encoded again.
function spellings(path: string, base: URL): readonly string[] {
  const encoded = base.protocol === 'file:' && path.includes('%') ? [path.replaceAll('%', '%25')] : []
  return [path, ...encoded]
}

function tagDirectories(version: string, base: URL): readonly string[] {
  if (version === '') return []
  const spelled = ['percent', 'plain', 'dash'] as const
  return spelled.flatMap(spelling => spellings(spellTag(version, spelling), base))
}

function below(base: URL, path: string, search = ''): URL {
  const url = new URL(base)
  // A mirror of one file, not of what lies below it.
  if (path === '') return url
  url.pathname = `${base.pathname.replace(/\/$/, '')}/${path}`
  if (url.search === '') url.search = search
  return url
}

function unique(urls: readonly URL[]): readonly URL[] {
  const seen = new Set<string>()
  return urls.filter(({ href, protocol }) => {
    // A literal "+" and "%2B" name the same file on disk.
    const key = protocol === 'file:' ? href.replaceAll('+', '%2B') : href
    return !seen.has(key) && seen.add(key)
  })
}

/** For people: a path for files, a URL without secrets for the rest. */
export function describeLocation(url: URL): string {
  return url.protocol === 'file:' ? (decodePercent(url.pathname) ?? url.pathname) : redactUrl(url)
}
