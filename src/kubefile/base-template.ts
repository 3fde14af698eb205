/** A template's name or directory, and the version behind the `@`. */
export interface TemplateRef {
  readonly template: string
  readonly version: string | undefined
}

/** The reserved template name: the tree so far. */
export const rootfsTemplate = 'rootfs'

/** Where the version's `@` stands: the first outside `${…}` and quotes; none in a path, which keeps its text. */
export function versionMark(text: string): number | undefined {
  if (isTemplatePath(text)) return undefined
  let quote: string | undefined
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!
    if (quote !== undefined) quote = char === quote ? undefined : quote
    else if (char === '"' || char === "'") quote = char
    else if (char === '$' && text[at + 1] === '{') depth++
    else if (char === '}' && depth > 0) depth--
    else if (char === '@' && depth === 0) return at
  }
  return undefined
}

/** A directory of the context, not a built-in template. */
export function isTemplatePath(text: string): boolean {
  return /^\.{0,2}\//.test(text) || text === '.' || text === '..'
}

/**
 * The template and version of an expanded BASE: where the version was part of a variable or of a quoted word, it is
 * found now. `template` and `version` are the instruction's words after `expandWord`.
 */
export function resolveTemplateRef(template: string, version: string | undefined): TemplateRef {
  const mark = version === undefined && !isTemplatePath(template) ? template.indexOf('@') : -1
  return mark < 0 ? { template, version } : { template: template.slice(0, mark), version: template.slice(mark + 1) }
}
