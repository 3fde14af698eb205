/** A build whose tree, or refusal, is known from facts/oci.md: `section` says where. */
export interface ExpectedCase {
  readonly name: string
  readonly section: string
  /** The context, as `writeContextFiles` takes it. */
  readonly files?: readonly string[]
  /** The same for what a web server has; `URL` in the lines is its address. */
  readonly remote?: readonly string[]
  /** Tar archives in the context, packed as their names say, by what is in them. */
  readonly archives?: Readonly<Record<string, readonly string[]>>
  readonly remoteArchives?: Readonly<Record<string, readonly string[]>>
  /** `FROM scratch` stands before them unless they have a FROM. */
  readonly lines: string
  readonly buildArgs?: Readonly<Record<string, string>>
  readonly target?: string
  /** As `expectedTree` takes it. */
  readonly tree?: readonly string[]
  /** Paths that are there too, whatever is in them. */
  readonly beside?: readonly string[]
  /** What the refusal says. */
  readonly error?: RegExp
}
