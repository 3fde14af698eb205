/** The closed list of what can go wrong. `cli/exit-code.ts` gives each its exit code. */
export type ErrorCode =
  | 'USAGE'
  | 'CANCELLED'
  | 'BUG'
  | 'KUBEFILE_INVALID'
  | 'CLUSTERFILE_INVALID'
  | 'UNSUPPORTED'
  | 'ARTIFACT_UNKNOWN'
  | 'ARTIFACT_UNAVAILABLE'
  | 'OFFLINE'
  | 'DIGEST_MISMATCH'
  | 'SIZE_MISMATCH'
  | 'LOCK_MISMATCH'
  | 'UNSAFE_ARCHIVE'
  | 'ARCHIVE_INVALID'
  | 'CONTEXT_INVALID'
  | 'IMAGE_UNRESOLVED'
  | 'DISK_FULL'
  | 'FILE_ERROR'
  | 'IMAGE_NOT_FOUND'
  | 'IMAGE_INVALID'
  | 'PLATFORM_MISSING'
  | 'STORE_LOCKED'
  | 'REGISTRY_AUTH'
  | 'REGISTRY_DENIED'
  | 'REGISTRY_ERROR'
  | 'NETWORK'
  | 'RUN_FAILED'
  | 'EXECUTOR_UNAVAILABLE'
  | 'HOST_UNREACHABLE'
  | 'HOST_KEY_CHANGED'
  | 'HOST_UNSUITABLE'
  | 'REFUSED'
  | 'COMMAND_FAILED'
  | 'PHASE_FAILED'
  | 'PLAN_STALE'
  | 'CLUSTER_LOCKED'

/** Small and flat: what a machine may want to read beside the message. Never a secret. */
export type ErrorData = Readonly<Record<string, string | number | boolean>>

export interface ErrorDetails {
  /** An imperative sentence with the exact flag or command that helps. */
  readonly hint?: string
  readonly cause?: unknown
  readonly data?: ErrorData
}

/** Wording: doing what, to which thing: why. Lower case, no full stop, values in quotes, wanted and found both shown. */
export class CloudimgError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly data: ErrorData

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.name = 'CloudimgError'
    this.code = code
    this.hint = details.hint
    this.data = details.data ?? {}
  }
}

export function isCloudimgError(error: unknown, code?: ErrorCode): error is CloudimgError {
  return error instanceof CloudimgError && (code === undefined || error.code === code)
}

/** The text of anything that was thrown, for the "why" of a message. */
export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Node's errno code (`ENOENT`, `ECONNRESET` …) where there is one. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined
  return typeof error.code === 'string' ? error.code : undefined
}
