import { posix } from 'node:path'
import { CloudimgError } from '../core/error.ts'

/** A tree of a git repository, as ADD and a build's context name it. */
export interface GitSource {
  /** What git is given: `https://host/x.git`, `git@host:x.git`. */
  readonly remote: string
  /** A branch, tag, `refs/…` or commit; the repository's HEAD where absent. */
  readonly ref: string | undefined
  /** The directory of it that is meant; empty for all. */
  readonly subdirectory: string
  readonly keepGitDir: boolean
  /** The commit that it has to be, or the first digits of it. */
  readonly checksum: string | undefined
}

const protocolPattern = /^(?:git|ssh):\/\/|^https?:\/\/[^?#]+\.git\/?(?:[?#].*)?$/i
const scpPattern = /^[\w.-]+@[\w.-]+:(?!\/\/)/

/** Whether BuildKit takes the text for a git repository: `git://`, `ssh://`, `user@host:`, or http with a path that ends in `.git`. */
export function isGitSource(text: string): boolean {
  return protocolPattern.test(text) || scpPattern.test(text)
}

/**
 * `REMOTE#ref:subdirectory`, or `REMOTE?ref=…&subdir=…` with the words of BuildKit: ref, branch, tag, subdir, checksum,
 * commit, keep-git-dir. @throws USAGE
 */
export function parseGitSource(text: string): GitSource {
  const [, remote = '', query, fragment] = /^([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s.exec(text) ?? []
  const fail = (why: string, hint: string): never => {
    throw new CloudimgError('USAGE', `reading the git source "${withoutUser(text)}": ${why}`, { hint })
  }
  // A token may stand where a user's name should; over ssh a name is no secret.
  if (/^(?:https?:\/\/[^/@]*@|[a-z]+:\/\/[^/@]*:[^/@]*@)/i.test(remote))
    fail('it has credentials in it', 'let git ask a credential helper, or use ssh')
  if (query !== undefined && fragment !== undefined)
    fail('it has both "?" and "#"', 'write REMOTE#ref:directory, or REMOTE?ref=…&subdir=…')
  const wish = query === undefined ? wishOfFragment(fragment ?? '') : wishOfQuery(query, fail)
  const subdirectory = posix.normalize(`/${wish.subdirectory}`).replace(/\/+$/, '').slice(1)
  if (wish.ref !== undefined && !isRefName(wish.ref))
    fail(`"${wish.ref}" is no ref`, 'name a branch, a tag or a commit')
  if (wish.checksum !== undefined && !isCommit(wish.checksum))
    fail(`"${wish.checksum}" is no commit`, 'write 7 to 40 hexadecimal digits')
  return { remote, ...wish, subdirectory }
}

type Wish = Omit<GitSource, 'remote'>

function wishOfFragment(fragment: string): Wish {
  const colon = fragment.indexOf(':')
  const ref = colon < 0 ? fragment : fragment.slice(0, colon)
  const subdirectory = colon < 0 ? '' : fragment.slice(colon + 1)
  return { ref: ref === '' ? undefined : ref, subdirectory, keepGitDir: false, checksum: undefined }
}

const refPrefixes: Readonly<Record<string, string>> = { ref: '', branch: 'refs/heads/', tag: 'refs/tags/' }
const queryWords = new Set([...Object.keys(refPrefixes), 'subdir', 'checksum', 'commit', 'keep-git-dir'])

function wishOfQuery(query: string, fail: (why: string, hint: string) => never): Wish {
  const words = new URLSearchParams(query)
  for (const name of words.keys())
    if (!queryWords.has(name)) fail(`"${name}" is none of its words`, `use ${[...queryWords].join(', ')}`)
  const refs = Object.entries(refPrefixes).flatMap(([name, prefix]) => words.getAll(name).map(value => prefix + value))
  if (refs.length > 1) fail('it names more than one ref', 'name one of ref, branch and tag')
  const keep = words.get('keep-git-dir')
  return {
    ref: refs[0],
    subdirectory: words.get('subdir') ?? '',
    keepGitDir: keep !== null && !['0', 'false'].includes(keep),
    checksum: words.get('checksum') ?? words.get('commit') ?? undefined,
  }
}

/** The first digits of a commit's name suffice where it is compared. */
export function isCommit(text: string): boolean {
  return /^[0-9a-f]{7,40}$/.test(text)
}

export function isFullCommit(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text)
}

// git-check-ref-format(1), and nothing that git could take for an option.
function isRefName(ref: string): boolean {
  return !/^[-/]|[\s~^:?*[\\\u007F]|\.\.|@\{|\/$|\.lock$|\.$|\/\//.test(ref)
}

/** What the lock calls it: the repository and the ref, whatever part of it is taken. */
export function gitLocator({ remote, ref }: GitSource): string {
  return ref === undefined ? remote : `${remote}#${ref}`
}

function withoutUser(text: string): string {
  return text.replace(/^([a-z]+:\/\/)[^/@]*@/i, '$1')
}
