import { GiB, KiB, MiB } from '../core/bytes.ts'

/** Every read of something foreign has a bound, and it stands here (facts/oci.md §9.7). */
export const limits = {
  manifestBytes: 4 * MiB,
  configBytes: 8 * MiB,
  tokenBytes: 64 * KiB,
  errorBodyBytes: 64 * KiB,
  indexDepth: 4,
  indexEntries: 1000,
  /** Manifests and indexes below one name, each counted as often as it is named: indexes of indexes multiply. */
  documents: 10_000,
  /** Of all these together: they are kept in memory. */
  documentBytes: 64 * MiB,
  archiveEntries: 2_000_000,
  archiveExtensionBytes: MiB,
  /** Paths, link targets and attributes of a whole archive: what must be kept in memory of it. */
  archiveNameBytes: 512 * MiB,
  /** Directories in one another; their names of one letter fill a path. */
  pathParts: 2048,
  /** Parts of link targets that are followed while one image's tree is put together. */
  linkSteps: 10_000_000,
  /** A tar as large as this in all, uncompressed, is taken for a bomb. */
  archiveBytes: 1024 * GiB,
  /** Bytes out for each byte in; beyond the first ones. gzip ends at 1032, binaries and text below 50. */
  decompressionRatio: 250,
  decompressionFreeBytes: 256 * MiB,
  pathBytes: 4096,
  kubefileBytes: MiB,
} as const
