/** One way of authenticating that a server offers (RFC 9110 §11.6.1). The scheme and the names are in lower case. */
export interface Challenge {
  readonly scheme: string
  readonly parameters: Readonly<Record<string, string>>
}

/**
 * Reads a WWW-Authenticate header, in which several challenges may stand and commas occur inside quotes.
 * What cannot be read is left out: a server may offer schemes that we do not know.
 */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = []
  for (const part of splitUnquoted(header)) {
    const start = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s+(.*))?$/s.exec(part)
    const parameter = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(.*)$/s.exec(part)
    if (parameter !== null) {
      const current = challenges.at(-1)
      if (current !== undefined) current.parameters[parameter[1]!.toLowerCase()] = unquote(parameter[2]!)
      continue
    }
    if (start === null) continue
    const challenge = { scheme: start[1]!.toLowerCase(), parameters: {} as Record<string, string> }
    challenges.push(challenge)
    const first = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+)\s*=\s*(.*)$/s.exec(start[2] ?? '')
    if (first !== null) challenge.parameters[first[1]!.toLowerCase()] = unquote(first[2]!)
  }
  return challenges
}

function splitUnquoted(text: string): readonly string[] {
  const parts: string[] = []
  let current = ''
  let quoted = false
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!
    if (quoted && char === '\\') {
      current += char + (text[++i] ?? '')
      continue
    }
    if (char === '"') quoted = !quoted
    if (char === ',' && !quoted) {
      parts.push(current.trim())
      current = ''
    } else current += char
  }
  parts.push(current.trim())
  return parts.filter(part => part !== '')
}

function unquote(text: string): string {
  const trimmed = text.trim()
  if (!trimmed.startsWith('"')) return trimmed
  return trimmed.slice(1, trimmed.endsWith('"') ? -1 : undefined).replace(/\\(.)/gs, '$1')
}
