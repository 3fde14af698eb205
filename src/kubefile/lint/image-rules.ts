import { isCloudimgError } from '../../core/error.ts'
import { formatReference, parseReference, type Reference } from '../../core/reference.ts'
import { type Base, findFlag, type Instruction, type Kubefile, type Run, spanInWord, type Word } from '../ast.ts'
import { isTemplatePath, rootfsTemplate } from '../base-template.ts'
import { explainK3sVersion } from '../k3s-version.ts'
import { unquoteWord } from '../words.ts'
import { type Finding, type LintRule, type LintSubject, placedInstructions, replaceWord, stageName } from './rule.ts'

export const imageRules: readonly LintRule[] = [
  {
    id: 'image-name',
    severity: 'error',
    summary: 'FROM or --from names no image',
    guard: true,
    check: ({ kubefile }) => wrongImages(kubefile).filter(({ fix }) => fix === undefined),
  },
  {
    id: 'plus-in-tag',
    severity: 'error',
    summary: 'an image tag has a "+", as k3s releases have it and tags cannot',
    fixes: true,
    guard: true,
    check: ({ kubefile }) => wrongImages(kubefile).filter(({ fix }) => fix !== undefined),
  },
  {
    id: 'latest-tag',
    severity: 'warning',
    summary: 'an image has no tag, or the tag latest',
    check: ({ kubefile }) =>
      goodImages(kubefile)
        .filter(({ ref }) => ref.digest === undefined && ref.tag === 'latest')
        .map(({ name, word }) => ({
          message: `"${name}" is whatever is the latest when it is looked up`,
          span: word.span,
          hint: 'name a version: its tag, or a digest',
        })),
  },
  {
    id: 'unpinned-from',
    severity: 'warning',
    summary: 'an image is named by a tag that no lock pins',
    check: ({ kubefile, isPinned }) =>
      goodImages(kubefile)
        .filter(
          ({ ref }) =>
            isPinned !== undefined &&
            ref.digest === undefined &&
            ref.tag !== 'latest' &&
            !isPinned(formatReference(ref)),
        )
        .map(({ name, word }) => ({
          message: `"${name}" is pinned neither by a digest nor by the lock`,
          span: word.span,
          hint: 'run cloudimg lock, or write the digest behind the name: …@sha256:…',
        })),
  },
  {
    id: 'constant-platform',
    severity: 'warning',
    summary: 'FROM --platform is the same for every platform that is built',
    check: checkConstantPlatform,
  },
  {
    id: 'redundant-platform',
    severity: 'warning',
    summary: 'FROM --platform=$TARGETPLATFORM says what is so without it',
    fixes: true,
    check: checkRedundantPlatform,
  },
  {
    id: 'k3s-version',
    severity: 'error',
    summary: 'a k3s version lacks its +k3sN',
    fixes: true,
    guard: true,
    check: checkVersions,
  },
  {
    id: 'base-without-version',
    severity: 'warning',
    summary: 'BASE names a template without a version',
    fixes: true,
    guard: true,
    check: ({ kubefile }) =>
      placedInstructions(kubefile).flatMap(({ instruction }) =>
        instruction.kind === 'BASE' ? checkUnversioned(instruction) : [],
      ),
  },
]

/** Names of images in FROM and COPY --from, stages and names with variables left out. */
function imageWords(
  kubefile: Kubefile,
): readonly { readonly name: string; readonly word: Word; readonly isFrom: boolean }[] {
  const { stages, escape } = kubefile
  const earlier = new Set<string>(['scratch'])
  return stages.flatMap(stage => {
    const copies = stage.instructions.flatMap(instruction =>
      instruction.kind === 'COPY' ? (findFlag(instruction, 'from')?.value ?? []) : [],
    )
    const words = [
      ...(stage.from === undefined ? [] : [{ word: stage.from.image, isFrom: true }]),
      ...copies.filter(({ text }) => !/^\d+$/.test(text)).map(word => ({ word, isFrom: false })),
    ]
    const own = stageName(stage)
    const found = words
      .map(({ word, isFrom }) => ({ name: unquoteWord(word.text, escape), word, isFrom }))
      .filter(({ name, word, isFrom }) => {
        const lower = name.toLowerCase()
        return !word.text.includes('$') && !earlier.has(lower) && (isFrom || lower !== own)
      })
    if (own !== undefined) earlier.add(own)
    return found
  })
}

/** A `+` in a tag has a fix. What COPY --from names is looked at when it is planned, but for that. */
function wrongImages(kubefile: Kubefile): readonly Finding[] {
  return imageWords(kubefile).flatMap(({ name, word, isFrom }) => {
    const ref = referenceOf(name)
    if (!('why' in ref)) return []
    const isPlus = ref.why.includes('"+"')
    if (!isFrom && !isPlus) return []
    const fix = isPlus ? (replaceWord(word, word.text.replaceAll('+', '-')) ?? []) : undefined
    return [{ message: `"${name}" is no image name: ${ref.why}`, span: word.span, hint: ref.hint, fix }]
  })
}

function goodImages(
  kubefile: Kubefile,
): readonly { readonly name: string; readonly word: Word; readonly ref: Reference }[] {
  return imageWords(kubefile).flatMap(({ name, word }) => {
    const ref = referenceOf(name)
    return 'why' in ref ? [] : [{ name, word, ref }]
  })
}

function referenceOf(name: string): Reference | { readonly why: string; readonly hint: string } {
  try {
    return parseReference(name)
  } catch (thrown) {
    if (!isCloudimgError(thrown)) throw thrown
    const why = thrown.message.replace(/^reading image reference ".*?": /s, '')
    return { why, hint: thrown.hint ?? 'write registry/repository:tag' }
  }
}

function checkConstantPlatform({ kubefile }: LintSubject): readonly Finding[] {
  return kubefile.stages.flatMap(({ from }) => {
    if (from?.platform === undefined || from.platform.text.includes('$')) return []
    return [
      {
        message: `every platform that is built begins with ${from.platform.text}`,
        span: from.platform.span,
        hint: 'leave the flag out, or write --platform=$BUILDPLATFORM for a stage that only builds',
      },
    ]
  })
}

function checkRedundantPlatform({ kubefile }: LintSubject): readonly Finding[] {
  return kubefile.stages.flatMap(({ from }) => {
    const flag = from && findFlag(from, 'platform')
    if (flag === undefined || !/^"?\$(?:TARGETPLATFORM|\{TARGETPLATFORM\})"?$/.test(flag.value?.text ?? '')) return []
    const { start, end } = flag.span
    const blanks = /^[ \t]*/.exec(kubefile.source.slice(end.offset))![0].length
    const fix = [{ start: start.offset, end: end.offset + blanks, text: '' }]
    return [{ message: 'this is the platform without the flag too', span: flag.span, hint: 'leave the flag out', fix }]
  })
}

function checkVersions({ kubefile }: LintSubject): readonly Finding[] {
  const placed = placedInstructions(kubefile).map(({ instruction }) => instruction)
  const names = new Set(['INSTALL_K3S_VERSION', ...placed.flatMap(versionVariable)])
  return [...kubefile.globalArgs, ...placed].flatMap((instruction): readonly Finding[] => {
    switch (instruction.kind) {
      case 'BASE':
        return checkBaseVersion(instruction)
      case 'ARG':
      case 'ENV':
        return instruction.pairs.flatMap(({ key, value }) => (names.has(key.text) ? checkDefault(value) : []))
      case 'RUN':
        return checkScript(scriptOf(instruction))
      default:
        return []
    }
  })
}

/** The variable that says which k3s BASE lays down. */
function versionVariable(instruction: Instruction): readonly string[] {
  if (instruction.kind !== 'BASE' || instruction.template.text !== 'k3s') return []
  return (
    /^\$(?:(\w+)|\{(\w+)\})$/
      .exec(instruction.version?.text ?? '')
      ?.slice(1)
      .filter(Boolean) ?? []
  )
}

/** A warning: --build-arg may give another value. */
function checkDefault(value: Word | undefined): readonly Finding[] {
  const why = value === undefined || value.text.includes('$') ? undefined : explainK3sVersion(value.text)
  if (value === undefined || why === undefined) return []
  return [
    {
      ...why,
      severity: 'warning',
      span: value.span,
      fix: why.meant === undefined ? undefined : replaceWord(value, why.meant),
    },
  ]
}

function scriptOf({ command }: Run): Word {
  switch (command.form) {
    case 'shell':
      return command.script
    case 'heredoc':
      return { text: command.heredoc.body, span: command.heredoc.bodySpan }
    case 'exec':
      // What a shell is given stands last.
      return command.argv.at(-1)!
  }
}

const installVersion = /\bINSTALL_K3S_VERSION=["']?(v?\d+\.\d+\.\d+[\w.+-]*)/g

function checkScript(script: Word): readonly Finding[] {
  return Array.from(script.text.matchAll(installVersion)).flatMap(({ 0: whole, 1: version = '', index }) => {
    const why = explainK3sVersion(version)
    if (why === undefined) return []
    const span = spanInWord(script, index + whole.length - version.length, index + whole.length)
    return [
      { ...why, span, fix: why.meant === undefined ? undefined : replaceWord({ text: version, span }, why.meant) },
    ]
  })
}

function checkBaseVersion({ template, version }: Base): readonly Finding[] {
  if (template.text !== 'k3s' || version === undefined || version.text.includes('$')) return []
  const why = explainK3sVersion(version.text)
  if (why === undefined) return []
  return [{ ...why, span: version.span, fix: why.meant === undefined ? undefined : replaceWord(version, why.meant) }]
}

function checkUnversioned({ template, version }: Base): readonly Finding[] {
  const { text, span } = template
  if (version !== undefined || text === rootfsTemplate || isTemplatePath(text) || text.includes('$')) return []
  return [
    {
      message: `BASE ${text} has no version: the stable one is resolved once and kept in the lock`,
      span,
      hint: `write BASE ${text}@stable, or a version`,
      fix: /^[\w.-]+$/.test(text) ? replaceWord(template, `${text}@stable`) : undefined,
    },
  ]
}
