import type { Escape } from './ast.ts'
import { type Range, splitHead, splitWords, unquoteWord } from './words.ts'
import { parseJsonStrings } from './json-form.ts'

const heredocKinds = new Set(['RUN', 'COPY', 'ADD'])
const heredocPattern = /^(\d*)<<(-?)([^<]+)$/

/** A heredoc that is announced and not read yet. */
export interface HeredocStart {
  readonly word: Range
  readonly name: string
  readonly expand: boolean
  readonly stripTabs: boolean
  readonly fd: number | undefined
}

/** The heredocs that an instruction's line announces, in the order in which their bodies follow. */
export function findHeredocs(text: string, escape: Escape): HeredocStart[] {
  const rest = heredocArguments(text, escape)
  if (rest === undefined || parseJsonStrings(text, rest).kind === 'strings') return []
  return splitWords(text, rest, escape).flatMap(word => parseHeredocWord(text, word, escape) ?? [])
}

/** Where the arguments begin, if the instruction may have heredocs; `ONBUILD RUN` may. */
function heredocArguments(text: string, escape: Escape): number | undefined {
  let from = 0
  for (;;) {
    const { keyword, rest } = splitHead(text, from, escape)
    const kind = text.slice(keyword.start, keyword.end).toUpperCase()
    if (heredocKinds.has(kind)) return rest
    if (kind !== 'ONBUILD') return undefined
    from = rest
  }
}

function parseHeredocWord(text: string, word: Range, escape: Escape): HeredocStart | undefined {
  const match = heredocPattern.exec(text.slice(word.start, word.end))
  if (match === null) return undefined
  const [, digits = '', dash = '', delimiter = ''] = match
  const name = unquoteWord(delimiter, escape)
  if (name === '') return undefined
  return {
    word,
    name,
    expand: name === delimiter,
    stripTabs: dash !== '',
    fd: digits === '' ? undefined : Number(digits),
  }
}
