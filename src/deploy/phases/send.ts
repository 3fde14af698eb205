import { join } from 'node:path/posix'
import { formatBytes } from '../../core/bytes.ts'
import { digestOf } from '../../core/digest.ts'
import type { DeployStep, Op, TreeEntry, Undo } from '../../runtime/step.ts'
import { type Passing, planPassing } from '../fanout/passing.ts'
import { checksumList, missingFiles, treeName } from '../missing-files.ts'
import type { Deployment, Phase } from '../plan.ts'
import type { SituatedNode } from '../situation.ts'

/** Brings the rootfs of its platform to every host: what the host lacks, nothing more, and verified there. */
export const send: Phase = {
  title: 'Send',
  passesOn: ({ wishes }) => wishes.fanOut === true,
  steps(deployment) {
    const shared = { passing: planPassing(deployment), lists: new Map(), trees: new Map() }
    return deployment.nodes.flatMap(node => sendSteps(node, deployment, shared))
  },
}

/** What is made once, however many hosts get the same. */
interface Shared {
  readonly passing: Passing
  /** Lists of checksums. */
  readonly lists: Map<string, string>
  readonly trees: Map<string, readonly TreeEntry[]>
}

function sendSteps(node: SituatedNode, deployment: Deployment, shared: Shared): readonly DeployStep[] {
  const verify = verifyStep(
    node,
    once(shared.lists, treeName(node), () => checksumList(node.tree)),
    deployment,
  )
  if (node.staged) return [verify]
  const { copies, large, small } = missingFiles(node)
  const at = (path: string): string => join(node.rootfs.directory, path)
  const step = (id: string, sentence: string, op: Op, paths: readonly string[]): DeployStep => ({
    id: `send/${node.host}/${id}`,
    host: node.host,
    sentence,
    do: [op],
    done: {
      probe: 'files',
      files: paths.map(path => ({ path: at(path), digest: node.rootfs.files.get(path)!.digest })),
    },
    undo: removal(node),
  })
  const steps: DeployStep[] = []
  const names = small.map(file => file.path)
  const tree = once(shared.trees, [treeName(node), ...names].join('\n'), () => treeEntries(node, new Set(names)))
  if (tree.length > 0) {
    const bytes = small.reduce((sum, file) => sum + file.size, 0)
    const { passedOn, words } = shared.passing.ofTree(node)
    steps.push(
      step(
        'tree',
        `send ${small.length} small files, ${formatBytes(bytes)}${words}`,
        { op: 'unpack', directory: node.rootfs.directory, entries: tree, ...(passedOn ? { passedOn } : {}) },
        names,
      ),
    )
  }
  if (copies.length > 0) {
    const files = copies.map(({ file, from }) => ({ from, to: at(file.path), mode: file.mode, digest: file.digest }))
    steps.push(
      step(
        'copies',
        `take ${files.length} files from another rootfs on this host`,
        { op: 'copy', files },
        copies.map(copy => copy.file.path),
      ),
    )
  }
  for (const { path, mode, size, digest } of large) {
    const { passedOn, words } = shared.passing.ofFile(node, digest)
    const op: Op = { op: 'upload', path: at(path), mode, size, digest, ...(passedOn ? { passedOn } : {}) }
    steps.push(step(path, `send ${path}, ${formatBytes(size)}${words}`, op, [path]))
  }
  return [...steps, verify]
}

/** Directories and links always: they cost nothing, and no checksum tells that they are missing. */
function treeEntries(node: SituatedNode, small: ReadonlySet<string>): readonly TreeEntry[] {
  return node.tree.flatMap((file): TreeEntry[] => {
    switch (file.type) {
      case 'directory':
        return [{ type: 'directory', path: file.path, mode: file.mode }]
      case 'symlink':
        return [{ type: 'symlink', path: file.path, target: file.target }]
      case 'file': {
        const { path, mode, size, digest } = file
        return small.has(path) ? [{ type: 'file', path, mode, size, digest }] : []
      }
    }
  })
}

function verifyStep(node: SituatedNode, list: string, { cluster }: Deployment): DeployStep {
  const { directory } = node.rootfs
  return {
    id: `send/${node.host}/verify`,
    host: node.host,
    sentence: `verify all ${node.rootfs.files.size} files by sha256`,
    do: [
      { op: 'file', path: `${directory}.sums`, mode: 0o600, content: [list] },
      { op: 'installer', verb: 'stage', rootfs: directory, args: [], timeoutSeconds: cluster.timeoutSeconds },
    ],
    done: {
      probe: 'files',
      files: [`${directory}.sums`, `${directory}.staged`].map(path => ({ path, digest: digestOf(list) })),
    },
    undo: removal(node),
  }
}

function removal(node: SituatedNode): Undo {
  const { directory } = node.rootfs
  return {
    kind: 'exact',
    do: [{ op: 'exec', argv: ['rm', '-rf', '--', directory, `${directory}.sums`, `${directory}.staged`] }],
  }
}

function once<K, V>(made: Map<K, V>, key: K, make: () => V): V {
  const value = made.get(key) ?? make()
  made.set(key, value)
  return value
}
