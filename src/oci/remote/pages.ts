import type { HttpResponse } from '../../io/http.ts'

/** The URL of `Link: <…>; rel="next"` (RFC 8288); undefined at the last page, and for a link to another origin. */
export function nextPage(response: HttpResponse): URL | undefined {
  for (const [, target, parameters] of (response.headers.link ?? '').matchAll(/<([^>]*)>([^,<]*)/g)) {
    if (!/;\s*rel\s*=\s*"?next"?\s*(;|$)/i.test(parameters ?? '')) continue
    const url = new URL(target ?? '', response.url)
    return url.origin === response.url.origin ? url : undefined
  }
  return undefined
}
