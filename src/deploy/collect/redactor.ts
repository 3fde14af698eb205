import { redactSecrets } from '../../core/redact.ts'

const gone = '[redacted]'

/** Names of what nobody else may know, in configurations, environments, flags and JSON alike. */
const secretName =
  '[\\w.-]{0,40}(?:token|passw(?:or)?d|passphrase|secret|credential|apikey|api-key|api_key|access-key|access_key|private-key|private_key|key-data|certificate-data|auth|datastore-endpoint|DATASTORE_ENDPOINT|cookie)[\\w.-]{0,40}'

// Each keeps what stands before the value, so that readers see what it was.
const patterns: readonly (readonly [pattern: RegExp, shown: string])[] = [
  // In a journal a key may be one line with \n spelt out; one that was cut has no end.
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[A-Za-z0-9+/=\s\\:,-]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, gone],
  [/\bK10[0-9a-f]{6,}(?:::[^\s"']*)?/gi, gone],
  [/\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?/g, gone],
  [/\b((?:proxy-)?authorization["']?\s*[:=]\s*["']?)[^\n"']+/gi, `$1${gone}`],
  [/\b(bearer|basic)(\s+)[\w.~+/=-]{6,}/gi, `$1$2${gone}`],
  // Greedy: a password may have an @ of its own.
  [/(\b[a-z][\w+.-]{0,20}:\/\/)[^\s"'/]{0,200}:[^\s"']{0,300}@/gi, `$1${gone}@`],
  // Bootstrap tokens (facts/k3s.md §7.2).
  [/\b[a-z0-9]{6}\.[a-z0-9]{16}\b/g, gone],
  [new RegExp(`(--${secretName}[= ])(?!-)("[^"\\n]*"|'[^'\\n]*'|[^\\s"']+)`, 'gi'), `$1${gone}`],
  [
    new RegExp(
      `(\\b${secretName}\\\\?["']?[ \\t]*[:=][ \\t]*)(?![{[]|(?:true|false|null)\\b)(\\\\?"[^"\\n]*"|'[^'\\n]*'|[^\\s,;}\\]]+)`,
      'gi',
    ),
    `$1${gone}`,
  ],
]

/** The shortest value that is looked for everywhere: a shorter one would take harmless words away. */
const shortest = 6

/** Takes secrets out of texts: what looks like one, and every value that it was told. */
export class Redactor {
  readonly #values = new Set<string>()

  /** A secret, also as base64 and as URLs write it. */
  add(value: string): void {
    const text = value.trim()
    if (text.length < shortest) return
    for (const form of [text, Buffer.from(text).toString('base64'), encodeURIComponent(text)]) this.#values.add(form)
  }

  /** Whatever a configuration, a token file or a kubeconfig keeps secret. */
  learn(text: string): void {
    const named = new RegExp(`(?:^|[\\s"'{,])${secretName}["']?[ \\t]*[:=][ \\t]*["']?(?![{[])([^\\s"',}]+)`, 'gim')
    for (const [, value] of text.matchAll(named)) this.add(value!)
    for (const [whole, password] of text.matchAll(/\bK10[0-9a-f]+::[^\s:"']+:([^\s"']+)/gi)) {
      this.add(whole)
      this.add(password!)
    }
    for (const [, password] of text.matchAll(/\b[a-z][\w+.-]{0,20}:\/\/[^\s"'/:]{0,200}:([^\s"']{0,300})@/gi))
      this.add(password!)
  }

  redact(text: string): string {
    return patterns.reduce(
      (shown, [pattern, instead]) => shown.replace(pattern, instead),
      redactSecrets(text, [...this.#values]),
    )
  }
}

/**
 * Objects of the cluster without what people put into them: values of environment variables, and the copy of a whole object that
 * `kubectl apply` leaves in an annotation. What is no JSON, as it was cut perhaps, is left out whole.
 */
export function redactObjects(text: string): string {
  try {
    return `${JSON.stringify(JSON.parse(text, withoutValues), undefined, 1)}\n`
  } catch {
    return 'left out: this is no whole JSON\n'
  }
}

function withoutValues(key: string, value: unknown): unknown {
  if (key === 'kubectl.kubernetes.io/last-applied-configuration') return gone
  if (key !== 'env' || !Array.isArray(value)) return value
  return (value as readonly Record<string, unknown>[]).map(entry =>
    'value' in entry ? { ...entry, value: gone } : entry,
  )
}
