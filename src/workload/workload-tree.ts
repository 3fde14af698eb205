/** A rootfs in which images are looked for, wherever it lies: a build's tree, a directory, an image. */
export interface WorkloadTree {
  /** Regular files below the directory, at any depth, in byte order of their paths; nothing where it is missing. */
  files(directory: string): readonly WorkloadFile[]
  /** @throws SIZE_MISMATCH for what is too large to be read whole. */
  read(file: WorkloadFile): Promise<Buffer>
}

export interface WorkloadFile {
  /** Relative to the root of the rootfs. */
  readonly path: string
  readonly size: number
}
