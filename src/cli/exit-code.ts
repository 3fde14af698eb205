import type { CloudimgError, ErrorCode } from '../core/error.ts'

export type ExitCode = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 130

/** For `--help` and docs: what a script may rely on. */
export const exitCodeMeanings: readonly (readonly [code: ExitCode, meaning: string])[] = [
  [0, 'done'],
  [1, 'failed'],
  [2, 'usage'],
  [3, 'Kubefile or Clusterfile invalid'],
  [4, 'registry authentication'],
  [5, 'digest, size or lock mismatch'],
  [6, 'failed after changes began; the same command resumes'],
  [7, 'refused before any change'],
  [8, 'locked by another operation'],
  [9, 'differences pending'],
  [130, 'interrupted'],
]

const codes: Readonly<Record<ErrorCode, ExitCode>> = {
  USAGE: 2,
  CANCELLED: 130,
  BUG: 1,
  KUBEFILE_INVALID: 3,
  CLUSTERFILE_INVALID: 3,
  UNSUPPORTED: 1,
  ARTIFACT_UNKNOWN: 1,
  ARTIFACT_UNAVAILABLE: 1,
  OFFLINE: 1,
  DIGEST_MISMATCH: 5,
  SIZE_MISMATCH: 5,
  LOCK_MISMATCH: 5,
  UNSAFE_ARCHIVE: 1,
  ARCHIVE_INVALID: 1,
  CONTEXT_INVALID: 1,
  IMAGE_UNRESOLVED: 1,
  DISK_FULL: 1,
  FILE_ERROR: 1,
  IMAGE_NOT_FOUND: 1,
  IMAGE_INVALID: 1,
  PLATFORM_MISSING: 1,
  STORE_LOCKED: 8,
  REGISTRY_AUTH: 4,
  REGISTRY_DENIED: 4,
  REGISTRY_ERROR: 1,
  NETWORK: 1,
  RUN_FAILED: 1,
  EXECUTOR_UNAVAILABLE: 1,
  HOST_UNREACHABLE: 7,
  HOST_KEY_CHANGED: 7,
  HOST_UNSUITABLE: 7,
  REFUSED: 7,
  COMMAND_FAILED: 1,
  PHASE_FAILED: 6,
  PLAN_STALE: 6,
  CLUSTER_LOCKED: 8,
}

/** `changed` in an error's data overrules: what failed after the first change on a host can be resumed. */
export function exitCodeOf(error: CloudimgError): ExitCode {
  if (error.data.changed === true && error.code !== 'CANCELLED') return 6
  return codes[error.code]
}
