/** `alpine` → `docker.io/library/alpine:latest`: what docker and the CRI make of a short name. */
export function normaliseName(name: string): string {
  const [path = '', digest] = name.split('@')
  const first = path.split('/')[0] ?? ''
  const hasHost = path.includes('/') && (/[.:]/.test(first) || first === 'localhost')
  const full = hasHost ? path : `docker.io/${path.includes('/') ? path : `library/${path}`}`
  if (digest !== undefined) return `${full}@${digest}`
  return /:[^/]+$/.test(full) ? full : `${full}:latest`
}

/** The part before tag and digest, and whether there is a digest. */
export function splitName(name: string): {
  readonly repository: string
  readonly tag?: string
  readonly digest?: string
} {
  const [path = '', digest] = name.split('@')
  const colon = path.lastIndexOf(':')
  const hasTag = colon > path.lastIndexOf('/')
  return {
    repository: hasTag ? path.slice(0, colon) : path,
    ...(hasTag ? { tag: path.slice(colon + 1) } : {}),
    ...(digest === undefined ? {} : { digest }),
  }
}
