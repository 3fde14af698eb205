import type { Position, Span } from '../core/diagnostic.ts'

export type { Position, Span }

/** The character that continues lines and protects `$`, quotes and blanks; the directive `# escape=` chooses it. */
export type Escape = '\\' | '`'

/**
 * One argument. `text` is what `expandWord` takes: as written, quotes, escapes and variables included; in JSON form the
 * decoded string. Line continuations are gone from it; `span` covers them.
 */
export interface Word {
  readonly text: string
  readonly span: Span
}

export interface Heredoc {
  /** The word that announces it, as written: `<<-"EOF"`. */
  readonly text: string
  /** The delimiter without quotes; the file's name in COPY and ADD. */
  readonly name: string
  /** As written, line ends included; leading tabs are gone where `stripTabs`. */
  readonly body: string
  /** False where any part of the delimiter was quoted. */
  readonly expand: boolean
  readonly stripTabs: boolean
  /** The number before `<<`. */
  readonly fd: number | undefined
  readonly span: Span
  readonly bodySpan: Span
}

/** `--name` or `--name=value`; the value as written, see `unquoteWord` for flags that do not expand. */
export interface Flag {
  readonly name: string
  readonly value: Word | undefined
  readonly span: Span
}

export interface Pair {
  readonly key: Word
  readonly value: Word | undefined
}

/** How a list was written; it does not change what the list means. */
export type ListForm = 'words' | 'json'

export interface ExecForm {
  readonly form: 'exec'
  readonly argv: readonly Word[]
}

export interface ShellForm {
  readonly form: 'shell'
  /** For the shell, never expanded here. */
  readonly script: Word
  /** Announced inside `script`; their bodies and delimiters follow it when the shell reads it. */
  readonly heredocs: readonly Heredoc[]
}

/** `RUN <<EOF` and nothing more: the body is the script, a program of its own where it begins with `#!`. */
export interface HeredocForm {
  readonly form: 'heredoc'
  readonly heredoc: Heredoc
}

/** What every instruction has. `span` ends after the last heredoc's delimiter. */
export interface Located<K extends string> {
  readonly kind: K
  readonly span: Span
  readonly flags: readonly Flag[]
  /** Comment lines since the instruction before, those between its own lines included; without `#` and one blank. */
  readonly comments: readonly string[]
  /** The logical line: continuations joined, heredoc bodies left out. For `created_by`. */
  readonly original: string
}

export interface From extends Located<'FROM'> {
  readonly image: Word
  readonly platform?: Word
  readonly as?: Word
}

/** `BASE k3s@v1.31.4+k3s1`, `BASE ./dir`, or `BASE rootfs` (collect the images of the tree so far). `cache` changes nothing. */
export interface Base extends Located<'BASE'> {
  readonly template: Word
  readonly version?: Word
  readonly cache: boolean
}

export interface Copy extends Located<'COPY' | 'ADD'> {
  readonly sources: readonly (Word | Heredoc)[]
  readonly target: Word
  readonly form: ListForm
}

export interface Run extends Located<'RUN'> {
  readonly command: ShellForm | ExecForm | HeredocForm
}

export interface Cmd extends Located<'CMD' | 'ENTRYPOINT'> {
  readonly command: ShellForm | ExecForm
}

export interface Healthcheck extends Located<'HEALTHCHECK'> {
  /** Undefined for `HEALTHCHECK NONE`. */
  readonly command: ShellForm | ExecForm | undefined
}

export interface Shell extends Located<'SHELL'> {
  readonly argv: readonly Word[]
}

export interface Arg extends Located<'ARG'> {
  readonly pairs: readonly Pair[]
}

export interface Env extends Located<'ENV' | 'LABEL'> {
  readonly pairs: readonly (Pair & { readonly value: Word })[]
  /** `ENV KEY all the rest`: one pair, its value the rest of the line. */
  readonly legacy: boolean
}

/** Instructions whose argument is the rest of the line. */
export interface Text extends Located<'WORKDIR' | 'USER' | 'STOPSIGNAL' | 'MAINTAINER' | 'KUBEVERSION'> {
  readonly value: Word
}

/** EXPOSE ports, VOLUME paths, LAUNCH application names, CMDS commands (each a line for the shell). */
export interface List extends Located<'EXPOSE' | 'VOLUME' | 'LAUNCH' | 'CMDS'> {
  readonly items: readonly Word[]
  readonly form: ListForm
}

export interface App extends Located<'APP' | 'CNI' | 'CSI'> {
  readonly name: Word
  /** `local://path`, `http://…` or `https://…`. */
  readonly sources: readonly Word[]
  readonly form: ListForm
}

export interface AppEnv extends Located<'APPENV'> {
  readonly app: Word
  readonly pairs: readonly (Pair & { readonly value: Word })[]
}

/** The words of one command, as an exec form: sealer joins them by blanks. */
export interface AppCmds extends Located<'APPCMDS'> {
  readonly app: Word
  readonly argv: readonly Word[]
}

export interface Onbuild extends Located<'ONBUILD'> {
  readonly instruction: Instruction
}

export type Instruction =
  From | Base | Copy | Run | Cmd | Healthcheck | Shell | Arg | Env | Text | List | App | AppEnv | AppCmds | Onbuild

export type InstructionKind = Instruction['kind']

export interface Directive {
  readonly name: string
  readonly value: string
  readonly span: Span
}

export interface Stage {
  /** Undefined: an implicit `FROM scratch` before line 1. */
  readonly from: From | undefined
  readonly instructions: readonly Instruction[]
}

export interface Kubefile {
  readonly filename: string
  readonly source: string
  readonly escape: Escape
  readonly directives: readonly Directive[]
  /** The ARGs before the first FROM; none where FROM is implicit. */
  readonly globalArgs: readonly Arg[]
  readonly stages: readonly Stage[]
  /** Comment lines after the last instruction. */
  readonly trailingComments: readonly string[]
}

export function isHeredoc(source: Word | Heredoc): source is Heredoc {
  return 'body' in source
}

export function findFlag(instruction: Pick<Instruction, 'flags'>, name: string): Flag | undefined {
  return instruction.flags.find(flag => flag.name === name)
}

/** `--link` and `--link=true` are on, `--link=false` and nothing are off. */
export function isFlagOn(instruction: Pick<Instruction, 'flags'>, name: string): boolean {
  const flag = findFlag(instruction, name)
  return flag !== undefined && (flag.value === undefined || flag.value.text.toLowerCase() === 'true')
}

/** The span of `word.text[start, end)`; the whole word where a continuation or JSON escape makes the exact place unknown. */
export function spanInWord({ text, span }: Word, start: number, end: number): Span {
  const isExact = span.end.line === span.start.line && span.end.offset - span.start.offset === text.length
  return isExact ? { start: moved(span.start, start), end: moved(span.start, end) } : span
}

function moved({ offset, line, column }: Position, by: number): Position {
  return { offset: offset + by, line, column: column + by }
}

/** The instruction's word itself: where a message about the whole instruction points. */
export function keywordSpan(instruction: Pick<Instruction, 'kind' | 'span'>): Span {
  const { start } = instruction.span
  return { start, end: moved(start, instruction.kind.length) }
}
