/**
 * Shell text → simple commands, for finding out what a script would do: a reading of POSIX sh and of the bash that people
 * write, not an interpreter. Every branch counts, functions are read where they are defined, and a variable stands for
 * each value that the text gives it anywhere before.
 */
export interface ShellWord {
  /** What it may expand to; what is not known stays as `$NAME`. At least one. */
  readonly texts: readonly string[]
  readonly isKnown: boolean
  readonly isQuoted: boolean
  readonly line: number
}

export interface ShellCommand {
  readonly line: number
  readonly words: readonly ShellWord[]
  /** In front of the command, or the command itself. */
  readonly assignments: ReadonlyMap<string, ShellWord>
  /** Where its output goes. */
  readonly writes: readonly ShellWord[]
}

export interface ShellText {
  readonly commands: readonly ShellCommand[]
  readonly functions: ReadonlySet<string>
}

/** Stands for the directory of the script itself. */
export const ownDirectory = '\uE000'

/** Never looked up: it is the rootfs, wherever that lies. */
const rootfsVariable = 'ROOTFS'
const maxAlternatives = 32
const maxDepth = 32
/** Of a variable's value, and of a word that is made of such. */
const maxValue = 4096

const openers = new Set([
  'if',
  'then',
  'else',
  'elif',
  'do',
  'while',
  'until',
  '!',
  '{',
  '}',
  'time',
  'fi',
  'done',
  'esac',
])

export function parseShell(text: string, firstLine = 1): ShellText {
  const shared: Shared = { commands: [], functions: new Set(), values: new Map() }
  new Reader(text, firstLine, shared, 0).read()
  return { commands: shared.commands, functions: shared.functions }
}

interface Shared {
  readonly commands: ShellCommand[]
  readonly functions: Set<string>
  readonly values: Map<string, readonly string[]>
}

interface OpenWord {
  texts: readonly string[]
  isKnown: boolean
  isQuoted: boolean
  readonly line: number
}

interface Heredoc {
  readonly end: string
  readonly stripsTabs: boolean
  readonly expands: boolean
}

class Reader {
  readonly #text: string
  readonly #shared: Shared
  readonly #depth: number
  #at = 0
  #line: number
  #word: OpenWord | undefined
  #words: ShellWord[] = []
  #writes: ShellWord[] = []
  #redirect: 'none' | 'in' | 'out' = 'none'
  #heredocs: Heredoc[] = []
  #awaitsDelimiter: { readonly stripsTabs: boolean } | undefined

  constructor(text: string, line: number, shared: Shared, depth: number) {
    this.#text = text
    this.#line = line
    this.#shared = shared
    this.#depth = depth
  }

  /** To the end, or behind the `)` that closes what this reader was made for. Gives where it stopped. */
  read(closing = false): { readonly at: number; readonly line: number } {
    for (let nested = 0; this.#at < this.#text.length;) {
      const char = this.#text[this.#at]!
      if (char === '(') nested += this.#parenthesis() ? 1 : 0
      else if (char === ')') {
        this.#endCommand()
        this.#at++
        if (closing && nested === 0) return { at: this.#at, line: this.#line }
        nested = Math.max(0, nested - 1)
      } else this.#step(char)
    }
    this.#endCommand()
    return { at: this.#at, line: this.#line }
  }

  #step(char: string): void {
    if (char === '\n') return this.#newLine()
    if (char === ' ' || char === '\t' || char === '\r') {
      this.#endWord()
      this.#at++
    } else if (char === '#' && this.#word === undefined) {
      const end = this.#text.indexOf('\n', this.#at)
      this.#at = end < 0 ? this.#text.length : end
    } else if (char === ';' || char === '|') {
      this.#endCommand()
      this.#at++
    } else if (char === '&' && this.#text[this.#at + 1] !== '>') {
      this.#endCommand()
      this.#at++
    } else if (char === '<' || char === '>' || char === '&') this.#redirection()
    else this.#piece(char)
  }

  #newLine(): void {
    this.#endCommand()
    this.#at++
    this.#line++
    for (const heredoc of this.#heredocs.splice(0)) this.#skipHeredoc(heredoc)
  }

  #skipHeredoc({ end, stripsTabs, expands }: Heredoc): void {
    while (this.#at < this.#text.length) {
      const next = this.#text.indexOf('\n', this.#at)
      const line = this.#text.slice(this.#at, next < 0 ? undefined : next)
      this.#at = next < 0 ? this.#text.length : next + 1
      if ((stripsTabs ? line.replace(/^\t+/, '') : line) === end) {
        this.#line++
        return
      }
      if (expands) this.#substitutionsIn(line)
      this.#line++
    }
  }

  // A here-document is data, but for the commands that the shell runs to make it.
  #substitutionsIn(line: string): void {
    for (const { index } of line.matchAll(/(?<!\\)\$\((?!\()/g)) this.#nested(line.slice(index + 2), true)
    for (const { 1: inner = '' } of line.matchAll(/(?<!\\)`([^`]*)`/g)) this.#nested(inner, false)
  }

  #redirection(): void {
    const operator = /^(?:<<<|<<-?|&>>?|<>|>>|>\||[<>]&?)/.exec(this.#text.slice(this.#at, this.#at + 3))![0]
    if (this.#word !== undefined && this.#word.texts.every(text => /^\d+$/.test(text))) this.#word = undefined
    this.#endWord()
    this.#at += operator.length
    if (operator === '<<' || operator === '<<-') this.#awaitsDelimiter = { stripsTabs: operator === '<<-' }
    else if (operator !== '<<<' && this.#text[this.#at] !== '(') this.#redirect = operator.includes('>') ? 'out' : 'in'
  }

  /** True where it opens a subshell. */
  #parenthesis(): boolean {
    const name = this.#word?.texts[0] ?? ''
    const isFunction = /^\(\s*\)/.exec(this.#text.slice(this.#at, this.#at + 64))?.[0]
    if (isFunction !== undefined && (name !== '' || this.#words.length > 0)) {
      const defined = name === '' ? this.#words.at(-1)!.texts[0]! : name
      this.#shared.functions.add(defined)
      this.#word = undefined
      this.#words = []
      this.#at += isFunction.length
      return false
    }
    if (this.#text.startsWith('((', this.#at) && this.#word === undefined && this.#words.length === 0) {
      this.#skipArithmetic(this.#at + 2)
      return false
    }
    this.#endCommand()
    this.#at++
    return true
  }

  #skipArithmetic(from: number): void {
    const end = this.#text.indexOf('))', from)
    const next = end < 0 ? this.#text.length : end + 2
    this.#line += this.#text.slice(this.#at, next).split('\n').length - 1
    this.#at = next
  }

  #piece(char: string): void {
    if (char === '\\') {
      const next = this.#text[this.#at + 1] ?? ''
      this.#at += 2
      if (next === '\n') this.#line++
      else this.#append(next)
    } else if (char === "'") this.#single()
    else if (char === '"') this.#double()
    else if (char === '$') this.#expansion()
    else if (char === '`') this.#backtick()
    else {
      this.#append(char)
      this.#at++
    }
  }

  #single(): void {
    const end = this.#text.indexOf("'", this.#at + 1)
    const text = this.#text.slice(this.#at + 1, end < 0 ? undefined : end)
    this.#append(text)
    this.#word!.isQuoted = true
    this.#line += text.split('\n').length - 1
    this.#at = end < 0 ? this.#text.length : end + 1
  }

  #double(): void {
    this.#append('')
    this.#word!.isQuoted = true
    this.#at++
    while (this.#at < this.#text.length && this.#text[this.#at] !== '"') {
      const char = this.#text[this.#at]!
      if (char === '\\' && /["\\$`\n]/.test(this.#text[this.#at + 1] ?? '')) {
        const next = this.#text[this.#at + 1]!
        if (next === '\n') this.#line++
        else this.#append(next)
        this.#at += 2
      } else if (char === '$') this.#expansion()
      else if (char === '`') this.#backtick()
      else {
        if (char === '\n') this.#line++
        this.#append(char)
        this.#at++
      }
    }
    this.#at++
  }

  #backtick(): void {
    const end = /^`((?:[^`\\]|\\.)*)`/s.exec(this.#text.slice(this.#at))
    const inner = end?.[1] ?? this.#text.slice(this.#at + 1)
    this.#appendAll(this.#result(this.#nested(inner.replaceAll(/\\([`\\$])/g, '$1'), false)))
    this.#line += inner.split('\n').length - 1
    this.#at += end?.[0].length ?? inner.length + 1
  }

  #expansion(): void {
    const rest = this.#text.slice(this.#at, this.#at + 256)
    if (rest.startsWith('$((')) {
      this.#appendUnknown('$((…))')
      return this.#skipArithmetic(this.#at + 3)
    }
    if (rest.startsWith('$(')) {
      const before = this.#shared.commands.length
      const reader = new Reader(this.#text.slice(this.#at + 2), this.#line, this.#shared, this.#depth + 1)
      if (this.#depth >= maxDepth) this.#at = this.#text.length
      else {
        const { at, line } = reader.read(true)
        this.#at += 2 + at
        this.#line = line
      }
      return this.#appendAll(this.#result(this.#shared.commands.slice(before)))
    }
    if (rest.startsWith('${')) return this.#braced()
    const name = /^\$([A-Za-z_]\w*|[0-9@*#?$!-])/.exec(rest)?.[1]
    this.#at += name === undefined ? 1 : 1 + name.length
    if (name === undefined) this.#append('$')
    else this.#variable(name)
  }

  #braced(): void {
    const end = this.#closingBrace(this.#at + 2)
    const inner = this.#text.slice(this.#at + 2, end)
    this.#at = end + 1
    this.#line += inner.split('\n').length - 1
    const [, name = '', operator = '', operand = ''] =
      /^([A-Za-z_]\w*|[0-9@*])(:?[-=+?]|%%?|##?|\/)?(.*)$/s.exec(inner) ?? []
    if (name === '0' && operator.startsWith('%') && operand === '/*') this.#appendAll([ownDirectory])
    else if (operator === '') this.#variable(name)
    else if (/^:?[-=]$/.test(operator)) this.#default(name, operand)
    else this.#appendUnknown(`\${${inner}}`)
  }

  #closingBrace(from: number): number {
    let depth = 0
    for (let at = from; at < this.#text.length; at++) {
      const char = this.#text[at]
      if (char === '\\') at++
      else if (char === '{') depth++
      else if (char === '}' && depth-- === 0) return at
    }
    return this.#text.length
  }

  #default(name: string, operand: string): void {
    if (this.#depth >= maxDepth) return this.#appendUnknown(`$${name}`)
    const inner = new Reader(operand, this.#line, this.#shared, this.#depth + 1)
    const fallback = inner.wholeWord()
    const known = name === rootfsVariable ? undefined : this.#shared.values.get(name)
    this.#appendAll([...new Set([...(known ?? []), ...fallback.texts])])
    if (!fallback.isKnown && known === undefined) this.#word!.isKnown = false
  }

  /** The text as one word, blanks and all. */
  wholeWord(): OpenWord {
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at]!
      if (/[\s()<>;&|#]/.test(char)) {
        this.#append(char)
        this.#at++
      } else this.#piece(char)
    }
    return this.#word ?? { texts: [''], isKnown: true, isQuoted: false, line: this.#line }
  }

  #variable(name: string): void {
    const values = name === rootfsVariable ? undefined : this.#shared.values.get(name)
    if (values === undefined) this.#appendUnknown(`$${name}`)
    else this.#appendAll(values)
  }

  /** Commands inside, on lines of their own. */
  #nested(text: string, closing: boolean): readonly ShellCommand[] {
    if (this.#depth >= maxDepth) return []
    const before = this.#shared.commands.length
    new Reader(text, this.#line, this.#shared, this.#depth + 1).read(closing)
    return this.#shared.commands.slice(before)
  }

  /** What a substitution's commands print, where that is plain. */
  #result(commands: readonly ShellCommand[]): readonly string[] | undefined {
    const names = commands.map(({ words }) => words.map(({ texts }) => texts[0]!))
    const isOwn = names.some(
      ([program, argument]) =>
        /^(?:dirname|cd)$/.test(program ?? '') && /^\$(?:0|\{?BASH_SOURCE)|\uE000$/.test(argument ?? ''),
    )
    return isOwn ? [ownDirectory] : undefined
  }

  #append(text: string): void {
    this.#word ??= { texts: [''], isKnown: true, isQuoted: false, line: this.#line }
    this.#word.texts = this.#word.texts.map(before => before + text)
  }

  #appendUnknown(text: string): void {
    this.#append(text)
    this.#word!.isKnown = false
  }

  #appendAll(values: readonly string[] | undefined): void {
    if (values === undefined) return this.#appendUnknown('$(…)')
    this.#append('')
    const word = this.#word!
    if (word.texts.some(text => text.length > maxValue)) return this.#appendUnknown('$…')
    word.texts = word.texts.flatMap(before => values.map(value => before + value)).slice(0, maxAlternatives)
    if (values.some(value => value.includes('$'))) word.isKnown = false
  }

  #endWord(): void {
    const word = this.#word
    if (word === undefined) return
    this.#word = undefined
    if (this.#awaitsDelimiter !== undefined) {
      const { stripsTabs } = this.#awaitsDelimiter
      this.#heredocs.push({ end: word.texts[0]!, stripsTabs, expands: !word.isQuoted })
      this.#awaitsDelimiter = undefined
    } else if (this.#redirect === 'none') this.#words.push(word)
    else {
      if (this.#redirect === 'out') this.#writes.push(word)
      this.#redirect = 'none'
    }
  }

  #endCommand(): void {
    this.#endWord()
    this.#redirect = 'none'
    const [words, writes] = [this.#words, this.#writes]
    ;[this.#words, this.#writes] = [[], []]
    while (words.length > 0 && isOpener(words[0]!)) words.shift()
    const [first] = words
    if (first === undefined) return
    if (first.texts[0] === 'for' || first.texts[0] === 'select') return this.#loop(words)
    if (first.texts[0] === 'case') return
    if (first.texts[0] === 'function') {
      this.#shared.functions.add(words[1]?.texts[0] ?? '')
      return
    }
    const isDeclaration = ['export', 'readonly', 'local', 'declare', 'typeset'].includes(first.texts[0]!)
    if (isDeclaration) words.shift()
    const assignments = new Map<string, ShellWord>()
    while (words.length > 0) {
      const [, name, value] = /^([A-Za-z_]\w*)\+?=(.*)$/s.exec(words[0]!.texts[0]!) ?? []
      if (name === undefined || value === undefined) break
      const word = words.shift()!
      assignments.set(name, { ...word, texts: word.texts.map(text => text.slice(text.indexOf('=') + 1)) })
    }
    const isAssignment = words.length === 0 || isDeclaration
    if (isAssignment) for (const [name, word] of assignments) this.#assign(name, word)
    const rest = isDeclaration ? [] : words
    this.#shared.commands.push({ line: (rest[0] ?? first).line, words: rest, assignments, writes })
  }

  #loop(words: readonly ShellWord[]): void {
    const [, name, , ...items] = words
    const values = items.flatMap(({ texts }) => texts.flatMap(text => text.split(/\s+/)))
    if (name !== undefined && values.length > 0) this.#shared.values.set(name.texts[0]!, values)
  }

  #assign(name: string, { texts }: ShellWord): void {
    const known = this.#shared.values.get(name) ?? []
    const short = texts.map(text => (text.length > maxValue ? `$${name}` : text))
    const values = [...new Set([...known, ...short])].filter((value, _, all) => value !== '' || all.length === 1)
    this.#shared.values.set(name, values.slice(-maxAlternatives))
  }
}

function isOpener({ texts, isQuoted }: ShellWord): boolean {
  return !isQuoted && openers.has(texts[0]!)
}
