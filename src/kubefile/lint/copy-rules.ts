import { type Copy, findFlag, isHeredoc, type Word } from '../ast.ts'
import { hasWildcards } from '../pattern.ts'
import { unquoteWord } from '../words.ts'
import { type Finding, type LintRule, type LintSubject, placedInstructions } from './rule.ts'
import { contextSources, isRemote } from './context-sources.ts'

export const copyRules: readonly LintRule[] = [
  {
    id: 'wildcard-flattens',
    severity: 'warning',
    summary: 'a wildcard of COPY matches directories, whose names are lost',
    check: checkWildcards,
  },
  {
    id: 'missing-source',
    severity: 'error',
    summary: 'a source is not in the context',
    check: checkMissing,
  },
  {
    id: 'add-archive',
    severity: 'warning',
    summary: 'ADD of a local archive: docker unpacks it, cloudimg does not unless told',
    fixes: true,
    check: subject => addedFiles(subject).flatMap(({ add, word, path }) => checkArchive(add, word, path)),
  },
  {
    id: 'add-local',
    severity: 'warning',
    summary: 'ADD of local files, for which COPY is meant',
    fixes: true,
    check: checkAddLocal,
  },
  {
    id: 'add-without-checksum',
    severity: 'warning',
    summary: 'a URL is pinned neither by --checksum nor by the lock',
    check: checkUrls,
  },
  {
    id: 'unlisted-image',
    severity: 'warning',
    summary: 'a manifest names an image that manifests/imageList lacks',
    check: checkImageList,
  },
]

function checkWildcards(subject: LintSubject): readonly Finding[] {
  const { context } = subject
  if (context === undefined) return []
  return contextSources(subject, ['COPY', 'ADD']).flatMap(({ source, span }) => {
    if (!hasWildcards(source)) return []
    const directories = context.find(source).filter(({ type }) => type === 'directory')
    if (directories.length === 0) return []
    const names = directories.map(({ path }) => `${path}/`).join(', ')
    const parent = source.includes('/') ? source.slice(0, source.lastIndexOf('/') + 1) : '.'
    return [
      {
        message: `"${source}" matches ${names}: what is in them is copied without their names`,
        span,
        hint: `to keep the directories, copy their parent: ${parent}`,
      },
    ]
  })
}

function checkMissing(subject: LintSubject): readonly Finding[] {
  const { context } = subject
  if (context === undefined) return []
  return contextSources(subject, ['COPY', 'ADD', 'APP', 'CNI', 'CSI']).flatMap(({ source, span }) => {
    if (hasWildcards(source) || context.find(source).length > 0) return []
    if (context.isIgnored(source)) {
      const hint = `take it back in: write !${source} as the last line of the ignore file`
      return [{ message: `.dockerignore leaves "${source}" out`, span, hint }]
    }
    const hint = 'paths are relative to the root of the context'
    return [{ message: `"${source}" is not in the context`, span, hint }]
  })
}

const archivePattern = /\.(?:tar(?:\.(?:gz|bz2|xz|zst|lz4))?|tgz|tbz2?|txz|tzst)$/i

interface Added {
  readonly add: Copy
  readonly word: Word
  readonly path: string
}

/** What ADD takes from the context. */
function addedFiles({ kubefile }: LintSubject): readonly Added[] {
  return placedInstructions(kubefile).flatMap(({ instruction }) => {
    if (instruction.kind !== 'ADD') return []
    return instruction.sources.flatMap(source => {
      if (isHeredoc(source)) return []
      const path = instruction.form === 'json' ? source.text : unquoteWord(source.text, kubefile.escape)
      return isRemote(path) || path.startsWith('$') ? [] : [{ add: instruction, word: source, path }]
    })
  })
}

function checkArchive(add: Copy, { span }: Word, path: string): readonly Finding[] {
  if (!archivePattern.test(path) || findFlag(add, 'unpack') !== undefined) return []
  return [
    {
      message: `ADD leaves "${path}" whole; docker would unpack it`,
      span,
      hint: 'write COPY to keep it whole, or ADD --unpack=true to unpack it',
      fix: asCopy(add),
    },
  ]
}

function checkAddLocal(subject: LintSubject): readonly Finding[] {
  const adds = new Map(addedFiles(subject).map(added => [added.add, added.path]))
  return [...adds.keys()].flatMap(add => {
    const fix = asCopy(add)
    const isArchive = add.sources.some(source => archivePattern.test(source.text.replace(/["']$/, '')))
    if (fix === undefined || isArchive) return []
    const [edit] = fix
    const { start } = add.span
    const end = { ...start, offset: edit!.end, column: start.column + edit!.end - edit!.start }
    return [{ message: 'ADD takes nothing here that COPY would not', span: { start, end }, hint: 'write COPY', fix }]
  })
}

/** The edit that makes COPY of it, where all its sources are local and no flag is ADD's alone. */
function asCopy(add: Copy): Finding['fix'] {
  const isPlain = ['unpack', 'checksum', 'keep-git-dir'].every(name => findFlag(add, name) === undefined)
  const isLocal = add.sources.every(source => isHeredoc(source) || !/^["']?(?:\$|\w+:\/\/|[\w.-]+@)/.test(source.text))
  const { offset } = add.span.start
  // A keyword that is broken by a continuation is left alone.
  const isWhole = add.original.slice(0, 3).toUpperCase() === 'ADD'
  return isPlain && isLocal && isWhole ? [{ start: offset, end: offset + 3, text: 'COPY' }] : undefined
}

function checkUrls({ kubefile, isPinned }: LintSubject): readonly Finding[] {
  if (isPinned === undefined) return []
  return placedInstructions(kubefile).flatMap(({ instruction }) => {
    if (instruction.kind !== 'ADD' || findFlag(instruction, 'checksum') !== undefined) return []
    return instruction.sources.flatMap(source => {
      if (isHeredoc(source)) return []
      const url = instruction.form === 'json' ? source.text : unquoteWord(source.text, kubefile.escape)
      if (!/^https?:\/\//i.test(url) || url.includes('$') || isPinned(url)) return []
      return [
        {
          message: `what "${url}" brings is not pinned`,
          span: source.span,
          hint: 'run cloudimg lock, or write --checksum=sha256:…',
        },
      ]
    })
  })
}

function checkImageList({ kubefile, context }: LintSubject): readonly Finding[] {
  if (context?.listed === undefined) return []
  const { listed, named } = context
  const collects = kubefile.stages.at(-1)
  const last = collects?.instructions.at(-1) ?? collects?.from
  if (last === undefined) return []
  return named
    .filter(({ image }) => !listed.has(image))
    .map(({ image, file, line }) => ({
      message: `${file}:${line} names ${image}, which is not in manifests/imageList`,
      span: last.span,
      hint: `add the line ${image}`,
    }))
}
