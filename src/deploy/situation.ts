import type { Digest } from '../core/digest.ts'
import type { RootfsFile } from '../oci/rootfs-file.ts'
import type { PlannedNode } from '../runtime/runtime.ts'

/** A planned node with what its host holds of its rootfs: all that planning needs to know. */
export interface SituatedNode extends PlannedNode {
  readonly tree: readonly RootfsFile[]
  /** Files already in the rootfs directory, by path in the rootfs. */
  readonly present: ReadonlyMap<string, Digest>
  /** The installer has verified the whole directory. */
  readonly staged: boolean
  /** It is to leave the cluster. */
  readonly leaves?: boolean
  /** It is not given the collected images: it asks a registry for them. */
  readonly pulls?: boolean
}
