import type { ServerResponse } from 'node:http'
import { isCloudimgError, reasonOf } from '../../core/error.ts'
import { isReadOnlyDisk } from '../../io/files.ts'

/** The codes of distribution-spec 1.1, "Error Codes". */
export type RegistryCode =
  | 'BLOB_UNKNOWN'
  | 'BLOB_UPLOAD_INVALID'
  | 'BLOB_UPLOAD_UNKNOWN'
  | 'DIGEST_INVALID'
  | 'MANIFEST_BLOB_UNKNOWN'
  | 'MANIFEST_INVALID'
  | 'MANIFEST_UNKNOWN'
  | 'NAME_INVALID'
  | 'NAME_UNKNOWN'
  | 'SIZE_INVALID'
  | 'UNAUTHORIZED'
  | 'DENIED'
  | 'UNSUPPORTED'
  /** Not in the specification: distribution's word for an `n` that it does not take. */
  | 'PAGINATION_NUMBER_INVALID'
  | 'UNKNOWN'

/** Ends a request with an error body; thrown anywhere below the server's one handler. */
export class Refusal extends Error {
  readonly status: number
  readonly code: RegistryCode
  readonly headers: Readonly<Record<string, string>>

  constructor(status: number, code: RegistryCode, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message)
    this.name = 'Refusal'
    this.status = status
    this.code = code
    this.headers = headers
  }
}

export function sendJson(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = {},
  head = false,
): void {
  const body = Buffer.from(JSON.stringify(value))
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': body.length, ...headers })
  response.end(head ? undefined : body)
}

export function sendEmpty(response: ServerResponse, status: number, headers: Readonly<Record<string, string>>): void {
  response.writeHead(status, { 'content-length': '0', ...headers }).end()
}

/** Once bytes have gone out, a cut connection is the only way left to say that something is wrong. */
export function sendRefusal(
  response: ServerResponse,
  { status, code, message, headers }: Refusal,
  head: boolean,
): void {
  if (response.headersSent) response.destroy()
  else sendJson(response, status, { errors: [{ code, message }] }, headers, head)
}

/** What a client is told of an error. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof Refusal) return error
  if (isCloudimgError(error, 'DIGEST_MISMATCH')) return new Refusal(400, 'DIGEST_INVALID', error.message)
  if (isCloudimgError(error, 'SIZE_MISMATCH')) return new Refusal(400, 'SIZE_INVALID', error.message)
  if (isCloudimgError(error, 'IMAGE_INVALID')) return new Refusal(400, 'MANIFEST_INVALID', error.message)
  if (isCloudimgError(error, 'IMAGE_NOT_FOUND')) return new Refusal(404, 'BLOB_UNKNOWN', error.message)
  if (isReadOnlyDisk(error)) return new Refusal(405, 'UNSUPPORTED', error.message, { allow: 'GET, HEAD' })
  if (isCloudimgError(error, 'DISK_FULL')) return new Refusal(507, 'UNKNOWN', error.message)
  return new Refusal(500, 'UNKNOWN', reasonOf(error))
}
