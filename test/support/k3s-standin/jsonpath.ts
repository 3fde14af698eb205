import { Exit } from './log.ts'

/**
 * kubectl's JSONPath templates in their common forms: text, `{.a.b}`, `{.a['b.c']}`, `{.items[*].x}`, `{.a[0]}`,
 * `{.c[?(@.type=="Ready")].status}`, `{range .items[*]}…{end}`, `{"\n"}`, `{.a\.b}`.
 */
export function renderJsonPath(template: string, root: unknown): string {
  const pieces = template.match(/\{[^}]*\}|[^{]+/g) ?? []
  return render(pieces, 0, root, root).text
}

interface Rendered {
  readonly text: string
  /** Where the next piece is. */
  readonly at: number
}

function render(pieces: readonly string[], start: number, current: unknown, root: unknown): Rendered {
  let text = ''
  let at = start
  while (at < pieces.length) {
    const piece = pieces[at] ?? ''
    if (!piece.startsWith('{')) {
      text += piece
      at++
      continue
    }
    const body = piece.slice(1, -1).trim()
    if (body === 'end') return { text, at: at + 1 }
    if (body.startsWith('range ')) {
      const items = evaluate(body.slice('range '.length), current, root)
      let after = skipRange(pieces, at + 1)
      for (const item of items) {
        const part = render(pieces, at + 1, item, root)
        text += part.text
        after = part.at
      }
      at = after
      continue
    }
    text += renderBody(body, current, root)
    at++
  }
  return { text, at }
}

function renderBody(body: string, current: unknown, root: unknown): string {
  const literal = /^(["'])(.*)\1$/s.exec(body)
  if (literal !== null) return (literal[2] ?? '').replace(/\\([nt])/g, (_, c: string) => (c === 'n' ? '\n' : '\t'))
  return evaluate(body, current, root)
    .map(value => (typeof value === 'string' ? value : JSON.stringify(value)))
    .join(' ')
}

function skipRange(pieces: readonly string[], start: number): number {
  for (let at = start, depth = 1; at < pieces.length; at++) {
    const body = (pieces[at] ?? '').slice(1, -1).trim()
    if (body.startsWith('range ')) depth++
    if (body === 'end' && --depth === 0) return at + 1
  }
  return pieces.length
}

/** All values that a path leads to; what is missing leads to none. */
export function evaluate(path: string, current: unknown, root: unknown): readonly unknown[] {
  const steps =
    /\.?(?:\[\?\(@\.?([^)=!]+?)\s*==\s*["']?([^"')]*)["']?\)\]|\[["']([^\]]*)["']\]|\[(\*|-?\d+)\]|((?:\\.|[^.[\]\\])+))/y
  let values: readonly unknown[] = [path.startsWith('$') ? root : current]
  const text = path.trim().replace(/^[$@]/, '')
  for (steps.lastIndex = text === '.' ? 1 : 0; steps.lastIndex < text.length;) {
    const match = steps.exec(text)
    if (match === null)
      throw new Exit(1, `error: error parsing jsonpath {${path}}, the stand-in does not know this form`)
    const [, filterPath, filterValue, quoted, index, name] = match
    if (filterPath !== undefined)
      values = values
        .flatMap(items)
        .filter(item => evaluate(`.${filterPath}`, item, root).map(String)[0] === filterValue)
    else if (index === '*') values = values.flatMap(items)
    else if (index !== undefined) values = values.map(value => items(value).at(Number(index)))
    else values = values.map(value => member(value, quoted ?? (name ?? '').replace(/\\(.)/g, '$1')))
    values = values.filter(value => value !== undefined && value !== null)
  }
  return values
}

function items(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  return typeof value === 'object' && value !== null ? Object.values(value) : []
}

function member(value: unknown, name: string): unknown {
  if (name === '*') return value
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return (value as Readonly<Record<string, unknown>>)[name]
}
