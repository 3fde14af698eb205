import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ContainerConfig } from '../../src/oci/image.ts'

/** Where BuildKit's rule and buildah's differ, cloudimg follows BuildKit (facts/oci.md §4); each with its reason. */
interface KnownDifference {
  readonly path: string
  readonly aspect: string
  readonly cloudimg: string
  readonly buildah: string
  readonly reason: string
}

const known = JSON.parse(
  readFileSync(join(import.meta.dirname, '../parity/differences.json'), 'utf8'),
) as readonly KnownDifference[]

export interface Difference {
  readonly path: string
  readonly aspect: string
  readonly left: string
  readonly right: string
}

/** The allowed differences of one case: `<case>:<path>` for its tree, `<case>:config` for its config. */
export function knownDifferences(name: string): readonly Difference[] {
  return known
    .filter(({ path }) => path.startsWith(`${name}:`))
    .map(({ path, aspect, cloudimg, buildah }) => ({ path, aspect, left: cloudimg, right: buildah }))
}

/** Whether the difference is one that every case may have: `*:<path>`. Those that occurred are added to `used`. */
export function isKnownEverywhere(found: Difference, used: Set<string>): boolean {
  const match = known.find(
    ({ path, aspect, cloudimg, buildah }) =>
      path === `*${found.path.slice(found.path.indexOf(':'))}` &&
      aspect === found.aspect &&
      cloudimg === found.left &&
      buildah === found.right,
  )
  if (match !== undefined) used.add(match.path)
  return match !== undefined
}

/** Allowed differences of cases that are none of these; `*:<path>` is a name of its own. */
export function unknownCases(names: readonly string[]): readonly string[] {
  const all = new Set(names)
  return known.map(({ path }) => path).filter(path => !all.has(path) && !all.has(/^[^:/]*/.exec(path)![0]))
}

interface Configured {
  readonly config: ContainerConfig
  readonly author: string | undefined
}

/** What engines write where nothing is said. */
const emptyValues = new Set(['null', '""', '{}', '[]', 'false', '0', 'undefined'])

/** Field by field of the config, empty fields left out. buildah's own fields of no meaning are not compared. */
export function configDifferences(left: Configured, right: Configured): readonly Omit<Difference, 'path'>[] {
  const [a, b] = [fieldsOf(left), fieldsOf(right)]
  const names = [...new Set([...a.keys(), ...b.keys()])].sort()
  return names
    .filter(name => a.get(name) !== b.get(name))
    .map(aspect => ({ aspect, left: a.get(aspect) ?? '', right: b.get(aspect) ?? '' }))
}

const ofTheEngine = new Set(['Image', 'Hostname', 'Domainname', 'ArgsEscaped'])

function fieldsOf({ config, author }: Configured): ReadonlyMap<string, string> {
  const { Labels, ...rest } = config
  // buildah labels every image with its own version.
  const labels = Object.entries(Labels ?? {}).filter(([name]) => name !== 'io.buildah.version')
  const fields = Object.entries({
    ...rest,
    Labels: Object.fromEntries(labels.sort(([a], [b]) => (a < b ? -1 : 1))),
    author,
  })
  return new Map(
    fields
      .map(([name, value]) => [name, JSON.stringify(sorted(value)) ?? 'undefined'] as const)
      .filter(([name, value]) => !ofTheEngine.has(name) && !emptyValues.has(value)),
  )
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
}
