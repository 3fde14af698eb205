import { readFile } from 'node:fs/promises'
import { type ClusterMetadata, formatClusterMetadata } from '../core/cluster-metadata.ts'
import { withFileErrors } from '../io/files.ts'
import { packageFile } from '../io/package-file.ts'
import type { BuildTree, TreeEntry } from './tree.ts'

/** Where the runtime installer lies in every cluster image. */
export const installerPath = 'scripts/cloudimg-node'

const installerSource = packageFile('scripts/cloudimg-node')

/** The one last layer of a cluster image: Kubefile, Metadata and, unless it brought its own or wants none, the installer. */
export async function clusterLayerEntries(
  tree: BuildTree,
  kubefileSource: string,
  metadata: ClusterMetadata,
  withInstaller: boolean,
): Promise<readonly TreeEntry[]> {
  const entries = [
    textFile('Kubefile', kubefileSource, 0o644),
    textFile('Metadata', formatClusterMetadata(metadata), 0o644),
  ]
  if (!withInstaller || tree.get(installerPath) !== undefined) return entries
  const script = await withFileErrors('reading', installerSource, () => readFile(installerSource, 'utf8'))
  const directory: TreeEntry[] = tree.isDirectory('scripts')
    ? []
    : [{ type: 'directory', path: 'scripts', mode: 0o755, uid: 0, gid: 0 }]
  return [...entries, ...directory, textFile(installerPath, script, 0o755)]
}

function textFile(path: string, text: string, mode: number): TreeEntry {
  const bytes = Buffer.from(text)
  return { type: 'file', path, mode, uid: 0, gid: 0, size: bytes.length, content: { from: 'memory', bytes } }
}
