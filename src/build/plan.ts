import type { Application } from '../core/application.ts'
import type { Span } from '../core/diagnostic.ts'
import type { Digest } from '../core/digest.ts'
import type { Platform } from '../core/platform.ts'
import type { Word } from '../kubefile/ast.ts'
import type { ContainerConfig } from '../oci/image.ts'
import type { ConfigChange } from './container-config.ts'
import type { FileMode } from './file-mode.ts'
import type { GitSource } from './git-source.ts'

/** What every step carries: the line it comes from, as written. */
interface FromKubefile {
  readonly createdBy: string
  readonly span: Span
}

/** A name or number for the owner of what is copied; numbers as written, names looked up in the tree's passwd. */
export interface OwnerWish {
  readonly user: string
  readonly group: string | undefined
}

/** Where COPY finds its sources. A stage is meant by its number, an image by its name in full. */
export type CopyOrigin =
  | { readonly from: 'context' }
  | { readonly from: 'stage'; readonly stage: number }
  | { readonly from: 'image'; readonly image: string }
  /** A directory that `--build-context` names. */
  | { readonly from: 'named'; readonly name: string }

export type CopyItem =
  | { readonly kind: 'path'; readonly path: string }
  /** A here-document: the file that it makes. */
  | { readonly kind: 'text'; readonly name: string; readonly text: string }
  | { readonly kind: 'url'; readonly url: string; readonly checksum: Digest | undefined }
  | { readonly kind: 'git'; readonly source: GitSource }

export interface CopyPlan {
  readonly origin: CopyOrigin
  readonly sources: readonly CopyItem[]
  /** Relative to the root or absolute; a trailing slash means a directory. */
  readonly target: string
  readonly owner: OwnerWish | undefined
  readonly mode: FileMode | undefined
  readonly wellKnownNames: boolean
  readonly link: boolean
  readonly parents: boolean
  readonly exclude: readonly string[]
  /** ADD alone: archives are laid down as what is in them. */
  readonly unpack: boolean
}

export type CopyStep = FromKubefile & { readonly kind: 'copy' } & CopyPlan

/** A mount that is there for one command. Targets are absolute. */
export type RunMount =
  | {
      readonly type: 'bind'
      readonly target: string
      readonly origin: CopyOrigin
      readonly source: string
      /** What is written into it is dropped. */
      readonly writable: boolean
    }
  | {
      readonly type: 'cache'
      readonly target: string
      readonly id: string
      readonly sharing: 'shared' | 'private' | 'locked'
      /** What it begins with. */
      readonly origin: CopyOrigin | undefined
      readonly source: string
      readonly writable: boolean
      readonly mode: number
      readonly uid: number
      readonly gid: number
    }
  | { readonly type: 'tmpfs'; readonly target: string; readonly size: number | undefined }
  | {
      readonly type: 'secret'
      readonly id: string
      /** A file, an environment variable, or both. */
      readonly target: string | undefined
      readonly env: string | undefined
      readonly required: boolean
      readonly mode: number
      readonly uid: number
      readonly gid: number
    }

export interface RunCommand {
  readonly argv: readonly string[]
  /** It runs in the tree iff this is there, else in the toolbox. */
  readonly program: string
  /** A script of its own, which stands at `path`. */
  readonly script?: { readonly path: string; readonly text: string }
}

export interface RunPlan {
  readonly command: RunCommand
  readonly env: Readonly<Record<string, string>>
  /** Names in `env` that the result does not depend on: proxies. */
  readonly unkeyed: readonly string[]
  readonly workdir: string
  readonly user: string | undefined
  /** Anything but `none` unseals. */
  readonly network: 'none' | 'default' | 'host'
  readonly mounts: readonly RunMount[]
}

export type RunStep = FromKubefile & { readonly kind: 'run' } & RunPlan

export type Step =
  | RunStep
  | CopyStep
  | (FromKubefile &
      (
        | { readonly kind: 'template'; readonly template: string; readonly version: string | undefined }
        | { readonly kind: 'collect' }
        | { readonly kind: 'configure'; readonly change: ConfigChange }
        /** What only Metadata tells: an application's variables and command, and what starts. */
        | { readonly kind: 'declare'; readonly what: string }
        /** WORKDIR: a directory that is made where it is missing, for the user of the image. */
        | { readonly kind: 'directory'; readonly path: string; readonly owner: OwnerWish | undefined }
      ))

/** An application as far as the Kubefile tells; what its files are is seen when they are there. */
export interface PlannedApplication {
  readonly name: string
  /** The names of its sources, in order. */
  readonly sources: readonly string[]
  readonly env: Readonly<Record<string, string>>
  /** What APPCMDS says. */
  readonly command?: readonly string[]
  /** As the base image has it: its files are known. */
  readonly inherited?: Application
}

/** What runs once the cluster is up. */
export interface LaunchPlan {
  readonly from: 'LAUNCH' | 'CMDS' | 'CMD'
  readonly applications: readonly string[]
  /** Where each of them is named. */
  readonly words: readonly Word[]
  /** Lines for the shell. */
  readonly commands: readonly string[]
}

/** What FROM names, for one platform. */
export interface BaseImageName {
  /** In full: `docker.io/library/alpine:3.20`. */
  readonly image: string
  readonly platform: Platform
}

export type StageBase =
  | { readonly from: 'scratch' }
  | { readonly from: 'stage'; readonly stage: number }
  | ({ readonly from: 'image' } & BaseImageName)

export interface StagePlan {
  /** Counted from 0 in the Kubefile. */
  readonly number: number
  readonly name: string | undefined
  readonly base: StageBase
  /** The stages that must be finished before: what it begins with and what it copies from. */
  readonly uses: readonly number[]
  readonly platform: Platform
  readonly steps: readonly Step[]
  /** After all steps. */
  readonly config: ContainerConfig
  readonly author: string | undefined
  readonly applications: readonly PlannedApplication[]
  /** Never inherited: what a base starts is the base's. */
  readonly launch: LaunchPlan | undefined
}

/** Pure data: what one platform's build does, in order. `build --plan` prints it. */
export interface BuildPlan {
  readonly platform: Platform
  /** Those that are needed, in the order of the file; the last one becomes the image. */
  readonly stages: readonly StagePlan[]
}
