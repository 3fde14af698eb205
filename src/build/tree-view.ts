import type { Context } from '../core/context.ts'
import type { Store } from '../oci/store/store.ts'
import type { WorkloadTree } from '../workload/workload-tree.ts'
import type { BuildTree, TreeFile } from './tree.ts'
import { readTreeBytes } from './tree-content.ts'

/** The tree as those see it who look for images in it. */
export function treeView(store: Store, tree: BuildTree, ctx: Context): WorkloadTree {
  return {
    files: directory => [...tree.files(directory)],
    read: file => readTreeBytes(store, tree.get(file.path) as TreeFile, ctx),
  }
}
