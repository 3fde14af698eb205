import type { ConfigMap, ConfigValue, Datastore, Inherited, PlannedNode } from '../runtime.ts'
import { readRegistries } from './registries.ts'
import { isReservedKey } from './reserved-keys.ts'

/** What a node's configuration says of its place in the cluster. */
export interface Standing {
  /** The `server:` that it was told to join. */
  readonly joins: string | undefined
  readonly datastore: Datastore
}

/** Undefined where the machine has no configuration of cloudimg's. */
export function standingOf(node: PlannedNode): Standing | undefined {
  const entries = ownEntries(node)
  if (entries === undefined) return undefined
  const server = entries.get('server')
  const joins = typeof server === 'string' ? server : undefined
  if (entries.has('datastore-endpoint')) return { joins, datastore: 'external' }
  return { joins, datastore: joins !== undefined || entries.get('cluster-init') === true ? 'etcd' : 'sqlite' }
}

/** What further nodes take over from a server that runs: what servers must agree on, and what the user once said. */
export function inheritedFrom(server: PlannedNode): Inherited | undefined {
  const entries = ownEntries(server)
  const standing = standingOf(server)
  if (entries === undefined || standing === undefined || server.role !== 'server') return undefined
  const config: ConfigMap = Object.fromEntries([...entries].filter(([key]) => !isReservedKey(key)))
  const names = entries.get('tls-san')
  const registry = readRegistries(server.facts.k3s.registries) ?? { mode: 'none' as const }
  return { datastore: standing.datastore, registry, config, tlsSans: Array.isArray(names) ? names.map(String) : [] }
}

/** The lines that `renderConfig` once wrote: each a key and a value in JSON, secrets hidden. */
function ownEntries({ facts }: PlannedNode): ReadonlyMap<string, ConfigValue> | undefined {
  const { config } = facts.k3s
  if (config === undefined || facts.cloudimg.node === undefined) return undefined
  return new Map(config.split('\n').flatMap(line => parseLine(line)))
}

function parseLine(line: string): readonly (readonly [string, ConfigValue])[] {
  const [, key, value] = /^([a-z-]+\+?): (.*)$/.exec(line) ?? []
  if (key === undefined || value === undefined) return []
  try {
    return [[key, JSON.parse(value) as ConfigValue]]
  } catch {
    return [[key, value]]
  }
}
