import {
  type App,
  type AppCmds,
  type AppEnv,
  type Arg,
  type Base,
  type Cmd,
  type Copy,
  type Env,
  type ExecForm,
  type From,
  type Healthcheck,
  type Heredoc,
  type Instruction,
  type InstructionKind,
  type List,
  type Pair,
  type Run,
  type Shell,
  type ShellForm,
  type Text,
  type Word,
  findFlag,
  isHeredoc,
} from './ast.ts'
import {
  type Arguments,
  type JsonWords,
  allOf,
  checkExpansion,
  jsonWordsOf,
  lineOf,
  pairAt,
  report,
  wordAt,
  wordsOf,
  wrongArguments,
} from './arguments.ts'
import { rootfsTemplate, versionMark } from './base-template.ts'
import { suggest } from '../core/suggest.ts'
import { type Range, endOfWord, skipBlanks, splitWords } from './words.ts'

type SimpleKind = Exclude<InstructionKind, 'ONBUILD'>
type Parser = (args: Arguments) => Instruction | undefined

/** Reads one instruction's arguments; undefined where they are wrong, which is reported. ONBUILD is `parse-instruction`'s. */
export const argumentParsers: Readonly<Record<SimpleKind, Parser>> = {
  FROM: parseFrom,
  BASE: parseBase,
  COPY: args => parseCopy(args, 'COPY'),
  ADD: args => parseCopy(args, 'ADD'),
  RUN: parseRun,
  CMD: args => parseCmd(args, 'CMD'),
  ENTRYPOINT: args => parseCmd(args, 'ENTRYPOINT'),
  HEALTHCHECK: parseHealthcheck,
  SHELL: parseShell,
  ARG: parseArg,
  ENV: args => parseEnv(args, 'ENV'),
  LABEL: args => parseEnv(args, 'LABEL'),
  WORKDIR: args => parseText(args, 'WORKDIR'),
  USER: args => parseText(args, 'USER'),
  STOPSIGNAL: args => parseText(args, 'STOPSIGNAL'),
  MAINTAINER: args => parseText(args, 'MAINTAINER'),
  KUBEVERSION: args => parseText(args, 'KUBEVERSION'),
  EXPOSE: args => parseList(args, 'EXPOSE'),
  VOLUME: args => parseList(args, 'VOLUME'),
  LAUNCH: args => parseList(args, 'LAUNCH'),
  CMDS: args => parseList(args, 'CMDS'),
  APP: args => parseApp(args, 'APP'),
  CNI: args => parseApp(args, 'CNI'),
  CSI: args => parseApp(args, 'CSI'),
  APPENV: parseAppEnv,
  APPCMDS: parseAppCmds,
}

function parseFrom(args: Arguments): From | undefined {
  const words = wordsOf(args)
  if (words === undefined) return undefined
  const [image, as, name] = words
  const flag = findFlag(args.common, 'platform')?.value
  const from = {
    kind: 'FROM' as const,
    ...args.common,
    image: wordAt(args, image!),
    ...(flag === undefined ? {} : { platform: flag }),
  }
  if (as === undefined) return from
  if (name === undefined || textOf(args, as).toUpperCase() !== 'AS') {
    return wrongArguments(args, 'behind the image only AS and a name may stand', {
      start: as.start,
      end: allOf(args).end,
    })
  }
  return { ...from, as: wordAt(args, name) }
}

function parseBase(args: Arguments): Base | undefined {
  const words = wordsOf(args)
  if (words === undefined) return undefined
  const [first, second] = words
  if (second !== undefined && textOf(args, second).toLowerCase() !== 'cache') {
    return report(
      args,
      'arguments',
      `"${textOf(args, second)}" is no word of BASE`,
      second,
      suggest(textOf(args, second), ['cache']) === undefined ? `write ${args.spec.usage}` : 'did you mean cache?',
    )
  }
  const base = { kind: 'BASE' as const, ...args.common, cache: second !== undefined }
  const mark = versionMark(textOf(args, first!))
  if (mark === undefined) return { ...base, template: wordAt(args, first!) }
  const template = wordAt(args, { start: first!.start, end: first!.start + mark })
  const version = wordAt(args, { start: first!.start + mark + 1, end: first!.end })
  if (template.text === '' || version.text === '') {
    return wrongArguments(args, `"@" stands between a template's name and its version`, first)
  }
  if (template.text === rootfsTemplate) {
    return report(args, 'arguments', 'rootfs is the tree so far and has no version', first!, 'write BASE rootfs cache')
  }
  return { ...base, template, version }
}

function parseCopy(args: Arguments, kind: Copy['kind']): Copy | undefined {
  const json = jsonWordsOf(args)
  if (json.kind === 'wrong') return undefined
  const isJson = json.kind === 'strings'
  const items = isJson ? json.words : wordsOf(args)?.map(range => args.heredocs.get(range.start) ?? wordAt(args, range))
  if (items === undefined) return undefined
  const target = items.at(-1)
  if (items.length < 2 || target === undefined) {
    return wrongArguments(args, `${kind} has no target`)
  }
  if (isHeredoc(target)) {
    const start = args.line.text.lastIndexOf(target.text)
    return wrongArguments(args, 'a heredoc cannot be the target', { start, end: start + target.text.length })
  }
  return { kind, ...args.common, sources: items.slice(0, -1), target, form: isJson ? 'json' : 'words' }
}

function parseRun(args: Arguments): Run | undefined {
  const heredocs = [...args.heredocs.values()]
  const whole = allOf(args)
  const [only] = heredocs
  if (heredocs.length === 1 && only?.fd === undefined && only?.text === args.line.text.slice(whole.start, whole.end)) {
    return { kind: 'RUN', ...args.common, command: { form: 'heredoc', heredoc: only } }
  }
  const command = parseCommand(args, args.start, heredocs)
  return command === undefined ? undefined : { kind: 'RUN', ...args.common, command }
}

function parseCmd(args: Arguments, kind: Cmd['kind']): Cmd | undefined {
  const command = parseCommand(args, args.start, [])
  return command === undefined ? undefined : { kind, ...args.common, command }
}

/** Exec form iff it is a JSON array of strings, else the rest of the line for the shell. */
function parseCommand(args: Arguments, start: number, heredocs: readonly Heredoc[]): ShellForm | ExecForm | undefined {
  const json = jsonWordsOf(args, start)
  if (json.kind === 'wrong') return undefined
  if (json.kind === 'strings') {
    if (json.words.length < args.spec.min) return wrongArguments(args, 'the array is empty')
    return { form: 'exec', argv: json.words }
  }
  const range = { start, end: args.line.text.length }
  if (range.start >= range.end) return wrongArguments(args, `${args.spec.kind} has no command`)
  return { form: 'shell', script: wordAt(args, range), heredocs }
}

function parseHealthcheck(args: Arguments): Healthcheck | undefined {
  const { text } = args.line
  const first = { start: args.start, end: endOfWord(text, args.start, args.escape) }
  const rest = skipBlanks(text, first.end)
  const word = textOf(args, first).toUpperCase()
  if (word === 'NONE' && rest >= text.length) return { kind: 'HEALTHCHECK', ...args.common, command: undefined }
  if (word !== 'CMD') return wrongArguments(args, 'HEALTHCHECK is either CMD and a command, or NONE')
  const command = parseCommand(args, rest, [])
  return command === undefined ? undefined : { kind: 'HEALTHCHECK', ...args.common, command }
}

function parseShell(args: Arguments): Shell | undefined {
  const argv = requiredJson(args, args.start)
  return argv === undefined ? undefined : { kind: 'SHELL', ...args.common, argv }
}

function requiredJson(args: Arguments, start: number): readonly Word[] | undefined {
  const json = jsonWordsOf(args, start)
  if (json.kind === 'wrong') return undefined
  if (json.kind === 'strings' && json.words.length > 0) return json.words
  const isEmpty = json.kind === 'strings'
  const at = start < args.line.text.length ? { start, end: args.line.text.length } : undefined
  return wrongArguments(
    args,
    `${args.spec.kind} needs a JSON array of strings${isEmpty ? ', and this one is empty' : ''}`,
    at,
  )
}

function parseArg(args: Arguments): Arg | undefined {
  const pairs = wordsOf(args)?.map(range => pairAt(args, range))
  return pairs === undefined || !isComplete(pairs) ? undefined : { kind: 'ARG', ...args.common, pairs }
}

function isComplete<T>(items: readonly (T | undefined)[]): items is readonly T[] {
  return items.every(item => item !== undefined)
}

/** `NAME=VALUE…`, or where the first word has no `=`, `NAME` and the rest of the line as its value. */
function parseEnv(args: Arguments, kind: Env['kind']): Env | undefined {
  const words = wordsOf(args)
  const [first] = words ?? []
  if (words === undefined || first === undefined) return undefined
  if (textOf(args, first).includes('=')) {
    const pairs = fullPairs(args, words)
    return pairs === undefined ? undefined : { kind, ...args.common, pairs, legacy: false }
  }
  const rest = { start: skipBlanks(args.line.text, first.end), end: args.line.text.length }
  if (rest.start >= rest.end) return wrongArguments(args, `${kind} ${textOf(args, first)} has no value`, first)
  return { kind, ...args.common, pairs: [{ key: wordAt(args, first), value: wordAt(args, rest) }], legacy: true }
}

function fullPairs(args: Arguments, words: readonly Range[]): readonly (Pair & { readonly value: Word })[] | undefined {
  const pairs = words.map(range => {
    const pair = pairAt(args, range)
    if (pair === undefined || pair.value !== undefined) return pair
    return report(
      args,
      'arguments',
      `"${pair.key.text}" has no "="`,
      range,
      'write NAME=VALUE, and put a value with blanks in double quotes',
    )
  })
  return isComplete(pairs) ? (pairs as readonly (Pair & { readonly value: Word })[]) : undefined
}

function parseText(args: Arguments, kind: Text['kind']): Text | undefined {
  const value = lineOf(args)
  return value === undefined ? undefined : { kind, ...args.common, value }
}

function parseList(args: Arguments, kind: List['kind']): List | undefined {
  if (args.spec.json === 'required') {
    const items = requiredJson(args, args.start)
    return items === undefined ? undefined : { kind, ...args.common, items, form: 'json' }
  }
  const json = args.spec.json === 'never' ? { kind: 'no-json' as const } : jsonWordsOf(args)
  if (json.kind === 'wrong') return undefined
  if (json.kind === 'strings') {
    if (json.words.length === 0) return wrongArguments(args, 'the array is empty')
    return { kind, ...args.common, items: json.words, form: 'json' }
  }
  const items = wordsOf(args)?.map(range => wordAt(args, range))
  return items === undefined ? undefined : { kind, ...args.common, items, form: 'words' }
}

function parseApp(args: Arguments, kind: App['kind']): App | undefined {
  const whole = jsonWordsOf(args)
  const json = whole.kind === 'no-json' ? jsonSources(args) : whole
  if (json.kind === 'wrong') return undefined
  const isJson = json.kind === 'strings'
  const words = isJson ? json.words : wordsOf(args)?.map(range => wordAt(args, range))
  if (words === undefined) return undefined
  const [name, ...sources] = words
  if (name === undefined || sources.length === 0) return wrongArguments(args, `${kind} has no source`)
  return { kind, ...args.common, name, sources, form: isJson ? 'json' : 'words' }
}

/** `APP name ["source", …]` */
function jsonSources(args: Arguments): JsonWords {
  const { text } = args.line
  const name = { start: args.start, end: endOfWord(text, args.start, args.escape) }
  const sources = jsonWordsOf(args, skipBlanks(text, name.end))
  return sources.kind === 'strings' ? { kind: 'strings', words: [wordAt(args, name), ...sources.words] } : sources
}

function parseAppEnv(args: Arguments): AppEnv | undefined {
  const words = wordsOf(args)
  const [app, ...rest] = words ?? []
  if (app === undefined) return undefined
  const pairs = fullPairs(args, rest)
  return pairs === undefined ? undefined : { kind: 'APPENV', ...args.common, app: wordAt(args, app), pairs }
}

function parseAppCmds(args: Arguments): AppCmds | undefined {
  const [app] = splitWords(args.line.text, args.start, args.escape)
  if (app === undefined) return wrongArguments(args, 'APPCMDS has no arguments')
  const argv = requiredJson(args, skipBlanks(args.line.text, app.end))
  const word = wordAt(args, app)
  checkExpansion(args, word)
  return argv === undefined ? undefined : { kind: 'APPCMDS', ...args.common, app: word, argv }
}

function textOf(args: Arguments, range: Range): string {
  return args.line.text.slice(range.start, range.end)
}
