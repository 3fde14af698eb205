import type { Readable } from 'node:stream'
import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'
import type { ExecResult } from './shell.ts'

export interface FileState {
  readonly size: number
  readonly mode: number
  /** Of regular files. */
  readonly digest?: Digest
}

/** All that phases and runtimes get: looking, never changing. Everything runs as root. */
export interface ReadonlyHost {
  readonly name: string
  readonly arrivedAt?: string
  /** Runs a command that changes nothing; any exit code is an answer. */
  look(argv: readonly string[], ctx: Context): Promise<ExecResult>
  /** In the order of the paths; undefined where nothing is. Links are followed. */
  stat(paths: readonly string[], ctx: Context): Promise<readonly (FileState | undefined)[]>
  /** The text of a small file; undefined where there is none. */
  read(path: string, ctx: Context): Promise<string | undefined>
}

export interface ExecOptions {
  readonly input?: string
  /** Values that must not appear in what is reported of the output. */
  readonly secrets?: readonly string[]
  /** A code other than 0 is thrown as COMMAND_FAILED; true unless told. */
  readonly check?: boolean
}

export interface UploadFile {
  readonly to: string
  readonly mode: number
  readonly size: number
  readonly digest: Digest
  /** The bytes from `offset` on; may be called again after a failure. */
  open(offset: number, ctx: Context): Promise<Readable>
}

/** A machine that can be changed. Only the door (`deploy/door.ts`) and the lock around it hold one. */
export interface Host extends ReadonlyHost {
  exec(argv: readonly string[], options: ExecOptions, ctx: Context): Promise<ExecResult>
  /** Never half a file: temp beside the target, hashed at both ends, mode, rename. A cut transfer goes on where it stopped. */
  upload(file: UploadFile, ctx: Context, onProgress?: (sent: number) => void): Promise<'sent' | 'unchanged'>
  /** Unpacks a tar stream below a directory, which is made if need be; owners become root, times become now. */
  unpack(directory: string, tar: Readable, ctx: Context): Promise<void>
  close(): Promise<void>
}
