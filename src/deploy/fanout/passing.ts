import type { Digest } from '../../core/digest.ts'
import { missingFiles, treeName } from '../missing-files.ts'
import type { Deployment } from '../plan.ts'
import type { SituatedNode } from '../situation.ts'

/** How a file comes to a host. */
export interface Way {
  readonly passedOn: boolean
  /** For the step's sentence; empty where nobody asked for anything but direct uploads. */
  readonly words: string
}

/** Pure: which hosts may get a file, or their small files together, from another host. */
export interface Passing {
  ofFile(node: SituatedNode, digest: Digest): Way
  ofTree(node: SituatedNode): Way
}

const direct: Way = { passedOn: false, words: '' }
const passed: Way = { passedOn: true, words: ', from a host that has it' }
const nobody: Way = { passedOn: false, words: ', directly: no other host can pass it on' }
const noClient: Way = { passedOn: false, words: ', directly: there is neither curl nor wget' }

export function planPassing({ nodes, wishes }: Pick<Deployment, 'nodes' | 'wishes'>): Passing {
  if (wishes.fanOut !== true) return { ofFile: () => direct, ofTree: () => direct }
  const servers = nodes.filter(node => node.facts.http.servers.length > 0)
  const files = new Map<string, number>()
  const trees = new Map<string, number>()
  const count = (counts: Map<string, number>, key: string): void => void counts.set(key, (counts.get(key) ?? 0) + 1)
  for (const server of servers) {
    for (const digest of new Set([...server.rootfs.files.values()].map(file => file.digest))) count(files, digest)
    if (isFresh(server)) count(trees, treeName(server))
  }
  const way = (node: SituatedNode, others: number): Way => {
    if (node.facts.http.clients.length === 0) return noClient
    return others > 0 ? passed : nobody
  }
  const canServe = (node: SituatedNode): number => (node.facts.http.servers.length > 0 ? 1 : 0)
  return {
    ofFile: (node, digest) => way(node, (files.get(digest) ?? 0) - canServe(node)),
    ofTree: node => (isFresh(node) ? way(node, (trees.get(treeName(node)) ?? 0) - canServe(node)) : nobody),
  }
}

/** It has nothing of this rootfs yet, so its small files are those of every other such host. */
function isFresh(node: SituatedNode): boolean {
  return !node.staged && node.present.size === 0 && missingFiles(node).copies.length === 0
}
