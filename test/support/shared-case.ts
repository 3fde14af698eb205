/** A build for cloudimg and buildah alike, in a context of its own. */
export interface SharedCase {
  readonly name: string
  /** The context, as `writeContextFiles` takes it. */
  readonly files: readonly string[]
  /** `FROM scratch` stands before them unless they have a FROM. */
  readonly lines: string
  readonly buildArgs?: Readonly<Record<string, string>>
  readonly target?: string
}
