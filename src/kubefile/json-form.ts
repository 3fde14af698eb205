import type { Range } from './words.ts'

/** What stands at the end of a line: an array of strings, another array, or no JSON at all. */
export type JsonForm =
  | { readonly kind: 'strings'; readonly items: readonly (Range & { readonly text: string })[] }
  | { readonly kind: 'other-array' }
  | { readonly kind: 'no-json' }

/** Reads `text` from `start` to its end. Only a whole, valid array counts as JSON; `[ -f x ] && y` is for the shell. */
export function parseJsonStrings(text: string, start: number): JsonForm {
  if (text[start] !== '[') return { kind: 'no-json' }
  const array = tryParse(withJsonBlanks(text.slice(start)))
  if (!Array.isArray(array)) return { kind: 'no-json' }
  if (!array.every(item => typeof item === 'string')) return { kind: 'other-array' }
  const literals = text.slice(start).matchAll(/"(?:[^"\\]|\\.)*"/g)
  const items = Array.from(literals, (literal, index) => ({
    start: start + literal.index,
    end: start + literal.index + literal[0].length,
    text: array[index] ?? '',
  }))
  return { kind: 'strings', items }
}

/** A Kubefile has two blanks that JSON does not know; or an array would become one by being printed. */
function withJsonBlanks(text: string): string {
  return text.replaceAll(/"(?:[^"\\]|\\.)*"|[\v\f]/g, part => (part.startsWith('"') ? part : ' '))
}

function tryParse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}
