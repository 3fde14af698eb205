import { join } from 'node:path'
import { rm } from 'node:fs/promises'
import * as z from 'zod'
import { formatHostAddress, type HostAddress } from '../host/address.ts'
import { MiB } from '../core/bytes.ts'
import { CloudimgError } from '../core/error.ts'
import { compareBytes, readFileIfPresent, readdirIfPresent, writeFileAtomic } from '../io/files.ts'

const host = z.object({
  /** As the user named it, `[user@]host[:port]`; empty for the operator's own machine. */
  host: z.string(),
  role: z.enum(['server', 'agent']),
  name: z.string(),
  address: z.string(),
})
const schema = z.object({
  v: z.literal(1),
  id: z.string(),
  hosts: z.array(host),
  /** Nodes that were forgotten while their machines could not be reached: powered on, they come back. */
  removed: z.array(z.string()).optional(),
})

/** How an operator reaches the machines of a cluster: `cluster.json` in its directory. The cluster itself says who belongs to it. */
export type ClusterRecord = z.infer<typeof schema>
export type RecordedHost = ClusterRecord['hosts'][number]

/** Undefined where the operator knows nothing of it, or nothing that can be read. */
export async function readClusterRecord(directory: string): Promise<ClusterRecord | undefined> {
  const text = (await readFileIfPresent(join(directory, 'cluster.json'), 16 * MiB))?.toString('utf8')
  if (text === undefined) return undefined
  try {
    return schema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

/** Adds and replaces by node name, in place: the server that is asked first stays the first. `gone` are taken out. */
export async function updateClusterRecord(
  directory: string,
  id: string,
  hosts: readonly RecordedHost[],
  gone: readonly string[],
  removed: readonly string[] = [],
): Promise<void> {
  const present = await readClusterRecord(directory)
  const before = present?.hosts ?? []
  const known = new Set(before.map(entry => entry.name))
  const kept = before
    .filter(entry => !gone.includes(entry.name) || hosts.some(({ name }) => name === entry.name))
    .map(entry => hosts.find(({ name }) => name === entry.name) ?? entry)
  const added = hosts.filter(({ name }) => !known.has(name))
  const away = [...new Set([...(present?.removed ?? []), ...removed])].filter(
    name => !hosts.some(entry => entry.name === name),
  )
  const record: ClusterRecord = {
    v: 1,
    id,
    hosts: [...kept, ...added],
    ...(away.length === 0 ? {} : { removed: away }),
  }
  const text = `${JSON.stringify(record, undefined, 2)}\n`
  if (JSON.stringify(present) !== JSON.stringify(record))
    await writeFileAtomic(join(directory, 'cluster.json'), text, 0o600)
}

/** The cluster is no more. Its journals and snapshots stay. */
export async function dropClusterRecord(directory: string): Promise<void> {
  await rm(join(directory, 'cluster.json'), { force: true })
}

/** The one cluster that the operator has, or the one that is named. @throws USAGE where that is not clear. */
export async function chooseCluster(home: string, id: string | undefined): Promise<ClusterRecord> {
  const names = id === undefined ? (await readdirIfPresent(home)).sort(compareBytes) : [id]
  const records = (await Promise.all(names.map(name => readClusterRecord(join(home, name))))).filter(
    record => record !== undefined,
  )
  const [first, second] = records
  if (first !== undefined && second === undefined) return first
  if (first === undefined)
    throw new CloudimgError(
      'USAGE',
      `finding the cluster: ${id === undefined ? 'none is' : `"${id}" is not`} known here`,
      {
        hint: 'name a server of it with --server HOST',
      },
    )
  throw new CloudimgError('USAGE', `finding the cluster: there are ${records.map(record => record.id).join(', ')}`, {
    hint: 'name one with --cluster ID, or a server of it with --server HOST',
  })
}

export function hostText(address: HostAddress): string {
  return address.local ? '' : formatHostAddress(address)
}
