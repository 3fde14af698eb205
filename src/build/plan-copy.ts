import type { Diagnostic, Span } from '../core/diagnostic.ts'
import { type Digest, isDigest } from '../core/digest.ts'
import { formatReference, parseReference } from '../core/reference.ts'
import { type Copy, findFlag, type Heredoc, isFlagOn, isHeredoc, type Stage, type Word } from '../kubefile/ast.ts'
import { unquoteWord } from '../kubefile/words.ts'
import type { Expander } from './expander.ts'
import { type FileMode, parseFileMode } from './file-mode.ts'
import { isCommit, isGitSource, parseGitSource } from './git-source.ts'
import { contextKey, type NamedContexts } from './named-context.ts'
import type { CopyItem, CopyOrigin, CopyPlan, OwnerWish } from './plan.ts'

/** Where a COPY stands. */
export interface CopyPlace {
  readonly expander: Expander
  readonly workdir: string
  readonly isScratch: boolean
  readonly stages: readonly Stage[]
  readonly contexts: NamedContexts
  /** Of the stage it stands in. */
  readonly number: number
  readonly report: (diagnostic: Diagnostic) => void
}

/** COPY or ADD with everything expanded; undefined where something is wrong, which is reported. */
export function planCopy(copy: Copy, place: CopyPlace): CopyPlan | undefined {
  return new CopyPlanner(copy, place).plan()
}

class CopyPlanner {
  readonly #copy: Copy
  readonly #place: CopyPlace
  #failed = false

  constructor(copy: Copy, place: CopyPlace) {
    this.#copy = copy
    this.#place = place
  }

  plan(): CopyPlan | undefined {
    const copy = this.#copy
    const checksum = this.#checksum()
    const sources = copy.sources.flatMap(source => this.#source(source, checksum) ?? [])
    const target = this.#expand(copy.target)
    const plan = {
      origin: this.#origin(),
      sources,
      target: belowWorkdir(this.#place.workdir, target),
      owner: this.#owner(),
      mode: this.#mode(),
      wellKnownNames: this.#place.isScratch && this.#place.workdir === '/',
      link: isFlagOn(copy, 'link'),
      parents: isFlagOn(copy, 'parents'),
      exclude: copy.flags.flatMap(({ name, value }) =>
        name === 'exclude' && value !== undefined ? [this.#expand(value)] : [],
      ),
      unpack: isFlagOn(copy, 'unpack'),
    }
    return this.#failed ? undefined : plan
  }

  #source(source: Word | Heredoc, checksum: Digest | undefined): CopyItem | undefined {
    if (isHeredoc(source)) return this.#text(source)
    const path = this.#expand(source)
    if (path === '') return this.#report('empty', 'a source expands to nothing', source.span, 'set the variable')
    if (isGitSource(path)) return this.#git(path, source)
    if (!isUrl(path)) return { kind: 'path', path }
    if (this.#copy.kind === 'COPY') {
      return this.#report('copy-url', 'COPY takes no URL', source.span, `write ADD ${path}`)
    }
    if (hasCredentials(path)) {
      // It would stand in the lock, in the history and in logs.
      const hint = 'let a mirror or the file itself need no password, or fetch it beforehand and COPY it'
      return this.#report('url-credentials', 'the URL has credentials in it', source.span, hint)
    }
    return { kind: 'url', url: path, checksum }
  }

  #text(heredoc: Heredoc): CopyItem {
    const { name, body, expand, bodySpan } = heredoc
    const text = expand ? (this.#place.expander.body({ text: body, span: bodySpan }) ?? this.#fail('')) : body
    return { kind: 'text', name, text }
  }

  #git(text: string, word: Word): CopyItem | undefined {
    if (this.#copy.kind === 'COPY') {
      return this.#report('copy-url', 'COPY takes no git repository', word.span, `write ADD ${text}`)
    }
    const source = this.#place.expander.at(word, () => parseGitSource(text))
    if (source === undefined) return this.#fail(undefined)
    const keepGitDir = source.keepGitDir || isFlagOn(this.#copy, 'keep-git-dir')
    const checksum = this.#gitChecksum() ?? source.checksum
    return { kind: 'git', source: { ...source, keepGitDir, checksum } }
  }

  #gitChecksum(): string | undefined {
    const value = findFlag(this.#copy, 'checksum')?.value
    if (value === undefined) return undefined
    const text = this.#expand(value)
    if (isCommit(text) || this.#failed) return text
    return this.#report('checksum', `"${text}" is no commit`, value.span, 'write the commit, 7 to 40 digits of it')
  }

  #origin(): CopyOrigin {
    const value = findFlag(this.#copy, 'from')?.value
    if (value === undefined) return { from: 'context' }
    const name = unquoteWord(value.text, this.#place.expander.escape)
    return copyOrigin(name, value, this.#place) ?? this.#fail({ from: 'context' })
  }

  #mode(): FileMode | undefined {
    const value = findFlag(this.#copy, 'chmod')?.value
    if (value === undefined) return undefined
    const text = this.#expand(value)
    const mode = parseFileMode(text)
    if (mode !== undefined || this.#failed) return mode
    return this.#report('chmod', `"${text}" is no mode`, value.span, 'write --chmod=0755 or --chmod=u=rwX,go=rX')
  }

  #owner(): OwnerWish | undefined {
    const value = findFlag(this.#copy, 'chown')?.value
    if (value === undefined) return undefined
    const text = this.#expand(value)
    const owner = parseOwner(text)
    if (owner !== undefined || this.#failed) return owner
    const hint = 'write --chown=USER or --chown=USER:GROUP, numbers or names'
    return this.#report('chown', `"${text}" is no owner`, value.span, hint)
  }

  /** For one remote source alone; a git repository's is a commit, see `#gitChecksum`. */
  #checksum(): Digest | undefined {
    const value = findFlag(this.#copy, 'checksum')?.value
    if (value === undefined) return undefined
    const [first, ...others] = this.#copy.sources.map(source => (isHeredoc(source) ? '' : this.#expand(source)))
    const isRemote = isUrl(first ?? '') || isGitSource(first ?? '')
    if (!isRemote || others.length > 0)
      return this.#report('checksum', '--checksum is for one URL', value.span, 'give each URL an ADD of its own')
    if (isGitSource(first ?? '')) return undefined
    const text = this.#expand(value)
    if (isDigest(text)) return text
    const hint = 'write --checksum=sha256:… with 64 digits'
    return this.#report('checksum', `"${text}" is no sha256 digest`, value.span, hint)
  }

  #expand(word: Word): string {
    return this.#place.expander.word(word) ?? this.#fail('')
  }

  #fail<T>(value: T): T {
    this.#failed = true
    return value
  }

  #report(rule: string, message: string, span: Span, hint: string): undefined {
    this.#place.report({ severity: 'error', rule, message, span, hint })
    return this.#fail(undefined)
  }
}

/** The stage or image that `from` names, `word` being the place of it; undefined where it is none, which is reported. */
export function copyOrigin(
  name: string,
  word: Word,
  {
    stages,
    contexts,
    number,
    expander,
    report,
  }: Pick<CopyPlace, 'stages' | 'contexts' | 'number' | 'expander' | 'report'>,
): CopyOrigin | undefined {
  // As in BuildKit: a named context comes before the stage and the image of that name.
  const key = contextKey(name)
  const context = contexts.get(key)
  if (context !== undefined)
    return context.kind === 'image' ? { from: 'image', image: context.image } : { from: 'named', name: key }
  const named = stages.findIndex(({ from }) => from?.as?.text.toLowerCase() === name.toLowerCase())
  const found = named < 0 && /^\d+$/.test(name) && Number(name) < stages.length ? Number(name) : named
  if (found >= number) {
    const message = `--from=${name} is no earlier stage`
    const hint = 'copy from a stage above this one'
    report({ severity: 'error', rule: 'copy-from', message, span: word.span, hint })
    return undefined
  }
  if (found >= 0) return { from: 'stage', stage: found }
  const image = expander.at(word, () => formatReference(parseReference(name)))
  return image === undefined ? undefined : { from: 'image', image }
}

/** `user[:group]`; undefined for what has another form. */
export function parseOwner(text: string): OwnerWish | undefined {
  const [user = '', group, ...rest] = text.split(':')
  return user !== '' && group !== '' && rest.length === 0 ? { user, group } : undefined
}

function belowWorkdir(workdir: string, target: string): string {
  if (target.startsWith('/') || workdir === '/') return target
  return target === '' ? `${workdir}/` : `${workdir}/${target}`
}

function isUrl(path: string): boolean {
  return /^https?:\/\//i.test(path)
}

function hasCredentials(url: string): boolean {
  if (!URL.canParse(url)) return false
  const { username, password } = new URL(url)
  return username !== '' || password !== ''
}
