/** A piece of a template: text as it stands, or the name of a variable. */
export type TemplatePiece = string | { readonly variable: string; readonly line: number }

export interface ParsedTemplate {
  readonly pieces: readonly TemplatePiece[]
  /** What is no `{{ .NAME }}`, by line. */
  readonly mistakes: readonly { readonly line: number; readonly text: string }[]
}

/**
 * sealer's templates as far as they put in variables (facts/sealer.md §3.4): `{{ .NAME }}`, and `{{ "text" }}` for text that has
 * braces itself. A blank beside the braces may be trimmed away with `{{-` and `-}}`. Nothing else is understood, and nothing is left out.
 */
export function parseTemplate(text: string): ParsedTemplate {
  const pieces: TemplatePiece[] = []
  const mistakes: { line: number; text: string }[] = []
  let at = 0
  for (const match of text.matchAll(/(\s*\{\{-\s|\{\{)(.*?)(\s-\}\}\s*|\}\})/gs)) {
    const [whole, , body = ''] = match
    pieces.push(text.slice(at, match.index))
    at = match.index + whole.length
    const line = text.slice(0, text.indexOf('{{', match.index)).split('\n').length
    const [, variable] = /^\s*\.([A-Za-z_][A-Za-z0-9_]*)\s*$/.exec(body) ?? []
    const [, literal] = /^\s*"([^"\\]*)"\s*$/.exec(body) ?? []
    if (variable !== undefined) pieces.push({ variable, line })
    else if (literal !== undefined) pieces.push(literal)
    else mistakes.push({ line, text: whole.trim() })
  }
  return { pieces: [...pieces, text.slice(at)], mistakes }
}
