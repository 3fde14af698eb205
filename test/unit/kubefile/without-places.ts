/** An AST as far as its meaning goes: without spans, source and the lines as written. */
export function withoutPlaces(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutPlaces)
  if (typeof value !== 'object' || value === null) return value
  const kept = Object.entries(value).filter(
    ([key]) => !['span', 'bodySpan', 'original', 'source', 'filename'].includes(key),
  )
  return Object.fromEntries(kept.map(([key, inner]) => [key, withoutPlaces(inner)]))
}
