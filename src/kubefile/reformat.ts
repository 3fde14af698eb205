import type { Escape } from './ast.ts'
import { instructionSpec, type InstructionSpec } from './instructions.ts'
import { parseJsonStrings } from './json-form.ts'
import { isDirective, type LogicalLine, lexKubefile } from './lex.ts'
import { positionAt } from './logical-text.ts'
import { type Range, skipBlanks, splitHead, splitWords, trimmedEnd } from './words.ts'

const indent = '    '

/**
 * A Kubefile that parses, in canonical form: keywords in capitals, single blanks between arguments, continued arguments
 * indented by four, no blank line but single ones, and one before each further stage. Comments, continuations,
 * here-documents and what a shell reads stay as they are: the AST is the same. A second time changes nothing.
 */
export function reformatSource(source: string): string {
  return new Formatter(source).format()
}

/** One piece of an instruction's line as it is to stand there. */
interface Token {
  readonly range: Range
  readonly text: string
}

class Formatter {
  readonly #source: string
  readonly #eol: string
  readonly #lexed: ReturnType<typeof lexKubefile>
  readonly #physical: readonly string[]
  readonly #out: string[] = []
  #stages = 0

  constructor(source: string) {
    this.#source = source
    this.#eol = /\r?\n/.exec(source)?.[0] ?? '\n'
    this.#lexed = lexKubefile(source)
    this.#physical = source
      .replace(/^\uFEFF/, '')
      .split('\n')
      .map(line => line.slice(0, trimmedEnd(line)))
  }

  format(): string {
    const { directives, lines } = this.#lexed
    for (const { name, value } of directives) this.#out.push(`# ${name}=${value}`)
    let next = directives.length
    for (const line of lines) {
      const { keyword } = splitHead(line.text.text, 0, this.#lexed.escape)
      const first = positionAt(line.text.lines, line.text.offsets[keyword.start]!).line - 1
      this.#copyBetween(next, first)
      next = this.#addInstruction(line, first)
    }
    this.#copyBetween(next, this.#physical.length)
    return this.#text()
  }

  #text(): string {
    const out = this.#out
    while (out.at(-1) === '') out.pop()
    return out.length === 0 ? '' : `${out.join(this.#eol)}${this.#eol}`
  }

  /** Comments, and one blank line for many. */
  #copyBetween(from: number, to: number): void {
    for (const line of this.#physical.slice(from, to)) {
      const text = line.slice(skipBlanks(line, 0))
      // A continuation of nothing, before the keyword.
      if (text === this.#lexed.escape) continue
      // Without a blank line the comment would be a directive.
      if (this.#out.length === this.#lexed.directives.length && isDirective(text)) this.#out.push('')
      if (text !== '' || (this.#out.length > 0 && this.#out.at(-1) !== '')) this.#out.push(text)
    }
  }

  /** Gives the number of the physical line behind the instruction. */
  #addInstruction(line: LogicalLine, first: number): number {
    const { text, heredocs, end } = line
    const last = positionAt(text.lines, text.offsets.at(-1)!).line - 1
    const lineEnd = text.lines.starts[last + 1] ?? this.#source.length
    const { keyword } = splitHead(text.text, 0, this.#lexed.escape)
    if (text.text.slice(keyword.start, keyword.end).toUpperCase() === 'FROM' && ++this.#stages > 1) this.#separate()
    // A continuation into nothing: only at the end of the file.
    const isOpen = this.#source.slice(text.offsets.at(-1)! + 1, lineEnd).trim() !== ''
    const tokens = isOpen ? undefined : this.#tokens(line, 0)
    const written = tokens === undefined ? this.#verbatim(first, last) : this.#joined(line, tokens)
    if (heredocs.size === 0) {
      this.#out.push(written)
      return last + 1
    }
    // One piece with its bodies, which may begin with "#" and are no comments.
    this.#out.push(`${written}${this.#eol}${this.#source.slice(lineEnd, end)}`)
    return positionAt(text.lines, end).line
  }

  #verbatim(first: number, last: number): string {
    const lines = this.#physical.slice(first, last + 1)
    return lines.join(this.#eol).slice(skipBlanks(lines[0]!, 0))
  }

  /** A blank line before the comments that stand directly above. */
  #separate(): void {
    let at = this.#out.length
    while (this.#out[at - 1]?.startsWith('#') === true) at--
    if (at > 0 && this.#out[at - 1] !== '') this.#out.splice(at, 0, '')
  }

  /** Undefined where the keyword, a flag or the `--` behind them is broken by a continuation. */
  #tokens(line: LogicalLine, from: number): readonly Token[] | undefined {
    const { text } = line.text
    const { escape } = this.#lexed
    const { keyword, flags, rest } = splitHead(text, from, escape)
    if ([keyword, ...flags].some(range => !this.#isWhole(line, range))) return undefined
    const kind = text.slice(keyword.start, keyword.end).toUpperCase()
    const spec = instructionSpec(kind)
    const head: Token[] = [keyword, ...flags].map(range => ({ range, text: text.slice(range.start, range.end) }))
    head[0] = { range: keyword, text: kind }
    const flagEnd = (flags.at(-1) ?? keyword).end
    const marked = skipBlanks(text, flagEnd)
    if (text.startsWith('--', marked) && marked < rest) {
      const range = { start: marked, end: marked + 2 }
      if (!this.#isWhole(line, range)) return undefined
      head.push({ range, text: '--' })
    }
    if (rest >= text.length || spec === undefined) return head
    if (kind === 'ONBUILD') {
      const inner = this.#tokens(line, rest)
      return inner === undefined ? undefined : [...head, ...inner]
    }
    return [...head, ...this.#arguments(line, spec, rest, escape)]
  }

  #arguments(line: LogicalLine, spec: InstructionSpec, rest: number, escape: Escape): readonly Token[] {
    const { text } = line.text
    const words = spec.split === 'words' || spec.kind === 'HEALTHCHECK' ? splitWords(text, rest, escape) : []
    const count = this.#wordCount(line, spec, words)
    const tokens = words.slice(0, count).map((range, index) => ({
      range,
      text:
        (this.#isWhole(line, range) ? caseOf(spec.kind, index, text.slice(range.start, range.end)) : undefined) ??
        this.#raw(line, range),
    }))
    const start = count === 0 ? rest : (words[count]?.start ?? text.length)
    if (start >= text.length) return tokens
    const range = { start, end: text.length }
    return [
      ...tokens,
      { range, text: (spec.json === 'never' ? undefined : this.#array(line, range)) ?? this.#raw(line, range) },
    ]
  }

  /** How many arguments are words; the rest, if any, is an array or a text of its own. */
  #wordCount(line: LogicalLine, { kind, json }: InstructionSpec, words: readonly Range[]): number {
    const { text } = line.text
    const [first, second] = words
    if (kind === 'HEALTHCHECK') return Math.min(1, words.length)
    if (first === undefined) return 0
    if ((kind === 'ENV' || kind === 'LABEL') && !text.slice(first.start, first.end).includes('=')) return 1
    if (json === 'never') return words.length
    if (parseJsonStrings(text, first.start).kind === 'strings') return 0
    const isNamed =
      second !== undefined && namedArrays.has(kind) && parseJsonStrings(text, second.start).kind === 'strings'
    return isNamed ? 1 : words.length
  }

  /** A JSON array on one line, in one layout. */
  #array(line: LogicalLine, range: Range): string | undefined {
    const { text } = line.text
    const form = parseJsonStrings(text, range.start)
    if (form.kind !== 'strings' || !this.#isWhole(line, range)) return undefined
    return `[${form.items.map(({ start, end }) => text.slice(start, end)).join(', ')}]`
  }

  #isWhole({ text: { offsets } }: LogicalLine, { start, end }: Range): boolean {
    const [first, last] = [offsets[start] ?? 0, offsets[end - 1] ?? 0]
    return last - first === end - 1 - start
  }

  /** As it stands, with its own continuations; blanks at line ends and blank lines, which mean nothing, are left out. */
  #raw({ text: { offsets } }: LogicalLine, { start, end }: Range): string {
    const lines = this.#source.slice(offsets[start], offsets[end - 1]! + 1).split('\n')
    return lines
      .map((line, index) => (index === lines.length - 1 ? line : line.slice(0, trimmedEnd(line))))
      .filter((line, index) => index === 0 || index === lines.length - 1 || line !== '')
      .join(this.#eol)
  }

  #joined(line: LogicalLine, tokens: readonly Token[]): string {
    const { offsets } = line.text
    return tokens
      .map(({ range, text }, index) => {
        const before = tokens[index - 1]
        if (before === undefined) return text
        const gap = this.#source.slice(offsets[before.range.end - 1]! + 1, offsets[range.start])
        if (!gap.includes('\n')) return ` ${text}`
        const comments = gap
          .split('\n')
          .map(part => part.trim())
          .filter(part => part.startsWith('#'))
        return [` ${this.#lexed.escape}`, ...comments.map(comment => indent + comment), indent + text].join(this.#eol)
      })
      .join('')
  }
}

/** Those that take a name before the array. */
const namedArrays: ReadonlySet<string> = new Set(['APP', 'CNI', 'CSI', 'APPCMDS'])

/** The spelling of words that are part of the grammar. */
function caseOf(kind: InstructionSpec['kind'], index: number, word: string): string | undefined {
  if (kind === 'FROM' && index === 1) return word.toUpperCase()
  if (kind === 'BASE' && index === 1) return word.toLowerCase()
  return kind === 'HEALTHCHECK' ? word.toUpperCase() : undefined
}
