/** Who asked for a container image: for the person who has to find the line. */
export interface ImageRequest {
  /** In full, with registry and tag or digest. Of an archive that is named alone: the line itself, `oci-archive:app.tar`. */
  readonly image: string
  readonly file: string
  readonly line: number
  /** The way to the value: `spec.template.spec.containers[0].image`; empty for a line of a list. */
  readonly field: string
  /** Where the image is to be taken from, where that is no registry. */
  readonly source?: LocalSource
}

/** An image that somebody has on this machine, as skopeo names it. */
export interface LocalSource {
  readonly transport: 'docker-daemon' | 'docker-archive' | 'oci-archive' | 'oci'
  /** Of the archive or directory, relative to the build context; empty for the daemon. */
  readonly path: string
  /** Which of its images, as written: a name, or in an OCI layout a mere tag. All of them where absent. */
  readonly image?: string
  /** The name that the cluster knows it by, where it is another one. */
  readonly as?: string
}

export function describeSource({ transport, path, image, as }: LocalSource): string {
  const where = [transport, ...(path === '' ? [] : [path]), ...(image === undefined ? [] : [image])].join(':')
  return as === undefined ? where : `${where}@${as}`
}

/** `manifests/app.yaml:12`, and the field where there is one. */
export function describeAsker({ file, line, field }: Pick<ImageRequest, 'file' | 'line' | 'field'>): string {
  return field === '' ? `${file}:${line}` : `${file}:${line} ${field}`
}
