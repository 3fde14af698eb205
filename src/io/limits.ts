import { GiB, KiB, MiB } from '../core/bytes.ts'

/** Every read of something foreign has a bound, and it stands here (facts/oci.md §9.7). */
export const limits = {
  manifestBytes: 4 * MiB,
  configBytes: 8 * MiB,
  tokenBytes: 64 * KiB,
  errorBodyBytes: 64 * KiB,
  indexDepth: 4,
  indexEntries: 1000,
  archiveEntries: 2_000_000,
  archiveExtensionBytes: MiB,
  /** A tar as large as this in all, uncompressed, is taken for a bomb. */
  archiveBytes: 1024 * GiB,
  /** Bytes out for each byte in; beyond the first 64 MiB. */
  decompressionRatio: 2000,
  pathBytes: 4096,
  kubefileBytes: MiB,
} as const
