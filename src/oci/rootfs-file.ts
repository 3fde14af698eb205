import type { Readable } from 'node:stream'
import type { Context } from '../core/context.ts'
import type { Digest } from '../core/digest.ts'

/** One entry of an image's merged tree, as a host needs it: what it is, what it hashes to, and how to get its bytes. */
export type RootfsFile =
  | {
      readonly type: 'file'
      /** Relative, no leading slash, no `..`. */
      readonly path: string
      readonly mode: number
      readonly size: number
      readonly digest: Digest
      open(ctx: Context): Promise<Readable>
    }
  | { readonly type: 'directory'; readonly path: string; readonly mode: number }
  | { readonly type: 'symlink'; readonly path: string; readonly target: string }
