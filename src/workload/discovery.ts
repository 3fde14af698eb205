import type { ImageRequest } from './image-request.ts'

/** Where something stands, for the person who has to find it. */
export interface Place {
  readonly file: string
  readonly line: number
  readonly field: string
}

export type GuessReason =
  /** A name without tag or digest, where none is added elsewhere that we know of. */
  | 'no-version'
  /** Something in it is filled in later. */
  | 'variable'
  /** The tag is an unquoted number: 1.20 becomes 1.2. */
  | 'number-tag'
  /** A tag or registry, and no name. */
  | 'no-name'
  /** An operator that knows its images by a version. */
  | 'version-only'
  /** A parameter's value: it may be what is made. */
  | 'parameter'
  | 'output'
  | 'in-script'
  | 'docker-url'
  | 'crd-default'

/** What may be an image; a person decides. */
export interface Guess extends Place {
  readonly text: string
  readonly why: GuessReason
}

export type UnreadableReason =
  | 'broken-yaml'
  | 'template'
  | 'not-an-object'
  | 'bad-reference'
  | 'chart-template'
  | 'chart-not-in-tree'
  | 'broken-chart'

/** What could not be read or used: images that it asks for are not known. */
export interface Unreadable {
  readonly file: string
  readonly line: number
  readonly why: UnreadableReason
}

/** How a chart's images were found. */
export interface ChartReading {
  readonly chart: string
  readonly by: 'helm' | 'values'
}

/** Everything that a rootfs says about container images. Each list is sorted by place. */
export interface Discovery {
  readonly requests: readonly ImageRequest[]
  readonly guesses: readonly Guess[]
  readonly unreadable: readonly Unreadable[]
  readonly charts: readonly ChartReading[]
}
