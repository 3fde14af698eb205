import type { Diagnostic, Edit, Span } from '../../core/diagnostic.ts'
import type { Instruction, Kubefile, Stage, Word } from '../ast.ts'

export interface Finding {
  readonly message: string
  readonly span: Span
  readonly hint?: string
  /** What can be written instead without changing what is built. */
  readonly fix?: readonly Edit[] | undefined
  /** Where it is not the rule's. */
  readonly severity?: Diagnostic['severity']
}

/** One thing that is looked for. Each has a page `docs/rules/<id>.md`. */
export interface LintRule {
  readonly id: string
  readonly severity: Diagnostic['severity']
  readonly summary: string
  /** Whether `lint --fix` can mend some of what it finds. */
  readonly fixes?: true
  /** Part of parsing: what it finds to be an error keeps the file from being planned. */
  readonly guard?: true
  /** Undefined where the parser itself finds it. */
  readonly check?: (subject: LintSubject) => readonly Finding[]
}

/** A container image that a file of the context names. */
export interface NamedImage {
  /** In full. */
  readonly image: string
  readonly file: string
  readonly line: number
}

/** What rules want to know of the build context. */
export interface ContextFacts {
  /** What a source of COPY names; wildcards match as in a build. */
  find(source: string): readonly { readonly path: string; readonly type: 'file' | 'directory' | 'symlink' }[]
  /** Whether something is there that `.dockerignore` leaves out. */
  isIgnored(source: string): boolean
  /** Images that manifests name. */
  readonly named: readonly NamedImage[]
  /** Images of `manifests/imageList` in full; undefined where there is no such file. */
  readonly listed: ReadonlySet<string> | undefined
}

export interface LintSubject {
  readonly kubefile: Kubefile
  /** Whether the lock pins an image or URL; undefined: nothing is said of pins, as a build makes them. */
  readonly isPinned?: ((locator: string) => boolean) | undefined
  /** Undefined: nothing is said of files. */
  readonly context?: ContextFacts | undefined
  /** The stage that is built; the last one unless told. */
  readonly target?: string | undefined
}

/** An instruction with where it stands. */
export interface Placed {
  readonly stage: Stage
  readonly index: number
  readonly instruction: Instruction
}

/** All instructions of all stages; what ONBUILD defers in its place. */
export function placedInstructions({ stages }: Kubefile): readonly Placed[] {
  return stages.flatMap((stage, index) =>
    stage.instructions.map(instruction => ({
      stage,
      index,
      instruction: instruction.kind === 'ONBUILD' ? instruction.instruction : instruction,
    })),
  )
}

export function stageName({ from }: Stage): string | undefined {
  return from?.as?.text.toLowerCase()
}

/** The edit that writes `text` for a word; undefined where continuations or JSON make the exact place unknown. */
export function replaceWord({ text, span }: Word, by: string): readonly Edit[] | undefined {
  const isExact = span.end.offset - span.start.offset === text.length
  return isExact ? [{ start: span.start.offset, end: span.end.offset, text: by }] : undefined
}
