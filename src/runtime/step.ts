import type { Digest } from '../core/digest.ts'

/** A value known only at run time (a token): named in the plan, never printed. */
export interface Hole {
  readonly hole: string
  readonly secret: boolean
}
export type Content = readonly (string | Hole)[]

/** What of a rootfs goes to a host in one stream: small files, and what has no content. */
export type TreeEntry =
  | {
      readonly type: 'file'
      readonly path: string
      readonly mode: number
      readonly size: number
      readonly digest: Digest
    }
  | { readonly type: 'directory'; readonly path: string; readonly mode: number }
  | { readonly type: 'symlink'; readonly path: string; readonly target: string }

/** One change to one host, as data. Bytes are named by digest, secrets by holes. */
export type Op =
  | {
      readonly op: 'file'
      readonly path: string
      readonly mode: number
      readonly content: Content
      /** For people, where something like it is there already: `- line` and `+ line` instead of the whole. */
      readonly changes?: readonly string[]
    }
  | {
      readonly op: 'upload'
      readonly path: string
      readonly mode: number
      readonly digest: Digest
      readonly size: number
      /** Another host of the operation may have it, or will, and passes it on; the operator sends it where none does. */
      readonly passedOn?: true
    }
  | {
      readonly op: 'unpack'
      readonly directory: string
      readonly entries: readonly TreeEntry[]
      readonly passedOn?: true
    }
  /** Files that another rootfs on the same host has already. */
  | {
      readonly op: 'copy'
      readonly files: readonly {
        readonly from: string
        readonly to: string
        readonly mode: number
        readonly digest: Digest
      }[]
    }
  | { readonly op: 'exec'; readonly argv: readonly string[] }
  /** A verb of the image's own installer, run detached so that it outlives the connection. */
  | {
      readonly op: 'installer'
      readonly verb: string
      readonly rootfs: string
      readonly args: readonly string[]
      readonly timeoutSeconds: number
    }
  /** Waits for something to come about by itself. */
  | {
      readonly op: 'wait'
      readonly until: Probe
      readonly what: string
      readonly timeoutSeconds: number
      /** What to do where it does not come about. */
      readonly hint?: string
    }
  /** Sees that something stays as it is for a while; fails at once where it does not. */
  | { readonly op: 'watch'; readonly stays: Probe; readonly what: string; readonly seconds: number }
  /** Lets the cluster settle. */
  | { readonly op: 'pause'; readonly seconds: number }
  /** Brings images of the bundle to the registry of a URL, those that it lacks; done by the operator, not by the host. */
  | { readonly op: 'push'; readonly url: string }
  /** Brings a file to the operator, who keeps it under this name with the operation's other things, 0600. */
  | { readonly op: 'fetch'; readonly path: string; readonly name: string }

/** What makes a step needless (before) and proves it (after). Looking only. */
export type Probe =
  | { readonly probe: 'files'; readonly files: readonly { readonly path: string; readonly digest: Digest }[] }
  /** The text, exactly; a hole that has no value yet stands for any value. */
  | { readonly probe: 'content'; readonly path: string; readonly content: Content }
  | {
      readonly probe: 'command'
      readonly argv: readonly string[]
      readonly expect: 'zero' | { readonly stdout: string }
    }
  | { readonly probe: 'all'; readonly of: readonly Probe[] }
  | { readonly probe: 'any'; readonly of: readonly Probe[] }
  /** Looked at from another host: whether a node is Ready is for a server to tell. */
  | { readonly probe: 'on'; readonly host: string; readonly of: Probe }
  /** The registry of a URL has every image of the bundle. */
  | { readonly probe: 'pushed'; readonly url: string }
  /**
   * Of the certificates that the command prints, authorities apart: there are some, and all `end` later than in so many days; or any
   * one ends before.
   */
  | {
      readonly probe: 'certificates'
      readonly argv: readonly string[]
      readonly end: 'after' | 'before'
      readonly days: number
    }
  /** What `fetch` keeps is there. */
  | { readonly probe: 'kept'; readonly name: string }

export type Undo = { readonly kind: 'exact' | 'compensating'; readonly do: readonly Op[] } | 'none'

export interface DeployStep {
  /** Stable over plans: the idempotence key, and how the journal names it. */
  readonly id: string
  readonly host: string
  /** Whose turn it is, where that is not the host: steps of one lane follow each other, lanes run side by side. */
  readonly lane?: string
  /** What people read, in the infinitive: "start k3s as a server". */
  readonly sentence: string
  readonly do: readonly Op[]
  readonly done: Probe
  /** What the plan found and relies on; if it no longer holds, the plan is stale. */
  readonly assumes?: Probe
  /** The first step without undo is the plan's point of no return. */
  readonly undo: Undo
  /** Where the step fails and `unless` does not hold, this host alone is put back to where it was. */
  readonly takeBack?: { readonly unless: Probe; readonly do: readonly Op[] }
}

export function hole(name: string): Hole {
  return { hole: name, secret: true }
}

/** For people and plans: every hole as `<name>`. */
export function printContent(content: Content): string {
  return content.map(part => (typeof part === 'string' ? part : `<${part.hole}>`)).join('')
}

/** True where `text` is the content; holes that `values` does not know match anything on their line. */
export function matchesContent(text: string, content: Content, values: ReadonlyMap<string, string>): boolean {
  const escape = (part: string): string => part.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
  const pattern = content.map(part => {
    if (typeof part === 'string') return escape(part)
    const value = values.get(part.hole)
    return value === undefined ? '[^\\n"]+' : escape(value)
  })
  return new RegExp(`^${pattern.join('')}$`).test(text)
}
