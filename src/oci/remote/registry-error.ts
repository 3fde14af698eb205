import { CloudimgError, type ErrorCode } from '../../core/error.ts'
import { type HttpResponse, readBody, retryAfterMs } from '../../io/http.ts'
import { limits } from '../../io/limits.ts'

/** Which end of a copy the registry is. */
export type Side = 'source' | 'target'

/** Statuses after which the same request may succeed a moment later. */
export function retryableStatus(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || (status >= 500 && ![501, 505, 507].includes(status))
}

/** An entry of a registry's error body (distribution-spec 1.1, "Error Codes"). */
interface Reported {
  readonly code: string
  readonly message: string
}

/** The registry's answer as an error of ours, with its own codes in the text. Reads the body, up to 64 KiB. */
export async function registryError(response: HttpResponse, doing: string, side: Side): Promise<CloudimgError> {
  const reported = await readReported(response)
  const { status } = response
  const said = reported.map(({ code, message }) => (message === '' ? code : `${code}: ${message}`)).join('; ')
  const why = said === '' ? (meanings[status] ?? 'unexpected answer') : said
  const wait = retryAfterMs(response)
  const hint = hintFor(status, response.url.host.replace('registry-1.docker.io', 'docker.io'), reported, side)
  return new CloudimgError(codeFor(status, side), `${doing}: ${why} (status ${status} at the ${side})`, {
    ...(hint === undefined ? {} : { hint }),
    data: {
      status,
      side,
      registryCode: reported[0]?.code ?? '',
      ...(retryableStatus(status) || isLostUpload(reported) ? { retryable: true } : {}),
      ...(wait === undefined ? {} : { retryAfterMs: wait }),
    },
  })
}

function codeFor(status: number, side: Side): ErrorCode {
  if (status === 401) return 'REGISTRY_AUTH'
  if (status === 403) return 'REGISTRY_DENIED'
  if (status === 404 && side === 'source') return 'IMAGE_NOT_FOUND'
  return 'REGISTRY_ERROR'
}

const meanings: Readonly<Record<number, string>> = {
  401: 'authentication required',
  403: 'not allowed',
  404: 'not found',
  413: 'the content is too large for it',
  429: 'too many requests',
  502: 'bad gateway',
  503: 'service unavailable',
  504: 'gateway timeout',
}

function hintFor(status: number, host: string, reported: readonly Reported[], side: Side): string | undefined {
  if (status === 401) return `log in with: cloudimg login ${host}`
  if (status === 403) return 'check that this account may do that in this repository'
  if (status === 429) return 'log in or wait: the registry limits how often it is asked'
  if (status === 404 && side === 'target' && reported.some(({ code }) => code === 'NAME_UNKNOWN'))
    return 'create the repository in the registry first'
  return undefined
}

// The registry forgot the upload session (it restarted, or another replica answered): a new one may work.
function isLostUpload(reported: readonly Reported[]): boolean {
  return reported.some(({ code }) => code === 'BLOB_UPLOAD_UNKNOWN')
}

async function readReported(response: HttpResponse): Promise<readonly Reported[]> {
  let text: string
  try {
    text = (await readBody(response, limits.errorBodyBytes)).toString('utf8')
  } catch {
    return []
  }
  try {
    const json = JSON.parse(text) as { readonly errors?: unknown; readonly details?: unknown }
    if (Array.isArray(json.errors)) return json.errors.slice(0, 5).map(readEntry)
    return typeof json.details === 'string' ? [{ code: printable(json.details), message: '' }] : []
  } catch {
    return []
  }
}

function readEntry(entry: unknown): Reported {
  const { code, message } = (typeof entry === 'object' && entry !== null ? entry : {}) as Record<string, unknown>
  return {
    code: typeof code === 'string' ? printable(code) : 'UNKNOWN',
    message: typeof message === 'string' ? printable(message) : '',
  }
}

// A registry's words reach the terminal: no control characters, no novels.
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}]+/gu, ' ').slice(0, 500)
}
