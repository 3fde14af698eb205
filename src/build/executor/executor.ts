import type { Context } from '../../core/context.ts'
import type { Platform } from '../../core/platform.ts'
import type { BuildTree, LayerEntry, TreeEntry, TreeFile } from '../tree.ts'

/** In the order in which they are tried; `chroot` only where it is asked for. */
export const executorNames = ['unshare', 'bubblewrap', 'crun', 'runc', 'docker', 'podman', 'chroot'] as const
export type ExecutorName = (typeof executorNames)[number]

/** Whether owners in the tree are what they say, or all is one user's: nobody can be given a file then. */
export type Owners = 'all' | 'one'

export type Availability =
  | { readonly ok: true; readonly owners: Owners; readonly how: string }
  | { readonly ok: false; readonly reason: string; readonly hint?: string }

/** A tree whose bytes can be read. */
export interface ReadableTree {
  readonly tree: BuildTree
  readonly read: (file: TreeFile, ctx: Context) => AsyncIterable<Buffer>
}

/** What lies over the new root for one command; targets are relative to it, no link in them. */
export type JobMount =
  | {
      readonly kind: 'bind'
      readonly source: string
      readonly target: string
      readonly type: 'file' | 'directory'
      readonly readonly: boolean
    }
  | { readonly kind: 'tmpfs'; readonly target: string; readonly size: number | undefined }

export interface JobUser {
  readonly uid: number
  readonly gid: number
  /** Supplementary groups; the user's own is among them. */
  readonly groups: readonly number[]
}

/** One command, with everything that it finds. */
export interface RunJob {
  readonly tree: ReadableTree
  /** Entries that the tree lacks and the command needs as places for mounts; never part of the result. */
  readonly skeleton: readonly TreeEntry[]
  /** Undefined: the tree is the root. Else the tree is at `/rootfs` below a root made of this. */
  readonly toolbox: Toolbox | undefined
  readonly mounts: readonly JobMount[]
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** Absolute, as the command sees it. */
  readonly workdir: string
  readonly user: JobUser
  /** `host`: that of the machine. */
  readonly network: 'none' | 'host'
  readonly platform: Platform
}

export type Toolbox = { readonly from: 'host' } | { readonly from: 'image'; readonly content: ReadableTree }

/** What a command left, as a tar: what is new or changed in it, or all of it. */
export interface RunResult {
  readonly kind: 'upper' | 'merged'
  readonly owners: Owners
  /** Whether devices of the tree were there at all. */
  readonly hasDevices: boolean
  readonly tar: AsyncIterable<Buffer>
  /** What an engine leaves of its own accord where nothing is; none unless told. */
  readonly marks?: readonly string[]
  /** The directory in it that the tree is; all of it unless told. */
  readonly prefix?: string
}

export interface RunWatch {
  readonly onOutput: (stream: 'stdout' | 'stderr', text: string) => void
}

/** Why a command ended; the result can be read where the code is 0. */
export interface RunEnd {
  readonly code: number
  /** @throws what the result's reader throws. */
  readResult<T>(take: (result: RunResult) => Promise<T>): Promise<T>
}

/** One stage's commands, one after another, on its tree. */
export interface RunSession {
  readonly owners: Owners
  /** A private directory for what one stage's commands need beside the tree. */
  readonly directory: string
  /** Lays entries down in a new directory as the tree's root would own them. */
  lay(content: ReadableTree, directory: string, ctx: Context): Promise<void>
  /** @throws EXECUTOR_UNAVAILABLE where the command cannot be run here at all. */
  run(job: RunJob, watch: RunWatch, ctx: Context): Promise<RunEnd>
  /** What became of the tree since the last command, its own changes included. */
  changed(entries: readonly LayerEntry[]): void
  close(): Promise<void>
}

export interface Executor {
  readonly name: ExecutorName
  /** Tries it. `home` is the store's. */
  probe(home: string, ctx: Context): Promise<Availability>
  /** Clears what killed builds left, too. @throws EXECUTOR_UNAVAILABLE. */
  open(home: string, ctx: Context): Promise<RunSession>
}
