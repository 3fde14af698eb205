import type { HookName } from '../hooks/hooks.ts'
import { apiVersion } from './schema.ts'
import { convertCluster } from './sealer-cluster.ts'
import { type Reading, SealerField } from './sealer-field.ts'
import { convertPlugin } from './sealer-plugin.ts'
import { convertKubeKind } from './sealer-kube-kinds.ts'
import type { Locate, SourceDocument } from './source-text.ts'
import type { Diagnostic } from '../../core/diagnostic.ts'

/** sealer looks at `kind` alone; of its many apiVersions all begin alike (facts/sealer.md §4). */
export function isSealerFile(documents: readonly SourceDocument[]): boolean {
  return documents.some(({ value }) => {
    const { apiVersion: version, kind } = (value ?? {}) as { apiVersion?: unknown; kind?: unknown }
    return kind === 'Cluster' && typeof version === 'string' && /^(?:sealer\.|sea\.|zlink\.)/.test(version)
  })
}

/** As the converters fill it; whether it is right is for the schema to say. */
export interface Draft {
  spec: Record<string, unknown>
  config: { server: Record<string, unknown>; agent: Record<string, unknown> }
  tlsSans: string[]
  hooks: Partial<Record<HookName, object[]>>
  name?: string
}

/** What of sealer's kinds has a counterpart becomes it; the rest is said, never dropped in silence. Pure. */
export function readSealerFile(documents: readonly SourceDocument[]): {
  readonly value: unknown
  readonly locate: Locate
  readonly notes: readonly Diagnostic[]
} {
  const reading: Reading = { notes: [], origins: new Map() }
  const draft: Draft = { spec: {}, config: { server: {}, agent: {} }, tlsSans: [], hooks: {} }
  const first = documents.find(({ value }) => (value as { kind?: unknown } | null)?.kind === 'Cluster')!
  for (const document of documents)
    convert(new SealerField(document.value, [], document.locate, reading), document === first, draft)
  const home = first.locate([], 'value')
  const locate: Locate = (path, what) => {
    for (let length = path.length; length > 0; length--) {
      const origin = reading.origins.get(path.slice(0, length).join('\0'))
      if (origin !== undefined) return origin.locate([...origin.path, ...path.slice(length)], what)
    }
    return home
  }
  return { value: clusterfileOf(draft), locate, notes: reading.notes }
}

function convert(document: SealerField, isFirst: boolean, draft: Draft): void {
  document.take('apiVersion')
  const kind = document.take('kind')?.text() ?? ''
  if (kind === 'Cluster' && !isFirst)
    return document.note('a second Cluster: only the first is read', 'write each cluster into a file of its own')
  if (kind === 'Cluster') return convertCluster(document, draft)
  if (kind === 'Plugin') return convertPlugin(document, draft)
  if (convertKubeKind(kind, document, draft)) return
  document.note(`the kind "${kind}" has no counterpart here, it is left out`)
}

function clusterfileOf({ spec, config, tlsSans, hooks, name }: Draft): unknown {
  const roles = Object.fromEntries(Object.entries(config).filter(([, map]) => Object.keys(map).length > 0))
  return {
    apiVersion,
    kind: 'Cluster',
    ...(name === undefined ? {} : { metadata: { name } }),
    spec: {
      ...spec,
      ...(tlsSans.length === 0 ? {} : { tlsSans: [...new Set(tlsSans)] }),
      ...(Object.keys(roles).length === 0 ? {} : { config: roles }),
      ...(Object.keys(hooks).length === 0 ? {} : { hooks }),
    },
  }
}
