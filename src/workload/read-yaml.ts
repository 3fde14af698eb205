import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  type YAMLMap,
} from 'yaml'
import type { UnreadableReason } from './discovery.ts'
import { keyField, type MapValue, type Value } from './value.ts'

/** One document of a file: its value, undefined where there is nothing in it, or why it cannot be read. */
export type YamlDocument =
  | { readonly value: Value | undefined; readonly line: number }
  | { readonly problem: Extract<UnreadableReason, 'broken-yaml' | 'template'>; readonly line: number }

/** Where a text stands that is YAML: a whole file, or a string inside one. */
export interface TextOrigin {
  readonly file: string
  /** Of the text's first line. */
  readonly line: number
  /** Before the way to each value: `spec.valuesContent > `. */
  readonly field: string
  /** Where every line of the text is this one: it stands in a quoted scalar. */
  readonly isOneLine?: boolean
}

/** Values that a document may have through aliases, each as often as it is named: a billion laughs end here. */
const maxAliased = 50_000

/** Documents are told apart at lines that begin one, so that a broken one spoils no other. */
export function readYaml(text: string, origin: TextOrigin): readonly YamlDocument[] {
  return splitDocuments(text.replace(/^\uFEFF/, '')).flatMap(({ text: part, line }) =>
    readPart(part, { ...origin, line: origin.line + line }),
  )
}

function splitDocuments(text: string): readonly { readonly text: string; readonly line: number }[] {
  const starts = [...text.matchAll(/^---(?=\s|$)/gm)].map(match => match.index)
  const cuts = [...new Set([0, ...starts, text.length])]
  let line = 0
  return cuts.slice(0, -1).flatMap((from, i) => {
    const part = text.slice(from, cuts[i + 1])
    const found = { text: part, line }
    line += part.match(/\n/g)?.length ?? 0
    // Directives stand before the document's own line.
    return /^(?:\s*(?:[%#].*)?\n?)*$/.test(part.replaceAll('\r', '')) && i < cuts.length - 2 ? [] : [found]
  })
}

function readPart(text: string, origin: TextOrigin): readonly YamlDocument[] {
  const lines = new LineCounter()
  const lineAt = (offset: number): number =>
    origin.isOneLine === true ? origin.line : origin.line + lines.linePos(offset).line - 1
  const parsed = parseAllDocuments(text, {
    lineCounter: lines,
    logLevel: 'silent',
    uniqueKeys: false,
    prettyErrors: false,
  })
  const documents = Array.isArray(parsed) ? parsed : []
  const first = { line: lineAt(firstContent(text)) }
  const brace = text.indexOf('{{')
  const template = { problem: 'template', line: lineAt(Math.max(0, brace)) } as const
  if (documents.some(document => document.errors.length > 0)) {
    return [brace >= 0 ? template : { problem: 'broken-yaml', ...first }]
  }
  return documents.map(document => {
    if (brace >= 0 && hasTemplate(document.contents)) return template
    try {
      return { value: new Resolver(document, origin, lineAt).document(), ...first }
    } catch (error) {
      if (error instanceof Unresolvable) return { problem: 'broken-yaml', ...first }
      throw error
    }
  })
}

/** Of the first line that is neither blank nor a comment nor the document's marker alone. */
function firstContent(text: string): number {
  return /^(?!\s*$|\s*#|---\s*(?:#.*)?$|%)/m.exec(text.replaceAll('\r', ' '))?.index ?? 0
}

/** `{{` outside a scalar: a flow map as the key of a flow map. */
function hasTemplate(node: unknown): boolean {
  if (isMap(node)) return node.items.some(({ key, value }) => isMap(key) || hasTemplate(value))
  return isSeq(node) && node.items.some(hasTemplate)
}

class Unresolvable extends Error {}

class Resolver {
  readonly #document: Document
  readonly #origin: TextOrigin
  readonly #lineAt: (offset: number) => number
  readonly #following: Node[] = []
  /** The library looks through the whole document for each. */
  readonly #targets = new Map<Alias, Node | undefined>()
  #aliased = 0

  constructor(document: Document, origin: TextOrigin, lineAt: (offset: number) => number) {
    this.#document = document
    this.#origin = origin
    this.#lineAt = lineAt
  }

  document(): Value | undefined {
    const { contents } = this.#document
    if (contents === null || (isScalar(contents) && contents.value === null)) return undefined
    return this.#value(contents, this.#origin.field, undefined)
  }

  /** `asked`: the line of the alias through which it is reached. */
  #value(node: unknown, field: string, asked: number | undefined): Value {
    if (asked !== undefined && ++this.#aliased > maxAliased) throw new Unresolvable()
    if (isAlias(node)) return this.#follow(node, asked, (target, line) => this.#value(target, field, line))
    const { file } = this.#origin
    const line = asked ?? this.#lineOf(node)
    if (isMap(node)) return { kind: 'map', file, line, field, entries: this.#entries(node, field, asked) }
    if (isSeq(node)) {
      const items = node.items.map((item, index) => this.#value(item, `${field}[${index}]`, asked))
      return { kind: 'list', file, line, field, items }
    }
    if (!isScalar(node)) return { kind: 'other', file, line, field, source: '', isNull: true }
    if (typeof node.value === 'string') {
      const isLiteral = node.type === 'BLOCK_LITERAL' && asked === undefined && this.#origin.isOneLine !== true
      return { kind: 'text', file, line, field, text: node.value, isLiteral }
    }
    const kind = typeof node.value === 'number' || typeof node.value === 'bigint' ? 'number' : 'other'
    return { kind, file, line, field, source: node.source ?? String(node.value), isNull: node.value === null }
  }

  /** Own keys count before merged ones, wherever they stand. */
  #entries(map: YAMLMap, field: string, asked: number | undefined): MapValue['entries'] {
    const own: [string, Value][] = []
    const merged: [string, Value][] = []
    for (const { key, value } of map.items) {
      if (isMerge(key)) merged.push(...this.#merged(value, field, asked))
      else {
        const name = isScalar(key) ? String(key.value) : isAlias(key) ? String(key.resolve(this.#document)) : ''
        own.push([name, this.#value(value, keyField(field, name), asked)])
      }
    }
    const names = new Set(own.map(([name]) => name))
    for (const [name, value] of merged) {
      if (names.has(name)) continue
      names.add(name)
      own.push([name, value])
    }
    return own
  }

  #merged(value: unknown, field: string, asked: number | undefined): readonly [string, Value][] {
    if (isSeq(value)) return value.items.flatMap(item => this.#merged(item, field, asked))
    if (isAlias(value)) return this.#follow(value, asked, (target, line) => this.#merged(target, field, line))
    return isMap(value) ? this.#entries(value, field, asked).map(([name, found]) => [name, found]) : []
  }

  #follow<T>(alias: Alias, asked: number | undefined, read: (target: unknown, line: number) => T): T {
    const target = this.#targets.has(alias) ? this.#targets.get(alias) : alias.resolve(this.#document)
    this.#targets.set(alias, target)
    if (target === undefined || this.#following.includes(target)) throw new Unresolvable()
    this.#following.push(target)
    try {
      return read(target, asked ?? this.#lineOf(alias))
    } finally {
      this.#following.pop()
    }
  }

  #lineOf(node: unknown): number {
    const range = (node as Node | null | undefined)?.range
    return range === undefined || range === null ? this.#origin.line : this.#lineAt(range[0])
  }
}

function isMerge(key: unknown): boolean {
  return isScalar(key) && key.value === '<<' && key.type === 'PLAIN'
}
