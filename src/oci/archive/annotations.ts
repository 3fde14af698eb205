/** What descriptors in an archive's index.json are called, and what they belong to. */
export const annotationNames = {
  /** The full reference; containerd, docker and nerdctl read and write it. */
  imageName: 'io.containerd.image.name',
  /** The tag alone (image-spec, annotations.md); some tools write a full reference here. */
  refName: 'org.opencontainers.image.ref.name',
  /** The digest of what a signature or SBOM is about, as containerd's export notes it. */
  subject: 'io.containerd.manifest.subject',
} as const
